"""The statistics that LeRobot keeps of each episode and of a whole dataset, as it computes them.

lerobot 0.4.4, ``lerobot/datasets/compute_stats.py``; quantiles are exact here, and from a histogram there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Statistics = dict[str, npt.NDArray[Any]]
"""``min``, ``max``, ``mean``, ``std``, the quantiles, and ``count``, of shape (1,)."""


def number_statistics(values: npt.NDArray[Any]) -> Statistics:
    """Return the statistics of each number of a feature.

    Args:
        values: Shape (moments, ...).

    Returns:
        Arrays of the last axis's size; of one number if there is none.
    """
    rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    exact = rows.astype(np.float64)
    # Means and squares of the largest numbers are infinite, and then nothing is wrong but the statistics.
    with np.errstate(over="ignore", invalid="ignore"):
        statistics = {
            "min": rows.min(axis=0),
            "max": rows.max(axis=0),
            "mean": exact.mean(axis=0),
            "std": exact.std(axis=0),
            "count": np.array([len(values)]),
        }
        quantiles = np.quantile(exact, list(QUANTILES.values()), axis=0)
        return {**statistics, **dict(zip(QUANTILES, quantiles, strict=True))}


def image_statistics(frames: npt.NDArray[np.uint8]) -> Statistics:
    """Return the statistics of each colour, of pixels from 0 to 1.

    Args:
        frames: Shape (moments, height, width, 3).

    Returns:
        Arrays of shape (3, 1, 1).
    """
    chosen = frames[_sampled(len(frames))]
    height, width = chosen.shape[1:3]
    if max(height, width) >= 300:
        step = int(max(height, width) / 150)
        chosen = chosen[:, ::step, ::step]
    statistics = number_statistics(chosen.reshape(-1, 3))
    colours = {name: (value / 255.0).reshape(3, 1, 1) for name, value in statistics.items() if name != "count"}
    return {**colours, "count": np.array([len(chosen)])}


def _sampled(length: int) -> npt.NDArray[np.int64]:
    """Which of an episode's frames are looked at: all of a hundred, and ever fewer of more."""
    samples = max(min(100, length), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, samples)).astype(np.int64)


def merged(left: Statistics, right: Statistics) -> Statistics:
    """Return the statistics of both; quantiles are the mean of both, weighted, as LeRobot has them."""
    counts = left["count"] + right["count"]
    shares = left["count"] / counts, right["count"] / counts

    def weighted(a: Any, b: Any) -> Any:
        return a * shares[0] + b * shares[1]

    with np.errstate(over="ignore", invalid="ignore"):
        mean = weighted(left["mean"], right["mean"])
        variance = weighted(
            left["std"] ** 2 + (left["mean"] - mean) ** 2, right["std"] ** 2 + (right["mean"] - mean) ** 2
        )
        return {
            "min": np.minimum(left["min"], right["min"]),
            "max": np.maximum(left["max"], right["max"]),
            "mean": mean,
            "std": np.sqrt(variance),
            "count": counts,
            **{name: weighted(left[name], right[name]) for name in QUANTILES},
        }

"""Statistics of episodes and datasets, as LeRobot computes them.

lerobot 0.4.4, ``lerobot/datasets/compute_stats.py``; quantiles are exact here, and from a histogram in LeRobot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from demos.runtime.types import Array

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Statistics = dict[str, Array]
"""``min``, ``max``, ``mean``, ``std``, the quantiles, and ``count``, of shape (1,)."""


def number_statistics(values: Array) -> Statistics:
    """Return the statistics of each dimension of a feature.

    Args:
        values: Array of shape (steps, ...).

    Returns:
        Arrays with the size of the last axis, or of one number.
    """
    rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    exact = rows.astype(np.float64)
    # Means and squares of huge numbers may be infinite.
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
    """Return the statistics of each color channel, scaled to [0, 1].

    Args:
        frames: Images of shape (steps, height, width, 3).

    Returns:
        Arrays of shape (3, 1, 1).
    """
    sampled = frames[_sample_indices(len(frames))]
    height, width = sampled.shape[1:3]
    if max(height, width) >= 300:
        step = int(max(height, width) / 150)
        sampled = sampled[:, ::step, ::step]
    statistics = number_statistics(sampled.reshape(-1, 3))
    colors = {name: (value / 255.0).reshape(3, 1, 1) for name, value in statistics.items() if name != "count"}
    return {**colors, "count": np.array([len(sampled)])}


def _sample_indices(length: int) -> npt.NDArray[np.int64]:
    """Return the indices of the frames to use: up to a hundred all, and a decreasing fraction of more."""
    samples = max(min(100, length), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, samples)).astype(np.int64)


def merge_statistics(left: Statistics, right: Statistics) -> Statistics:
    """Return the merged statistics; quantiles are weighted means, as in LeRobot."""
    counts = left["count"] + right["count"]
    shares = left["count"] / counts, right["count"] / counts

    def weighted(a: Array, b: Array) -> Any:
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

"""Runtime monitor: the probability that the current episode fails, given the measurements so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.folders import MONITOR
from agents.types import JsonObject
from demos.runtime.files import write_json

SIGNALS = ("uncertainty", "distance")
"""Explanation methods whose curves are the inputs of a monitor."""
NAMES = (*(f"{signal} {kind}" for signal in SIGNALS for kind in ("now", "mean so far", "max so far")), "elapsed")
"""Names of the inputs of the regression."""
TINY = 1e-6
"""Added before logarithms: an ensemble can agree exactly."""

Rows = npt.NDArray[np.float64]


def inputs_of(curves: Sequence[Sequence[float]], horizon: int) -> Rows:
    """Return the inputs of the regression at each step of an episode, from the steps up to it only.

    Args:
        curves: Uncertainty and distance at each step, shape (2, T).
        horizon: Steps of a whole episode.

    Returns:
        Shape (T, 7): see :data:`NAMES`. Uncertainty and distance are log-transformed.
    """
    columns: list[Rows] = []
    count = np.arange(1, len(curves[0]) + 1)
    for curve in curves:
        values = np.log(np.asarray(curve, dtype=np.float64) + TINY)
        columns += [values, np.cumsum(values) / count, np.maximum.accumulate(values)]
    return np.stack([*columns, count / horizon], axis=1)


@dataclass(frozen=True)
class Monitor:
    """Logistic regression on the measurements so far, and the threshold above which it warns.

    Attributes:
        mean: Mean of each input, shape (7,).
        std: Standard deviation of each input, shape (7,).
        weights: Weight of each standardized input, shape (7,).
        bias: Log-odds of a failure at the mean of the inputs.
        threshold: Probability above which it warns.
        horizon: Steps of a whole episode.
        origin: Agent, environment, episodes, demonstrations and ensemble that it was fitted to; see
            :mod:`agents.explain.failure.origin`.
        report: Metrics on other episodes; see :func:`agents.explain.failure.fitting.measure`.
    """

    mean: list[float]
    std: list[float]
    weights: list[float]
    bias: float
    threshold: float
    horizon: int
    origin: JsonObject = field(default_factory=dict)
    report: JsonObject = field(default_factory=dict)

    def probabilities(self, curves: Sequence[Sequence[float]]) -> Rows:
        """Return the probability of a failure at each step, shape (T,).

        Args:
            curves: Uncertainty and distance at each step, shape (2, T).
        """
        standard = (inputs_of(curves, self.horizon) - np.array(self.mean)) / np.array(self.std)
        return sigmoid(standard @ np.array(self.weights) + self.bias)

    def save(self, folder: str | Path) -> Path:
        """Write the monitor beside a saved agent; return the file."""
        path = Path(folder) / MONITOR
        write_json(path, {"inputs": list(NAMES), **asdict(self)})
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Monitor | None:
        """Read the monitor of a saved agent; None if it has none.

        Raises:
            ValueError: The file is damaged, or has other inputs.
        """
        path = Path(folder) / MONITOR
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text())
            names = content.pop("inputs")
            monitor = cls(**content)
            is_sound = names == list(NAMES) and all(
                len(values) == len(NAMES) for values in (monitor.mean, monitor.std, monitor.weights)
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error}; fit it again with `python -m agents monitor`") from error
        if not is_sound:
            names = ", ".join(NAMES)
            raise ValueError(f"{path} has other inputs than {names}: fit it again with `python -m agents monitor`")
        return monitor


def sigmoid(logits: Rows) -> Rows:
    """Return the probabilities of log-odds, of the same shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))

"""Statistics over training runs: interquartile mean with a stratified bootstrap interval."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOOTSTRAPS = 5000
"""Enough for two digits of a 95% interval."""


@dataclass(frozen=True)
class Estimate:
    """A point and its 95% interval, low <= point <= high."""

    point: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.point <= self.high:
            raise ValueError(f"the interval [{self.low}, {self.high}] does not hold its point {self.point}")


def interquartile_mean(scores: Sequence[float], seed: int = 0) -> Estimate:
    """Interquartile mean of the runs' scores (Agarwal et al. 2021, arXiv 2108.13264, section 4.3).

    Args:
        scores: One a run.
        seed: Of the bootstrap's draws.

    Raises:
        ValueError: Fewer than two runs have no spread to estimate.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} run; expected at least 2 for an interval over runs")
    # Seconds of imports that only this needs.
    from rliable import library, metrics

    column = {"runs": np.asarray(scores, dtype=np.float64)[:, None]}
    with warnings.catch_warnings():
        # rliable calls its bootstrap by an older name of an argument.
        warnings.filterwarnings("ignore", "random_state is deprecated", FutureWarning)
        points, intervals = library.get_interval_estimates(
            column,
            lambda runs: np.array([metrics.aggregate_iqm(runs)]),
            reps=BOOTSTRAPS,
            random_state=np.random.RandomState(seed),
        )
    point = float(points["runs"][0])
    low, high = (float(bound) for bound in intervals["runs"][:, 0])
    # The percentile method may round past the point when all runs are equal.
    return Estimate(point, min(low, point), max(high, point))

"""Statistics over training runs: interquartile mean with a stratified bootstrap interval."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

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


@contextmanager
def _global_draws(seed: int) -> Iterator[None]:
    """Seeds NumPy's global generator, and gives it back as it was: rliable draws from it, whatever it is given."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


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
    return _interquartile_mean(tuple(scores), seed)


@cache
def _interquartile_mean(scores: tuple[float, ...], seed: int) -> Estimate:
    # Seconds of imports that only this needs.
    from rliable import library, metrics

    column = {"runs": np.asarray(scores, dtype=np.float64)[:, None]}
    with warnings.catch_warnings(), _global_draws(seed):
        # rliable calls its bootstrap by an older name of an argument.
        warnings.filterwarnings("ignore", "random_state is deprecated", FutureWarning)
        points, intervals = library.get_interval_estimates(
            column,
            lambda runs: np.array([metrics.aggregate_iqm(runs)]),
            reps=BOOTSTRAPS,
        )
    point = float(points["runs"][0])
    low, high = (float(bound) for bound in intervals["runs"][:, 0])
    # The percentile method may round past the point when all runs are equal.
    return Estimate(point, min(low, point), max(high, point))

"""Statistics of success: the noise of episodes, of training runs (stratified bootstraps), and of differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist, fmean, variance

import numpy as np

from demos.runtime.intervals import CONFIDENCE

BOOTSTRAPS = 5000
"""Enough for two digits of a 95% interval."""
Scores = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
"""Shape (training runs, environments), or (draws, training runs, environments)."""
Indices = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
"""Indices of training runs, shape (draws, training runs, environments)."""
Rates = np.ndarray[tuple[int], np.dtype[np.float64]]
"""Shape (episodes,) or (draws,)."""
Outcomes = Sequence[Sequence[bool]]
"""Success by training and episode; all training runs have the same episodes in the same order."""
_QUANTILE = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0)


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
        scores: Score of each run.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: There are fewer than two runs.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} run; expected at least 2 for an interval over runs")
    return _interquartile_mean(tuple(scores), seed)


@cache
def _interquartile_mean(scores: tuple[float, ...], seed: int) -> Estimate:
    column = np.asarray(scores, dtype=np.float64)[:, None]
    return _bootstrap((column,), lambda runs: [_interquartile_means(runs)], BOOTSTRAPS, seed)[0]


def _bootstrap(
    scores: tuple[Scores, ...], statistics: Callable[..., list[Rates]], draws: int, seed: int
) -> list[Estimate]:
    """Percentile intervals by a stratified bootstrap of one or two agents' ``scores``, with the draws of rliable.

    Args:
        scores: One array per agent, shape (training runs, environments).
        statistics: Takes the drawn scores of each agent, with the draws as an additional first axis. Returns
            arrays of shape (draws,).
        draws: Number of bootstrap draws.
        seed: Seed of NumPy's RandomState, which rliable uses.
    """
    indices = _indices(tuple(own.shape for own in scores), draws, seed)
    drawn = [np.take_along_axis(own[None], each, axis=1) for own, each in zip(scores, indices, strict=True)]
    points = [float(found[0]) for found in statistics(*(own[None] for own in scores))]
    ends = 100.0 * (1.0 - CONFIDENCE) / 2.0, 100.0 * (1.0 + CONFIDENCE) / 2.0
    intervals = [np.percentile(found, ends).tolist() for found in statistics(*drawn)]
    # The percentile method may round past the point when all runs are equal.
    return [
        Estimate(point, min(low, point), max(high, point))
        for point, (low, high) in zip(points, intervals, strict=True)
    ]


@lru_cache(maxsize=8)
def _indices(shapes: tuple[tuple[int, ...], ...], draws: int, seed: int) -> tuple[Indices, ...]:
    """Return the indices of the training runs in each draw, one array per agent; they are cached: do not modify."""
    rng = np.random.RandomState(seed)
    draws_of_indices = [[rng.randint(0, shape[0], shape) for shape in shapes] for _ in range(draws)]
    return tuple(np.array(each) for each in zip(*draws_of_indices, strict=True))


def _interquartile_means(scores: Scores) -> Rates:
    """Return the interquartile mean of each draw, bit-identical to rliable's ``aggregate_iqm``."""
    flat = scores.reshape(len(scores), -1)
    count = flat.shape[1]
    cut = count // 4
    means: Rates = np.partition(flat, (cut, count - cut - 1), axis=1)[:, cut : count - cut].mean(axis=1)
    return means


def _optimality_gaps(scores: Scores) -> Rates:
    """Return the optimality gap of each draw, bit-identical to rliable's ``aggregate_optimality_gap``."""
    # Summed in memory order, as by NumPy's mean of a matrix: the last bit decides how a half is rounded.
    gaps: Rates = 1.0 - np.minimum(scores, 1.0).reshape(len(scores), -1, order="A").mean(axis=1)
    return gaps


@dataclass(frozen=True)
class Aggregate:
    """Aggregate of an agent over environments.

    Attributes:
        interquartile_mean: Interquartile mean of the success rates of all training runs in all environments.
        optimality_gap: Mean of 1 - rate.
    """

    interquartile_mean: Estimate
    optimality_gap: Estimate


def _matrix(runs: Sequence[Sequence[float]]) -> Scores:
    """Return rates as training runs by environments; extra training runs of some environments are left out."""
    count = min(map(len, runs))
    return np.array([[float(rate) for rate in own[:count]] for own in runs]).T


def _rows(runs: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(rate) for rate in own) for own in runs)


def aggregate(runs: Sequence[Sequence[float]], seed: int = 0) -> Aggregate:
    """Summarize an agent over environments (Agarwal et al. 2021, sections 4.1 and 4.3), by a stratified bootstrap.

    Args:
        runs: Success rates of the training runs, one sequence per environment.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Fewer than two training runs in one environment.
    """
    if not runs or min(map(len, runs)) < 2:
        raise ValueError("expected at least 2 training runs in each environment for an interval over training runs")
    return _aggregate(_rows(runs), seed)


@cache
def _aggregate(runs: tuple[tuple[float, ...], ...], seed: int) -> Aggregate:
    return Aggregate(
        *_bootstrap(
            (_matrix(runs),),
            lambda scores: [_interquartile_means(scores), _optimality_gaps(scores)],
            BOOTSTRAPS,
            seed,
        )
    )


def probability_of_improvement(
    runs: Sequence[Sequence[float]], others: Sequence[Sequence[float]], seed: int = 0
) -> Estimate:
    """Return the probability that a training run of one agent beats one of another in a random environment.

    Agarwal et al. 2021, section 4.3; equal rates count half.

    Args:
        runs: Success rate of each training run of the first agent, one sequence for each environment.
        others: Success rates of the second agent in the same environments.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: Other environments, or fewer than two training runs in one.
    """
    if len(runs) != len(others) or not runs or min(map(len, (*runs, *others))) < 2:
        raise ValueError("expected at least 2 training runs of both in each of the same environments")
    return _probability(_rows(runs), _rows(others), seed)


@cache
def _probability(runs: tuple[tuple[float, ...], ...], others: tuple[tuple[float, ...], ...], seed: int) -> Estimate:
    return _bootstrap(
        (_matrix(runs), _matrix(others)),
        lambda one, other: [_improvement_probabilities(one, other)],
        BOOTSTRAPS // 5,
        seed,
    )[0]


def _improvement_probabilities(runs: Scores, others: Scores) -> Rates:
    """Return the probability of improvement of each draw, bit-identical to rliable's."""
    one, other = runs[:, :, None], others[:, None]
    won = ((one > other) + 0.5 * (one == other)).sum(axis=(1, 2))
    shares: Rates = (won / (runs.shape[1] * others.shape[1])).mean(axis=1)
    return shares


def success_interval(outcomes: Outcomes) -> tuple[float, float]:
    """95% interval of the success rate of these training runs over all possible episodes.

    Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212) of an effective number of episodes, such as
    Korn and Graubard (1998, Survey Methodology 24, 193-201) put into the exact interval. All training runs are
    evaluated in the same episodes and tend to fail in the same ones, so that N outcomes carry as much information as
    N / d independent ones. The design effect d (Kish 1965, Survey Sampling) is the variance of an episode's mean over
    the training runs, in units of what it would be if all outcomes were independent: the number of training runs
    where these always agree. It is estimated with two episodes more, one in which all succeed and one in which all
    fail, or else a rare failure would prove independence. Where it is below 1, as training runs differ in skill, it
    counts as 1: the interval is wider than it needs to be. For one training run, it is Wilson's interval.

    Args:
        outcomes: Outcomes of at least one training run in at least one episode.

    Returns:
        The ends of the interval, which holds the rate.

    Raises:
        ValueError: There are no outcomes, or the training runs have different numbers of episodes.
    """
    means = _means(outcomes)
    rate = float(means.mean())
    z2_over_n = _QUANTILE**2 * _design_effect(means, len(outcomes)) / (len(outcomes) * len(means))
    center = (rate + z2_over_n / 2.0) / (1.0 + z2_over_n)
    half_width = math.sqrt(z2_over_n * (rate * (1.0 - rate) + z2_over_n / 4.0)) / (1.0 + z2_over_n)
    # Rounding may put the bound of a rate of 0 or 1 on its wrong side.
    return max(0.0, min(center - half_width, rate)), min(1.0, max(center + half_width, rate))


def difference_over_episodes(outcomes: Outcomes, others: Outcomes, *, paired: bool) -> tuple[float, float]:
    """95% interval of the difference of two success rates, for these training runs, over all possible episodes.

    Newcombe's, of the intervals of both (:func:`success_interval`): of the same episodes with the correlation between
    both (Newcombe 1998, Stat. Med. 17, 2635-2650, method 10; for other than single outcomes as Zou and Donner 2008,
    Stat. Med. 27, 1693-1702), of different ones without (Newcombe 1998, Stat. Med. 17, 873-890, method 10).

    Args:
        outcomes: Outcomes of the first agent.
        others: Outcomes of the second agent, which may have another number of training runs.
        paired: True if both had the same episodes in the same order.

    Returns:
        The ends of the interval of rate(outcomes) - rate(others).

    Raises:
        ValueError: As :func:`success_interval`; or ``paired`` with different numbers of episodes.
    """
    one, other = _means(outcomes), _means(others)
    if paired and len(one) != len(other):
        raise ValueError(f"{len(one)} and {len(other)} episodes cannot be the same")
    correlation = (
        _covariance(one, other) / (_spread(one, len(outcomes)) * _spread(other, len(others))) if paired else 0.0
    )
    p, q = float(one.mean()), float(other.mean())
    (p_low, p_high), (q_low, q_high) = success_interval(outcomes), success_interval(others)

    def half_width(of_p: float, of_q: float) -> float:
        return math.sqrt(max(0.0, of_p**2 + of_q**2 - 2.0 * correlation * of_p * of_q))

    return p - q - half_width(p - p_low, q_high - q), p - q + half_width(p_high - p, q - q_low)


def _means(outcomes: Outcomes) -> Rates:
    """Return the mean over training runs of each episode."""
    lengths = {len(own) for own in outcomes}
    if len(lengths) != 1 or 0 in lengths:
        counts = ", ".join(map(str, sorted(lengths))) or "no"
        raise ValueError(f"training runs of {counts} episodes; expected the same number, at least 1, of each")
    means: Rates = np.array(outcomes, dtype=np.float64).mean(axis=0)
    return means


def _design_effect(means: Rates, trainings: int) -> float:
    """See :func:`success_interval`."""
    padded = np.append(means, (0.0, 1.0))
    rate = float(padded.mean())
    return max(1.0, trainings * float(padded.var()) / (rate * (1.0 - rate)))


def _spread(means: Rates, trainings: int) -> float:
    """Standard deviation of a rate in an episode, as wide as :func:`success_interval` takes it to be."""
    rate = float(means.mean())
    return math.sqrt(_design_effect(means, trainings) * rate * (1.0 - rate) / trainings) or 1.0


def _covariance(one: Rates, other: Rates) -> float:
    """Return the covariance of two rates in the same episodes, with Newcombe's correction for continuity."""
    covariance = float(((one - one.mean()) * (other - other.mean())).mean())
    return max(0.0, covariance - 0.5 / len(one)) if covariance > 0.0 else covariance


def difference_over_trainings(runs: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """95% interval of the difference of two mean success rates, were both trained again with other seeds.

    Welch's t (Welch 1947, Biometrika 34, 28-35): each training run counts as one draw.

    Args:
        runs: Success rate of each training run of the first agent.
        others: Success rates of the second agent.

    Returns:
        The ends of the interval of mean(runs) - mean(others).

    Raises:
        ValueError: Fewer than two training runs of one have no spread to estimate.
    """
    if min(len(runs), len(others)) < 2:
        raise ValueError(f"{len(runs)} and {len(others)} training runs; expected at least 2 of both")
    middle = fmean(runs) - fmean(others)
    # Squares of the standard errors of both means. SciPy's own interval warns where all training runs come out alike.
    one, other = variance(runs) / len(runs), variance(others) / len(others)
    if one + other == 0.0:
        return middle, middle
    from scipy.stats import t

    degrees_of_freedom = (one + other) ** 2 / (one**2 / (len(runs) - 1) + other**2 / (len(others) - 1))
    half_width = float(t.ppf((1.0 + CONFIDENCE) / 2.0, degrees_of_freedom)) * math.sqrt(one + other)
    return middle - half_width, middle + half_width


PROFILE_AT = tuple(round(0.02 * step, 2) for step in range(51))
"""Success rates at which a profile is drawn."""


def performance_profile(runs: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Share of training runs, over environments, that reach a success rate or more, at each of :data:`PROFILE_AT`.

    Agarwal et al. 2021, section 4.2.

    Args:
        runs: Success rates of the training runs, one sequence per environment.
    """
    return tuple(float(np.mean([np.mean([rate >= at - 1e-12 for rate in own]) for own in runs])) for at in PROFILE_AT)

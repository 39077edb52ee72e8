"""Intervals over episodes, over trainings, and of differences."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.analysis.statistics import (
    PROFILE_AT,
    Estimate,
    _bootstrap,
    _improvement_probabilities,
    _interquartile_means,
    _optimality_gaps,
    aggregate,
    difference_over_episodes,
    difference_over_trainings,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    success_interval,
)
from demos.runtime.intervals import wilson_interval


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_interval_holds_its_point_and_the_range_of_runs(scores: list[float]) -> None:
    estimate = interquartile_mean(scores)
    assert min(scores) - 1e-12 <= estimate.low <= estimate.point <= estimate.high <= max(scores) + 1e-12


def test_the_interquartile_mean_leaves_out_the_extremes() -> None:
    assert interquartile_mean([0.0, 0.5, 0.5, 1.0]).point == 0.5
    assert interquartile_mean([0.0, 0.9, 0.9, 0.9]).point == pytest.approx(0.9)


def test_the_same_scores_give_the_same_interval() -> None:
    assert interquartile_mean([0.2, 0.4, 0.9]) == interquartile_mean([0.2, 0.4, 0.9])


def test_a_single_run_has_no_interval_and_points_stay_inside_theirs() -> None:
    with pytest.raises(ValueError, match="expected at least 2"):
        interquartile_mean([0.5])
    with pytest.raises(ValueError, match="does not hold its point"):
        Estimate(0.9, 0.1, 0.5)


def test_the_same_scores_have_the_same_interval_whatever_was_drawn_before() -> None:
    scores = [0.79, 0.86, 0.925, 0.935, 0.945]
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
        found.append(interquartile_mean(scores))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002
    assert found[0] == found[1]
    assert interquartile_mean(scores, seed=1) != found[0]


MATRIX = np.random.default_rng(7).uniform(0.2, 1.0, (5, 4)).round(2)
"""Five trainings in four environments."""
OTHER = np.random.default_rng(8).uniform(0.0, 0.9, (5, 4)).round(2)


def test_aggregates_are_those_of_an_independent_reckoning() -> None:
    found = aggregate(MATRIX.T.tolist())
    assert found.interquartile_mean.point == pytest.approx(scipy.stats.trim_mean(MATRIX.flatten(), 0.25))
    assert found.optimality_gap.point == pytest.approx(float((1.0 - MATRIX).mean()))


def test_bootstraps_are_rliables_own_to_the_bit() -> None:
    from rliable import library, metrics

    def rliables(scores: Any, statistic: Any) -> Any:
        np.random.seed(3)  # noqa: NPY002  (rliable draws from it)
        points, intervals = library.get_interval_estimates({"agent": scores}, statistic, reps=200)
        return np.vstack((points["agent"], intervals["agent"])).T.tolist()

    one = _bootstrap((MATRIX,), lambda scores: [_interquartile_means(scores), _optimality_gaps(scores)], 200, seed=3)
    assert [[each.point, each.low, each.high] for each in one] == rliables(
        MATRIX, lambda scores: np.array([metrics.aggregate_iqm(scores), metrics.aggregate_optimality_gap(scores)])
    )
    two = _bootstrap((MATRIX, OTHER[:4]), lambda one, other: [_improvement_probabilities(one, other)], 200, seed=3)
    assert [[each.point, each.low, each.high] for each in two] == rliables(
        [MATRIX, OTHER[:4]], lambda one, other: np.array([metrics.probability_of_improvement(one, other)])
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 8), st.integers(2, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_what_is_drawn_again_and_again_is_rliables_own_to_the_bit(
    runs: int, others: int, tasks: int, seed: int
) -> None:
    from rliable import metrics

    draws = np.random.default_rng(seed)
    # Rates of few episodes: many are equal.
    one, other = (draws.integers(0, 11, (count, tasks)) / 10.0 for count in (runs, others))
    assert _interquartile_means(one[None]) == metrics.aggregate_iqm(one)
    assert _optimality_gaps(one[None]) == metrics.aggregate_optimality_gap(one)
    assert _improvement_probabilities(one[None], other[None]) == metrics.probability_of_improvement(one, other)


def test_the_probability_of_improvement_counts_pairs() -> None:
    found = probability_of_improvement(MATRIX.T.tolist(), OTHER.T.tolist())
    pairs = [
        np.mean([1.0 if one > other else 0.5 if one == other else 0.0 for one in own for other in others])
        for own, others in zip(MATRIX.T, OTHER.T, strict=True)
    ]
    assert found.point == pytest.approx(float(np.mean(pairs)))
    assert found.low <= found.point <= found.high
    assert probability_of_improvement(MATRIX.T.tolist(), MATRIX.T.tolist()).point == pytest.approx(0.5)


def test_the_noise_of_trainings_is_that_of_welchs_test() -> None:
    one, other = MATRIX[:, 0].tolist(), OTHER[:4, 0].tolist()
    reference = scipy.stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert difference_over_trainings(one, other) == pytest.approx((reference.low, reference.high))


def drawn(rng: np.random.Generator, rates: list[float], difficulty: Any, alike: float) -> Any:
    """Outcomes of trainings with such rates, in which what an episode is like decides so much of 1."""
    luck = rng.standard_normal((len(rates), len(difficulty)))
    limits = np.array([NormalDist().inv_cdf(rate) for rate in rates])[:, None]
    return np.sqrt(alike) * difficulty + np.sqrt(1.0 - alike) * luck < limits


@pytest.mark.parametrize("alike", [0.0, pytest.param(0.5, marks=pytest.mark.slow), 0.9])
@pytest.mark.parametrize("rate", [pytest.param(0.5, marks=pytest.mark.slow), 0.9, 0.98])
def test_the_rate_is_held_as_often_as_the_interval_says_however_alike_trainings_are(
    rate: float, alike: float
) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = success_interval(drawn(rng, [rate] * 5, rng.standard_normal(200), alike))
        held += low <= rate <= high
    # Fewer of 400 intervals of 95% are so once in 300 times.
    assert held > 367


@pytest.mark.parametrize("alike", [*(pytest.param(alike, marks=pytest.mark.slow) for alike in (0.0, 0.5, 1.0)), 0.9])
@pytest.mark.parametrize(
    ("rates", "others"),
    [
        pytest.param([0.5], [0.5], marks=pytest.mark.slow),
        ([0.95], [0.9]),
        pytest.param([0.8] * 3, [0.75] * 3, marks=pytest.mark.slow),
        ([0.5] * 3, [0.02, 0.5, 0.98]),
        pytest.param([0.8], [0.001, 0.999, 0.8], marks=pytest.mark.slow),
    ],
)
def test_a_paired_difference_is_held_as_often_as_its_interval_says(
    rates: list[float], others: list[float], alike: float
) -> None:
    rng = np.random.default_rng(0)
    held, widths = 0, np.zeros(2)
    for _ in range(400):
        difficulty = rng.standard_normal(200)
        one, other = (drawn(rng, own, difficulty, alike) for own in (rates, others))
        low, high = difference_over_episodes(one, other, paired=True)
        held += low <= np.mean(rates) - np.mean(others) <= high
        unpaired = difference_over_episodes(one, other, paired=False)
        widths += high - low, unpaired[1] - unpaired[0]
    assert held > 367
    if alike:
        assert widths[0] < 0.95 * widths[1]


def test_of_one_training_it_is_wilsons_interval() -> None:
    for successes in range(201):
        own = [number < successes for number in range(200)]
        assert success_interval([own]) == pytest.approx(wilson_interval(successes, 200), abs=1e-12)


def test_trainings_that_always_agree_count_as_one() -> None:
    own = [number < 150 for number in range(200)]
    assert success_interval([own] * 5) == pytest.approx(success_interval([own]), abs=1e-12)
    assert success_interval([[True] * 200] * 5) == pytest.approx(wilson_interval(200, 200), abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.randoms(use_true_random=False))
def test_intervals_hold_their_points_and_are_rates(trainings: int, episodes: int, draws: Any) -> None:
    share = draws.random()
    one, other = ([[draws.random() < share for _ in range(episodes)] for _ in range(trainings)] for _ in range(2))
    low, high = success_interval(one)
    assert 0.0 <= low <= np.mean(one) <= high <= 1.0
    for paired in (True, False):
        low, high = difference_over_episodes(one, other, paired=paired)
        assert -1.0 <= low <= np.mean(one) - np.mean(other) <= high <= 1.0


def in_pairs(both: int, one: int, other: int, neither: int) -> tuple[list[list[bool]], list[list[bool]]]:
    first = [True] * (both + one) + [False] * (other + neither)
    second = [True] * both + [False] * one + [True] * other + [False] * neither
    return [first], [second]


def test_differences_are_newcombes() -> None:
    # Newcombe 1998, Stat. Med. 17, 873-890, table II, a: 56 of 70 and 48 of 80.
    one, other = [[number < 56 for number in range(70)]], [[number < 48 for number in range(80)]]
    assert difference_over_episodes(one, other, paired=False) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # In pairs: what R's contingencytables gives for the data of Cavo et al. 2012, and a table of Newcombe's.
    found = difference_over_episodes(*in_pairs(59, 6, 16, 80), paired=True)
    assert found == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    found = difference_over_episodes(*in_pairs(36, 12, 2, 0), paired=True)
    assert found == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_outcomes_that_do_not_belong_together_are_refused() -> None:
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="at least 1, of each"):
            success_interval(nothing)
    with pytest.raises(ValueError, match="training runs of 1, 2 episodes; expected the same number"):
        success_interval([[True], [True, False]])
    with pytest.raises(ValueError, match="2 and 1 episodes cannot be the same"):
        difference_over_episodes([[True, False]], [[True]], paired=True)


def test_trainings_that_all_come_out_alike_have_no_noise() -> None:
    assert difference_over_trainings([1.0, 1.0], [0.5, 0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="1 and 2 training runs; expected at least 2 of both"):
        difference_over_trainings([1.0], [0.5, 0.6])


def test_a_profile_is_the_share_of_trainings_at_each_rate() -> None:
    profile = performance_profile(MATRIX.T.tolist())
    assert profile[0] == 1.0
    assert list(profile) == sorted(profile, reverse=True)
    for at, share in zip(PROFILE_AT, profile, strict=True):
        assert share == pytest.approx(float((at - 1e-9 <= MATRIX).mean()))


def test_one_training_shows_nothing_of_others() -> None:
    with pytest.raises(ValueError, match="at least 2 training runs in each"):
        aggregate([[0.5], [0.7, 0.8]])
    with pytest.raises(ValueError, match="of both in each of the same environments"):
        probability_of_improvement([[0.5, 0.6]], [[0.5, 0.6], [0.1, 0.2]])
    with pytest.raises(ValueError, match="of both in each of the same environments"):
        probability_of_improvement([], [])

"""Tests of agreement find changed outcomes, and leave honest ones alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from agents.evaluation.episode import EpisodeResult
from benchmarks.leaderboard.agreement import SIGNIFICANCE, agreement, combined, odd_one_out, two_proportions


def episodes(successes: Sequence[bool]) -> list[EpisodeResult]:
    return [
        EpisodeResult(seed, bool(success), None, 1.0, 40, bool(success), None, None)
        for seed, success in enumerate(successes)
    ]


def test_equal_episodes_agree_exactly_and_need_no_second_measurement() -> None:
    own = episodes([True, False, True])
    found = agreement(own, own, None, same_machine=False)
    assert (found.test, found.differing, found.p_value) == ("exact", 0, 1.0)


def test_one_changed_episode_of_a_deterministic_agent_disagrees_on_the_same_machine() -> None:
    right, changed = episodes([False] * 20), episodes([True, *[False] * 19])
    found = agreement(changed, right, right, same_machine=True)
    assert (found.test, found.differing, found.p_value) == ("exact", 1, 0.0)


def test_on_another_machine_rounding_may_change_an_episode_and_not_the_rate() -> None:
    right, one, many = episodes([True] * 20), episodes([True] * 19 + [False]), episodes([False] * 8 + [True] * 12)
    assert agreement(one, right, right, same_machine=False).p_value == 1.0
    assert agreement(many, right, right, same_machine=False).p_value < SIGNIFICANCE
    assert two_proportions([True] * 5, [True] * 5) == 1.0


def test_a_stochastic_agent_is_found_out_whichever_way_its_outcomes_were_changed() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for rate in (0.1, 0.5, 0.9):
        submitted, first, second = rng.random((3, 120)) < rate
        # As many successes became failures as failures successes where the rate is a half: the rate does not show it.
        changed = submitted ^ (rng.random(120) < 0.3)
        found = agreement(episodes(changed), episodes(first), episodes(second), same_machine=True)
        assert found.test == "binomial"
        p_values.append(found.p_value)
    assert combined(p_values) < SIGNIFICANCE


def test_honest_stochastic_agents_are_accused_as_seldom_as_stated() -> None:
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        rates = rng.random(20)  # easy and hard episodes
        p_values.append(odd_one_out(*(rng.random((3, 20)) < rates)))
    for level in (0.05, 0.2):
        assert fmean(p <= level for p in p_values) <= level + 0.02
    groups = [combined(p_values[start : start + 8]) for start in range(0, 400, 8)]
    assert fmean(p <= 0.05 for p in groups) <= 0.1
    assert combined([]) == 1.0
    assert combined([0.5, 0.0]) == 0.0

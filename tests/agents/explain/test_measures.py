"""Attributions follow the policy: what they rank first matters, and what the weights do not use has no share."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

import agents
import demos
from agents.explain.case import NamedNumbers, named_numbers
from agents.explain.functions import Inputs, PolicyFunction
from agents.explain.methods.features import Attribution
from agents.explain.references import References

from .measures import (
    Baseline,
    attributions,
    deletions_won,
    known,
    planted,
    rank_correlations,
    share_ranked_first,
    states_of,
)

SMALL_ACT: dict[str, Any] = {"width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
SMALL_LAM: dict[str, Any] = {"width": 16, "layers": 1, "batches": 10, "batch_size": 64, "executed_actions": 1}
"""With one executed action, each state decides on its own action."""
FEATURE = "object/relative"


class Subject(NamedTuple):
    """Trained policy, what it sees in its own episodes, and the attributions there."""

    function: PolicyFunction
    references: References
    states: list[Inputs]
    found: list[Attribution]
    names: list[NamedNumbers]
    baseline: Baseline

    @property
    def planted(self) -> NamedNumbers:
        return next(name for name in self.names if name.name == FEATURE)


def subject(agent: Any, env: gym.Env[Any, Any], dataset: Any, states: int, episodes: int) -> Subject:
    references = References(dataset)
    function, seen = known(agent), states_of(agent, env, states, episodes)
    baseline = references.baseline()
    found = attributions(function, seen, baseline)
    return Subject(function, references, seen, found, named_numbers(env), baseline)


@pytest.fixture(
    scope="module", params=["bc", *(pytest.param(name, marks=pytest.mark.slow) for name in ("act", "lam"))]
)
def small(request: pytest.FixtureRequest, datasets: Any) -> Subject:
    root, ids = datasets
    dataset = demos.load(ids["LamGrasp-v0"], root)
    env = gym.make("LamGrasp-v0", max_episode_steps=20)
    settings = {"bc": {"hidden_sizes": (32, 32)}, "act": SMALL_ACT, "lam": SMALL_LAM}[request.param]
    agent = agents.make(request.param, env, **settings)
    agent.learn(dataset, env, seed=0, budget=6)
    made = subject(agent, env, dataset, 10, 1)
    env.close()
    return made


def check_sums(one: Subject) -> None:
    assert max(each.relative_error for each in one.found) <= 0.02


def check_deletion(one: Subject) -> None:
    won = deletions_won(one.function, one.states, one.found, one.names, one.baseline)
    assert won["alone"] >= 0.95, won


def check_random_weights(one: Subject, networks: int) -> None:
    correlations = rank_correlations(one.function, one.states, one.found, one.baseline, networks)
    assert abs(correlations.mean()) <= 0.2, correlations


def check_planted_cause(one: Subject) -> None:
    with planted(one.function, one.planted, one.baseline):
        assert share_ranked_first(one.function, one.states, one.names, one.planted, one.baseline) >= 0.99


def check_nearest(one: Subject, rows: Any) -> None:
    points = one.references.features(one.function)
    found = [one.references.nearest(points, features_of_row(one, int(row)), 1)[0].row == row for row in rows]
    assert np.mean(found) >= 0.99


def features_of_row(one: Subject, row: int) -> Any:
    """Features of a step of the demonstrations that is asked for alone, as a step of an episode is."""
    return one.references.features(one.function, one.references.inputs(row, one.function.horizon))[0]


def test_contributions_add_up_to_the_difference_of_the_outputs(small: Subject) -> None:
    check_sums(small)


def test_a_planted_cause_is_ranked_first(small: Subject) -> None:
    check_planted_cause(small)


def test_a_state_of_a_demonstration_is_nearest_to_itself(small: Subject) -> None:
    check_nearest(small, range(0, len(small.references.steps), 40))


@pytest.fixture(scope="module", params=["bc", "act", "lam"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    dataset = demos.collect("LamGrasp-v0", episodes=50, seed=0, root=tmp_path_factory.mktemp("full"))
    env = gym.make("LamGrasp-v0")
    if request.param == "lam":
        agent = agents.load_pretrained("lam/generalist", env)
        agent.policy.executed = 1  # each state decides on its own action
    else:
        agent = agents.make(request.param, env)
        agent.learn(dataset, env, seed=0, budget={"bc": 60, "act": 20}[request.param])
    made = subject(agent, env, dataset, 200, 4)
    env.close()
    return made


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two trainings
def test_attributions_of_trained_policies_follow_the_policy(full: Subject) -> None:
    assert len(full.states) == 200
    check_sums(full)
    check_deletion(full)
    check_random_weights(full._replace(states=full.states[::4], found=full.found[::4]), networks=5)
    check_planted_cause(full)
    check_nearest(full, np.random.default_rng(0).choice(len(full.references.steps), 200, replace=False))

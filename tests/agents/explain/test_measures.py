"""Attributions follow the policy: what they rank first matters, and what the weights do not use has no share."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.explain.case import Case, NamedNumbers, named_numbers
from agents.explain.functions import Inputs, PolicyFunction
from agents.explain.methods.features import Attribution, integrated_gradients
from agents.explain.methods.neighbors import explain_neighbors
from agents.explain.references import References
from agents.explain.trace import Trace
from demos.datasets.tree import tree_map

from ..sequence.small import SMALL
from ..test_export import scrambled
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

    agent: Any
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
    return Subject(agent, function, references, seen, found, named_numbers(env), baseline)


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
    traces = demonstrations_as_traces(one.agent, one.references)
    found = []
    for row in rows:
        trace, step = traces[one.references.episodes[row]], int(one.references.steps[row])
        query = one.references.features(one.function, trace.inputs(step, one.function.horizon))[0]
        found.append(one.references.nearest(points, query, 1)[0].row == row)
    assert np.mean(found) >= 0.99


def demonstrations_as_traces(agent: Any, references: References) -> list[Trace]:
    """Return the demonstrations as an agent would remember them, if it had seen them in episodes of its own."""
    traces = []
    for episode in (each for dataset in references.data.datasets for each in dataset.iterate_episodes()):
        seen = [tree_map(itemgetter(step), episode.observations) for step in range(len(episode.actions))]
        memories: list[Any] = [None]
        for observation in seen[:-1]:
            memories.append(agent.predict(observation, memories[-1], deterministic=True)[1])
        nothing: list[Any] = []
        traces.append(Trace(0, seen, memories, list(episode.actions), nothing, None, None, None, nothing, None))
    return traces


def test_contributions_add_up_to_the_difference_of_the_outputs(small: Subject) -> None:
    check_sums(small)


class Kinked(PolicyFunction):
    """Function of one number with 40 kinks between 0 and 1, where it has nearly equal values; it counts its calls."""

    calls = 0

    def _numbers(self, inputs: Inputs) -> torch.Tensor:
        self.calls += 1
        kinks = torch.frac(torch.arange(1, 41) * 0.6180339)
        bent = (inputs.newest - kinks).abs().mean(dim=1, keepdim=True)
        slope = (1.0 - 2.0 * kinks).mean() - 1e-6
        return bent - slope * inputs.newest


def test_contributions_to_nearly_equal_outputs_are_found_quickly() -> None:
    function = Kinked(torch.nn.Identity(), gym.spaces.Box(-1.0, 1.0, (1,)))
    inputs = Inputs(torch.ones(1, 1, 1), torch.zeros(1, 1, dtype=torch.bool))
    found = integrated_gradients(function, inputs, {"": torch.zeros(1, 1, 1)})
    assert np.abs(found.difference).max() < 1e-5
    assert found.relative_error <= 0.02
    assert function.calls < 500


def test_a_planted_cause_is_ranked_first(small: Subject) -> None:
    check_planted_cause(small)


def test_a_state_of_a_demonstration_is_nearest_to_itself(small: Subject) -> None:
    check_nearest(small, range(0, len(small.references.steps), 40))


def test_a_state_of_a_demonstration_is_nearest_to_itself_whatever_the_policy_remembers(datasets: Any) -> None:
    dataset = demos.load(datasets[1]["LamReach-v0"], datasets[0])
    env = gym.make("LamReach-v0")
    # The noise of a chunk follows from the steps since the start of the episode.
    agent = scrambled("diffusion", env, {**SMALL["diffusion"], "noise_scale": 1.0, "obs_horizon": 2})
    references = References(dataset)
    trace = demonstrations_as_traces(agent, references)[0]
    for step in (0, 1, 2, 5, 10):
        case = Case(agent, env, trace, [step], known(agent), references)
        ((nearest, *_),) = explain_neighbors(case).steps
        assert nearest["distance"] == pytest.approx(0.0, abs=1e-3)
        assert (nearest["episode"], nearest["step"]) == (0, step)
    env.close()


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

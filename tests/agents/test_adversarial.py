"""GAIL and AIRL learn from the discriminator, start from a BC policy, and resume after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.data.relabeled import RelabeledDemonstrations
from agents.imitation.bc import BehaviorCloning
from agents.training.run import Run
from demos.datasets.reading import episodes_of

from ..conftest import Make
from .test_rl import same
from .test_runs import Fragile, KilledError

pytestmark = pytest.mark.usefixtures("few_environments")

SMALL: dict[str, Any] = {
    "steps_per_iteration": 80,
    "warm_start_epochs": 2,
    "critic_iterations": 1,
    "bc_updates_per_iteration": 2,
    "epochs": 2,
    "batch_size": 32,
    "hidden_sizes": [16],
    "discriminator_updates": 4,
    "discriminator_batch_size": 64,
}
ROUND = 80
NAMES = ("gail", pytest.param("airl", marks=pytest.mark.slow))
"""Shared behavior is tested quickly with one of them; golden files hold both."""


@pytest.fixture
def reach(datasets: Any, make: Make) -> tuple[Any, gym.Env[Any, Any]]:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root), make("LamReach-v0")


class Unrewarded(gym.RewardWrapper[Any, Any]):
    """Wrapper that returns reward 0."""

    def reward(self, reward: Any) -> float:
        return 0.0


def new(name: str, env: gym.Env[Any, Any], **settings: Any) -> Any:
    return agents.make(name, env, **{**SMALL, **settings})


def actions(agent: Any, dataset: Any) -> np.ndarray[Any, Any]:
    observations = np.concatenate([episode.observations for episode in episodes_of(dataset)])
    result: np.ndarray[Any, Any] = agent.predict(observations, deterministic=True)[0]
    return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warm_start", ["bc", pytest.param("none", marks=pytest.mark.slow)])
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    name: str, warm_start: str, reach: Any, tmp_path: Path
) -> None:
    dataset, env = reach
    untrained, whole = (new(name, env, warm_start=warm_start) for _ in range(2))
    whole.learn(dataset, env, seed=0, budget=3 * ROUND)
    assert not same(whole, untrained)
    deaths = 0
    while True:
        # Whatever happened to the global generators between.
        torch.manual_seed(deaths)
        np.random.seed(deaths)  # noqa: NPY002
        again = new(name, env, warm_start=warm_start)
        run = Fragile(tmp_path / "run")
        run.left = 2
        try:
            again.learn(dataset, env, seed=0, budget=3 * ROUND, run=run)
            break
        except KilledError:
            deaths += 1
    assert deaths >= 2
    assert same(again, whole)
    rewards = zip(again.reward.state_dict().values(), whole.reward.state_dict().values(), strict=True)
    assert all(torch.equal(value, found) for value, found in rewards)
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    np.testing.assert_array_equal(actions(loaded, dataset), actions(whole, dataset))
    assert loaded.training["demonstrations"]["id"] == dataset.id


def test_a_resumed_training_skips_the_warm_start(reach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, env = reach
    whole, again = (new("gail", env, critic_iterations=0) for _ in range(2))
    whole.learn(dataset, env, seed=0, budget=ROUND)
    run = Fragile(tmp_path)
    run.left = 1
    with pytest.raises(KilledError):
        again.learn(dataset, env, seed=0, budget=ROUND, run=run)
    monkeypatch.delattr(BehaviorCloning, "learn")
    again.learn(dataset, env, seed=0, budget=ROUND, run=Run(tmp_path))
    assert same(again, whole)


@pytest.mark.slow
def test_it_starts_as_the_bc_policy_and_stays_so_while_only_the_critic_learns(reach: Any, tmp_path: Path) -> None:
    dataset, env = reach
    bc = agents.make("bc", env, hidden_sizes=SMALL["hidden_sizes"])
    bc.learn(dataset, env, seed=3, budget=SMALL["warm_start_epochs"])
    agent = new("gail", env)
    seen: list[Any] = []

    class PeriodicEvaluation(Run):
        def evaluate(self, agent: Any, env: Any, done: int) -> None:
            seen.append(actions(agent, dataset))

    agent.learn(dataset, env, seed=3, budget=2 * ROUND, run=PeriodicEvaluation())
    expected = actions(bc, dataset)
    np.testing.assert_array_equal(seen[0], expected)
    assert not np.array_equal(seen[1], expected)
    other = new("gail", env)
    other.learn(dataset, env, seed=4, budget=ROUND)
    assert not np.array_equal(actions(other, dataset), expected)
    at_once = new("gail", env, critic_iterations=0)
    at_once.learn(dataset, env, seed=3, budget=ROUND)
    assert not np.array_equal(actions(at_once, dataset), expected)


@pytest.mark.slow
def test_the_reward_of_the_environment_is_not_used(reach: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, env = reach
    agent, unrewarded = (new("gail", env) for _ in range(2))
    agent.learn(dataset, env, seed=0, budget=2 * ROUND)
    made = gym.make
    monkeypatch.setattr(gym, "make", lambda spec: Unrewarded(made(spec)))
    unrewarded.learn(dataset, env, seed=0, budget=2 * ROUND)
    assert same(agent, unrewarded)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_reward_that_was_learned_is_higher_for_the_expert_than_for_random_actions(name: str, reach: Any) -> None:
    dataset, env = reach
    agent = new(name, env, warm_start="none", discriminator_updates=32)
    assert agent.reward is None
    agent.learn(dataset, env, seed=0, budget=4 * ROUND)
    steps: dict[str, list[Any]] = {"expert": [], "random": []}
    for episode in episodes_of(dataset):
        steps["expert"] += zip(episode.observations[:-1], episode.actions, episode.observations[1:], strict=True)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for _ in range(40):
        action = env.action_space.sample()
        after = env.step(action)[0]
        steps["random"].append((observation, action, after))
        observation = after
    mean = {
        kind: agent.reward.predict(*map(np.stack, zip(*rows, strict=True)), np.zeros(len(rows), dtype=bool)).mean()
        for kind, rows in steps.items()
    }
    assert mean["expert"] > mean["random"]


@pytest.mark.parametrize("name", NAMES)
def test_the_discriminator_does_not_use_masked_features(name: str, reach: Any) -> None:
    dataset, env = reach
    agent = new(name, env, masked_features=("goal/position", "tool/position/x"))
    agent.learn(dataset, env, seed=0, budget=ROUND)
    layout: Any = env.unwrapped.layout  # type: ignore[attr-defined]
    episode = next(iter(episodes_of(dataset)))

    def scores(index: int | None) -> Any:
        seen = [episode.observations[:-1].copy(), episode.observations[1:].copy()]
        for each in seen:
            if index is not None:
                each[:, index] += 1.0
        return agent.reward.predict(seen[0], episode.actions, seen[1], np.zeros(len(episode.actions), dtype=bool))

    for index in (layout["goal/position"].slice.start, layout["tool/position"].slice.start):
        np.testing.assert_array_equal(scores(index), scores(None))
    for index in (layout["goal/relative"].slice.start, layout["tool/position"].slice.start + 1):
        assert not np.array_equal(scores(index), scores(None))
    with pytest.raises(ValueError, match="there is no feature 'object/position'"):
        new(name, env, masked_features=("object/position",)).learn(dataset, env, seed=0, budget=ROUND)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("use_actions", [pytest.param(True, marks=pytest.mark.slow), False])
def test_the_discriminator_uses_actions_or_not(name: str, use_actions: bool, reach: Any) -> None:
    dataset, env = reach
    agent = new(name, env, use_actions=use_actions)
    agent.learn(dataset, env, seed=0, budget=ROUND)
    episode = next(iter(episodes_of(dataset)))
    seen, after = episode.observations[:-1], episode.observations[1:]
    ends = np.zeros(len(seen), dtype=bool)
    one, other = (agent.reward.predict(seen, actions, after, ends) for actions in (episode.actions, -episode.actions))
    assert np.array_equal(one, other) != use_actions


@pytest.mark.parametrize("warm_start", ["none", pytest.param("bco", marks=pytest.mark.slow)])
def test_gail_learns_from_observations_alone(warm_start: str, reach: Any) -> None:
    dataset, env = reach
    data = DemonstrationData(dataset)
    garbage = RelabeledDemonstrations(data, np.full((data.total_steps, 4), np.nan, dtype=np.float32))
    alone = {"use_actions": False, "use_next_observations": True, "warm_start": warm_start}
    agent, blind = (new("gail", env, **alone) for _ in range(2))
    agent.learn(data, env, seed=0, budget=ROUND)
    blind.learn(garbage, env, seed=0, budget=ROUND)
    assert same(agent, blind)
    episode = next(iter(episodes_of(dataset)))
    seen, after, ends = episode.observations[:-1], episode.observations[1:], np.zeros(len(episode), dtype=bool)
    scores = [agent.reward.predict(seen, actions, after, ends) for actions in (episode.actions, -episode.actions)]
    np.testing.assert_array_equal(*scores)
    assert not np.array_equal(scores[0], agent.reward.predict(seen, episode.actions, seen, ends))


@pytest.mark.slow
def test_bc_regularization_keeps_a_policy_nearer_to_the_demonstrations(reach: Any) -> None:
    dataset, env = reach
    shown = np.concatenate([episode.actions for episode in episodes_of(dataset)])
    seen = np.concatenate([episode.observations[:-1] for episode in episodes_of(dataset)])

    def error(bc_updates_per_iteration: int) -> float:
        agent = new(
            "gail",
            env,
            bc_updates_per_iteration=bc_updates_per_iteration,
            learning_rate=0.003,
            target_kl=0.0,
            warm_start_epochs=20,
        )
        agent.learn(dataset, env, seed=0, budget=3 * ROUND)
        return float(np.abs(agent.predict(seen, deterministic=True)[0] - shown).mean())

    assert error(50) < 0.8 * error(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_discrete_actions_are_learned_too(name: str, make: Make, tmp_path: Path) -> None:
    env = make("LamReachDiscrete-v0")
    dataset = demos.collect("LamReachDiscrete-v0", episodes=4, root=tmp_path)
    agent = new(name, env)
    agent.learn(dataset, env, seed=0, budget=2 * ROUND)
    assert env.action_space.contains(agent.predict(env.reset(seed=0)[0], deterministic=True)[0])


def test_nothing_is_printed_and_nothing_written(
    reach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset, env = reach
    monkeypatch.chdir(tmp_path)
    new("gail", env).learn(dataset, env, seed=0, budget=ROUND)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_unusable_demonstrations_and_budgets_are_refused(name: str, datasets: Any, reach: Any, make: Make) -> None:
    dataset, env = reach
    with pytest.raises(ValueError, match=f"agent {name} needs observations that are one array of numbers; .* Dict"):
        agents.make(name, make("LamReachGoal-v0"))
    root, ids = datasets
    with pytest.raises(ValueError, match="this agent's environment has"):
        new(name, env).learn(demos.load(ids["LamGrasp-v0"], root), env, seed=0)
    with pytest.raises(ValueError, match="the budget is 79 steps; expected at least the 80 of one iteration"):
        new(name, env).learn(dataset, env, seed=0, budget=79)
    with pytest.raises(ValueError, match="seed is -1"):
        new(name, env).learn(dataset, env, seed=-1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warm_start": "sac"}, "warm_start of agent gail is 'sac'; expected 'bc', 'bco' or 'none'"),
        ({"critic_iterations": -1}, "critic_iterations of agent gail is -1; expected at least 0"),
        ({"discriminator_updates": 0}, "discriminator_updates of agent gail is 0; expected at least 1"),
        ({"discriminator_learning_rate": 0.0}, "discriminator_learning_rate of agent gail is 0.0; expected above 0"),
        ({"gamma": 1.5}, "gamma of agent gail is 1.5; expected at most 1"),
        ({"reward_hidden_sizes": [0]}, r"reward_hidden_sizes of agent gail is \(0,\); expected at least 1"),
        ({"target_kl": -0.1}, "target_kl of agent gail is -0.1; expected at least 0"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make("gail", make("LamReach-v0"), **settings)

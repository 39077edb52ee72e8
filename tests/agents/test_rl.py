"""Algorithms that learn from the reward alone: they learn, and a training that died ends with the same weights."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents.training.run import Run
from agents.training.stable_baselines.training import SeededEpisodes, training_envs

from ..conftest import Make
from .images import check_that_actions_depend_on_images
from .test_runs import Fragile, KilledError

pytestmark = pytest.mark.usefixtures("few_environments")

OFF_POLICY: dict[str, Any] = {"learning_starts": 100, "batch_size": 16, "hidden_sizes": [16], "train_freq": 4}
ALGORITHMS: list[tuple[str, str, int, dict[str, Any]]] = [
    ("dqn", "LamReachDiscrete-v0", 200, OFF_POLICY),
    ("sac", "LamReach-v0", 200, OFF_POLICY),
    ("sac", "LamReachGoal-v0", 200, OFF_POLICY),
    ("ppo", "LamReach-v0", 3 * 80, {"steps_per_iteration": 80, "batch_size": 40, "epochs": 2, "hidden_sizes": [16]}),
]


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.policy.state_dict().items(), other.policy.state_dict().items(), strict=True)
    return all(name == also and torch.equal(value, found) for (name, value), (also, found) in pairs)


@pytest.mark.parametrize(
    ("name", "env_id", "steps", "settings"),
    [
        pytest.param(
            *each,
            id=f"{each[0]}-{each[1]}",
            marks=[] if each[0] == "ppo" else [pytest.mark.slow],
        )
        for each in ALGORITHMS
    ],
)
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    name: str, env_id: str, steps: int, settings: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    untrained, whole = (agents.make(name, env, **settings) for _ in range(2))
    whole.learn(None, env, seed=0, budget=steps)
    assert not same(whole, untrained)
    deaths = 0
    while True:
        # Whatever happened to the global generators between.
        torch.manual_seed(deaths)
        again = agents.make(name, env, **settings)
        run = Fragile(tmp_path / "run")
        run.left = 2
        try:
            again.learn(None, env, seed=0, budget=steps, run=run)
            break
        except KilledError:
            deaths += 1
    assert deaths >= 1
    assert same(again, whole)
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    observation, _ = env.reset(seed=0)
    action = loaded.predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(action, whole.predict(observation, deterministic=True)[0])
    assert loaded.training["demonstrations"] is None
    other = agents.make(name, env, **settings)
    other.learn(None, env, seed=1, budget=steps)
    assert not same(other, whole)


@pytest.mark.parametrize(
    ("name", "env_id", "steps", "settings"),
    [pytest.param(*ALGORITHMS[0], id="dqn", marks=pytest.mark.slow), pytest.param(*ALGORITHMS[3], id="ppo")],
)
def test_a_training_leaves_nothing_among_the_temporary_files(
    name: str,
    env_id: str,
    steps: int,
    settings: dict[str, Any],
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The first optimizer of a process imports this, which makes a folder for compiled code.
    importlib.import_module("torch._dynamo")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    env = make(env_id)
    agents.make(name, env, **settings).learn(None, env, seed=0, budget=steps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "env_id", "settings", "expected"),
    [
        # The last rollouts end beyond the budget.
        pytest.param("ppo", "LamReach-v0", ALGORITHMS[3][3], [80, 160, 240], id="ppo"),
        pytest.param("dqn", "LamReachDiscrete-v0", OFF_POLICY, [80, 120, 200, 232], id="dqn", marks=pytest.mark.slow),
    ],
)
def test_periodic_evaluations_reach_the_end_and_do_not_change_a_training(
    name: str, env_id: str, settings: dict[str, Any], expected: list[int], make: Make, tmp_path: Path
) -> None:
    env = make(env_id)
    agent, watched = (agents.make(name, env, **settings) for _ in range(2))
    agent.learn(None, env, seed=0, budget=230)
    shown: list[int] = []

    class PeriodicEvaluation(Run):
        def log(self, done: int, **numbers: float) -> None:
            super().log(done, **numbers)
            shown.extend([done] if "success" in numbers else [])

    watched.learn(None, env, seed=0, budget=230, run=PeriodicEvaluation(tmp_path, episodes=1, evaluations=4))
    assert shown == expected
    assert same(watched, agent)
    assert list(tmp_path.glob("events.out.tfevents*"))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("ppo", {"steps_per_iteration": 80, "batch_size": 40}, marks=pytest.mark.slow),
        ("sac", {"learning_starts": 20, "batch_size": 16, "buffer_size": 100}),
    ],
)
def test_agents_learn_from_images(name: str, settings: dict[str, Any], make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0", image_width=24, image_height=28)
    agent = agents.make(name, env, hidden_sizes=[8], **settings)
    agent.learn(None, env, seed=0, budget=80 if name == "ppo" else 40)
    check_that_actions_depend_on_images(agent, env, tmp_path)


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_learning_less_often_than_the_training_ends_is_refused(name: str, make: Make) -> None:
    env = make("LamReachDiscrete-v0" if name == "dqn" else "LamReach-v0")
    with pytest.raises(ValueError, match="train_freq is 100; expected at most the 80 steps"):
        agents.make(name, env, train_freq=100, hidden_sizes=[8]).learn(None, env, seed=0, budget=80)


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_a_training_that_ends_before_it_learns_is_refused(name: str, make: Make) -> None:
    env = make("LamReachDiscrete-v0" if name == "dqn" else "LamReach-v0")
    with pytest.raises(
        ValueError, match="the budget is 80 steps and learning_starts is 80: the agent would not learn"
    ):
        agents.make(name, env, learning_starts=80, hidden_sizes=[8]).learn(None, env, seed=0, budget=80)


@pytest.mark.slow
def test_ppo_learns_to_reach(make: Make) -> None:
    env = make("LamReach-v0")
    agent = agents.make("ppo", env)
    agent.learn(None, env, seed=0, budget=150_000)
    assert agents.evaluate(agent, env, seeds=range(1000, 1100)).success_rate > 0.8


def test_every_episode_has_a_seed_that_follows_from_its_number(make: Make) -> None:
    one, other = (SeededEpisodes(make("LamReach-v0"), seed=3) for _ in range(2))
    seen = [one.reset()[0] for _ in range(3)]
    other.episode = 2
    np.testing.assert_array_equal(other.reset(seed=77)[0], seen[2])
    assert not np.array_equal(seen[0], seen[1])
    envs = training_envs(make("LamReach-v0"), seed=3, count=2)
    first: Any = envs.reset()
    envs.close()
    np.testing.assert_array_equal(first[0], seen[0])
    assert not np.array_equal(first[0], first[1])


def test_environments_that_agents_cannot_train_in_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="agent dqn needs discrete actions; this environment has Box"):
        agents.make("dqn", make("LamReach-v0"))
    with pytest.raises(ValueError, match="agent sac needs continuous actions; this environment has Discrete"):
        agents.make("sac", make("LamReachDiscrete-v0"))
    ends = make("LamReach-v0", terminate_on_success=True)
    with pytest.raises(ValueError, match="terminate_on_success is True; agents train in episodes of fixed length"):
        agents.make("ppo", ends).learn(None, ends, seed=0, budget=400)
    bare: gym.Env[Any, Any] = make("LamReach-v0").unwrapped
    bare.spec = None
    with pytest.raises(ValueError, match=r"no spec with max_episode_steps: make it by gym\.make"):
        agents.make("ppo", bare).learn(None, bare, seed=0, budget=400)
    with pytest.raises(ValueError, match="budget is 0"):
        agents.make("ppo", make("LamReach-v0")).learn(None, make("LamReach-v0"), seed=0, budget=0)


@pytest.mark.parametrize(
    ("name", "env_id", "settings", "message"),
    [
        ("dqn", "LamReachDiscrete-v0", {"gamma": 1.0}, "setting gamma of agent dqn is 1.0; expected below 1"),
        (
            "dqn",
            "LamReachDiscrete-v0",
            {"exploration_final_eps": 2.0},
            "exploration_final_eps of agent dqn is 2.0; expected at most 1",
        ),
        ("sac", "LamReach-v0", {"tau": 0.0}, "tau of agent sac is 0.0; expected above 0"),
        ("sac", "LamReach-v0", {"train_freq": 0}, "train_freq of agent sac is 0; expected at least 1"),
        ("ppo", "LamReach-v0", {"gae_lambda": 1.5}, "gae_lambda of agent ppo is 1.5; expected at most 1"),
    ],
)
def test_settings_out_of_range_are_refused(
    name: str, env_id: str, settings: dict[str, Any], message: str, make: Make
) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make(name, make(env_id), **settings)

"""Evaluation with several episodes at once: the same episodes and results as one at a time, from batches."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import agents
from agents.evaluation.evaluation import Evaluation
from agents.registry import AGENTS, find
from agents.spec import TakesBatches
from agents.training.policy_agent import PolicyAgent

from ..conftest import Make
from .test_agents import StillAgent
from .test_evaluation import Done

EARLY: dict[str, Any] = {"terminate_on_success": True}
"""Keywords of an environment whose episodes have different lengths."""


class Waiting:
    """Agent with a memory: stays for some steps of each episode, then moves to the goal."""

    takes_batches = True

    def __init__(self, env: Any) -> None:
        self._goal = env.unwrapped.layout["goal/relative"]
        self.rows: list[int] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        seen = np.atleast_2d(observation)
        steps = np.zeros(len(seen), dtype=int) if state is None else np.where(episode_start, 0, state)
        self.rows.append(len(seen))
        moves = np.clip(seen[:, self._goal.slice] * self._goal.scale / 0.05, -1.0, 1.0)
        actions = np.pad(np.where(steps[:, None] < 5, 0.0, moves), ((0, 0), (0, 1))).astype(np.float32)
        return (actions if np.ndim(observation) > 1 else actions[0]), steps + 1


@pytest.mark.parametrize("num_envs", [2, 3, 7, 20])
def test_episodes_at_once_have_the_results_of_one_at_a_time(num_envs: int, make: Make) -> None:
    env = make("LamReach-v0", **EARLY)
    expected = agents.evaluate(Waiting(env), env, seeds=range(40, 47))
    assert len({each.length for each in expected.episodes}) > 2
    agent, begun = Waiting(env), list[int]()
    found = agents.evaluate(agent, env, seeds=range(40, 47), num_envs=num_envs, on_episode=begun.append)
    assert found == expected
    assert [each.seed for each in found.episodes] == begun == list(range(40, 47))
    assert agents.evaluate(Waiting(env), "LamReach-v0", seeds=range(40, 47), num_envs=num_envs, **EARLY) == expected
    assert set(agent.rows) == {min(num_envs, 7)}


def test_no_environment_waits_while_there_are_seeds(make: Make) -> None:
    env = make("LamReach-v0", **EARLY)
    agent = Waiting(env)
    lengths = [each.length for each in agents.evaluate(agent, env, seeds=range(12), num_envs=3).episodes]
    idle = sum(agent.rows) - sum(lengths)
    assert idle <= 2 * max(lengths)


def rounded(result: Evaluation) -> list[Any]:
    """Return the results of episodes with fewer digits."""
    return [
        replace(each, episode_return=round(each.episode_return, 2), jerk=None, peak_force=None)
        for each in result.episodes
    ]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bc", {"hidden_sizes": (16,)}),
        ("bc-rnn", {"width": 16, "hidden_size": 16}),
        ("diffusion", {"width": 16, "hidden_size": 16}),
        ("lam", {"width": 16}),
        ("ppo", {}),
    ],
)
def test_networks_act_alike_in_batches(name: str, settings: dict[str, Any], make: Make) -> None:
    env = make("LamReach-v0", max_episode_steps=12, instruct=name == "lam")
    agent = agents.make(name, env, **settings)
    one, several = (agents.evaluate(agent, env, seeds=range(5), num_envs=count) for count in (1, 3))
    assert rounded(several) == rounded(one)
    assert several == agents.evaluate(agent, env, seeds=range(5), num_envs=3)


def test_models_of_stable_baselines3_act_on_batches(make: Make) -> None:
    from stable_baselines3 import DQN
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    env = make("LamReachDiscrete-v0", max_episode_steps=8)
    model = DQN("MlpPolicy", env, buffer_size=10)
    one, several = (agents.evaluate(model, env, seeds=range(3), num_envs=count) for count in (1, 2))
    assert rounded(several) == rounded(one)
    normalized = DQN("MlpPolicy", VecNormalize(DummyVecEnv([lambda: env])), buffer_size=10)
    with pytest.raises(ValueError, match="VecEnvAgent acts in one episode at a time: use num_envs=1"):
        agents.evaluate(normalized, env, seeds=range(3), num_envs=2)


def test_all_our_agents_that_learn_act_on_batches() -> None:
    for name in AGENTS:
        agent = find(name)
        assert (issubclass(agent, PolicyAgent) and agent.takes_batches) == (name not in ("random", "expert"))


def still(observation: Any) -> Any:
    """Return an action that does nothing."""
    return np.zeros(4, dtype=np.float32)


class WrongShape(StillAgent):
    """Agent that declares that it acts on batches, and does not."""

    takes_batches = True


def test_agents_that_act_in_one_episode_at_a_time_are_refused(make: Make) -> None:
    env = make("LamReach-v0")
    for agent in (agents.make(f"{__name__}:still", env), StillAgent(env), agents.make("ws://127.0.0.1:9", env)):
        assert not isinstance(agent, TakesBatches)
        with pytest.raises(ValueError, match=rf"num_envs is 2, but {type(agent).__name__} acts in one episode at a"):
            agents.evaluate(agent, env, seeds=range(2), num_envs=2)
    with pytest.raises(ValueError, match=r"actions of shape \(4,\) for 2 observations; expected \(2, 4\)"):
        agents.evaluate(WrongShape(env), env, seeds=range(2), num_envs=2)


def test_numbers_and_environments_that_cannot_be_used_are_refused(make: Make) -> None:
    env = make("LamReach-v0")
    for count in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match=rf"num_envs is {count}; expected a whole number of at least 1"):
            agents.evaluate(Waiting(env), env, seeds=[0], num_envs=count)  # type: ignore[arg-type]
    alone = Done(gym.envs.registration.load_env_creator("gymnasium.envs.classic_control:CartPoleEnv")())
    with pytest.raises(ValueError, match="has no spec to make copies from: give the id of an environment, or use"):
        agents.evaluate(Waiting(env), alone, seeds=range(2), num_envs=2)


def test_an_episode_at_once_with_others_that_takes_too_long_is_an_error(make: Make) -> None:
    class Slow(Waiting):
        def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
            time.sleep(0.02)
            return super().predict(*args, **keywords)

    env = make("LamReach-v0")
    with pytest.raises(TimeoutError, match=r"the episode with seed 8 took longer than 0.1 s"):
        agents.evaluate(Slow(env), env, seeds=[8, 9], num_envs=2, episode_seconds=0.1)

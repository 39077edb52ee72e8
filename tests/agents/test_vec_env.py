"""The VecEnv of Stable-Baselines3 over worker processes does what DummyVecEnv does, bit for bit."""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

import agents
from agents.rl.ppo import PPOAgent
from agents.training.stable_baselines import training as stable_baselines
from agents.training.stable_baselines.training import SeededEpisodes, next_episode, rollout_env, training_envs
from agents.training.stable_baselines.vec_env import ParallelVecEnv
from lam_envs.vector import ParallelVectorEnv

from ..conftest import Make
from ..lam_envs.vector.comparing import SMALL_IMAGES, assert_same

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("LamReachDiscrete-v0", {"max_episode_steps": 3}),
    ("LamReachGoal-v0", {"max_episode_steps": 3}),
    ("LamReachPixels-v0", {**SMALL_IMAGES, "max_episode_steps": 3, "randomize": "physics", "instruct": True}),
]


def parallel(functions: list[Any], workers: int) -> ParallelVecEnv:
    return ParallelVecEnv(ParallelVectorEnv(functions, num_workers=workers, autoreset_mode="SameStep"))


def plain(value: Any) -> Any:
    """Return infos with arrays of shape () as numbers: both kinds of VecEnv may have either."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


@pytest.mark.parametrize(
    ("env_id", "keywords", "workers"),
    [
        # Two processes quickly with images, which are the most; the others are slow.
        pytest.param(*kind, workers, marks=pytest.mark.slow if workers == 2 and kind is not KINDS[-1] else ())
        for kind in KINDS
        for workers in (1, 2)
    ],
)
def test_steps_resets_and_infos_are_those_of_dummy_vec_env(
    env_id: str, keywords: dict[str, Any], workers: int
) -> None:
    functions = [partial(gym.make, env_id, **keywords)] * 3
    both: tuple[VecEnv, ...] = (DummyVecEnv(functions), parallel(functions, workers))
    both[0].action_space.seed(0)
    actions = [np.stack([both[0].action_space.sample() for _ in range(3)]) for _ in range(7)]
    results = []
    for envs in both:
        envs.seed(5)
        found: list[Any] = [envs.reset(), plain(envs.reset_infos)]
        for action in actions:
            observations, rewards, dones, infos = envs.step(action)
            found += [observations, rewards, dones, plain(infos), plain(envs.reset_infos)]
        envs.set_options([{"instruction": "go"}, {}, {"instruction": "go on"}])
        found += [envs.reset(), plain(envs.reset_infos)]
        results.append(found)
    for envs in both:
        envs.close()
    assert_same(results[1], [dict(part) if isinstance(part, dict) else part for part in results[0]])


def test_methods_and_attributes_are_those_of_some_environments() -> None:
    images = {"render_mode": "rgb_array", "render_width": 8, "render_height": 8}
    envs = parallel([partial(gym.make, "LamReach-v0", **images)] * 3, 2)
    envs.seed(0)
    envs.reset()
    assert envs.get_attr("task_name", [2]) == ["reach"]
    envs.set_attr("note", 4, indices=1)
    assert envs.get_attr("note", 1) == [4]
    assert not envs.has_attr("other")
    assert len(envs.env_method("get_state", indices=[0, 2])) == 2
    assert envs.env_is_wrapped(TimeLimit) == [True] * 3
    assert envs.env_is_wrapped(SeededEpisodes, indices=[1]) == [False]
    picture = envs.render()
    assert picture is not None
    assert picture.shape == (16, 16, 3)
    envs.close()
    with pytest.raises(ValueError, match="autoreset_mode is NextStep; expected SameStep"):
        ParallelVecEnv(ParallelVectorEnv([partial(gym.make, "LamReach-v0")]))


def test_training_gives_the_same_weights_with_any_number_of_processes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReach-v0")
    monkeypatch.setattr(PPOAgent, "n_envs", 3)
    weights = []
    for workers in (1, 2):
        monkeypatch.setattr(stable_baselines, "_training_workers", lambda _, number=workers: number)
        agent: Any = agents.make("ppo", env, hidden_sizes=(8,), steps_per_iteration=120, epochs=1)
        agent.learn(None, env, seed=0, budget=120)
        weights.append(agent.policy.state_dict())
    monkeypatch.setattr(stable_baselines, "training_envs", dummy_envs)
    agent = agents.make("ppo", env, hidden_sizes=(8,), steps_per_iteration=120, epochs=1)
    agent.learn(None, env, seed=0, budget=120)
    for found in weights:
        assert all(torch.equal(found[name], value) for name, value in agent.policy.state_dict().items())
    assert not multiprocessing.active_children()


def dummy_envs(env: Any, seed: int, count: int) -> VecEnv:
    return DummyVecEnv([partial(rollout_env, env, seed, index) for index in range(count)])


def test_the_number_of_the_next_episode_reaches_all_processes(make: Make) -> None:
    envs = training_envs(make("LamReach-v0"), seed=3, count=3)
    seen = [envs.reset() for _ in range(3)]
    next_episode(envs, 1)
    assert_same(envs.reset(), seen[1])
    envs.close()


def test_a_job_of_an_engine_and_egl_have_no_processes_of_their_own(make: Make) -> None:
    assert stable_baselines._training_workers(make("LamReachPixels-v0", renderer="egl")) == 1
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=send_workers, args=(sender,))
    child.start()
    assert receiver.recv() == 1
    child.join()


def send_workers(sender: Any) -> None:
    env = gym.make("LamReach-v0")
    sender.send(stable_baselines._training_workers(env))
    env.close()

"""Stable-Baselines3's own algorithms learn on the environments without a wrapper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import DQN, SAC, HerReplayBuffer

import lam_envs  # noqa: F401  (registers the ids)

STEPS = 240


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other by spinning take minutes where other processes have the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def check(model: Any) -> None:
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(STEPS)
    assert model.num_timesteps == STEPS
    after = model.policy.state_dict()
    assert any((before[name] != after[name]).any() for name in before), "nothing was learned"


def test_dqn_learns_on_discrete_actions() -> None:
    check(DQN("MlpPolicy", "LamGraspDiscrete-v0", learning_starts=100, seed=0))


@pytest.mark.slow
def test_sac_learns_on_end_effector_actions() -> None:
    check(SAC("MlpPolicy", "LamGrasp-v0", seed=0))


@pytest.mark.slow
def test_sac_with_hindsight_learns_on_goals() -> None:
    model = SAC("MultiInputPolicy", "LamGraspGoal-v0", replay_buffer_class=HerReplayBuffer, seed=0)
    check(model)


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGraspGoal-v0"])
def test_stable_baselines3_vectorizes_in_processes(env_id: str) -> None:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    single = gym.make(env_id)
    single.reset(seed=0)
    # The workers import nothing of ours by themselves.
    vector = make_vec_env(f"lam_envs:{env_id}", n_envs=2, seed=0, vec_env_cls=SubprocVecEnv)
    vector.reset()
    _, rewards, _, _ = vector.step([vector.action_space.sample() for _ in range(2)])  # type: ignore[arg-type]
    assert rewards.shape == (2,)
    vector.close()
    single.close()

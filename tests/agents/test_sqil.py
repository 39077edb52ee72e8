"""SQIL: demonstrated steps are paid for, its own are not, and a time limit is no end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.training.stable_baselines import training as stable_baselines

from ..conftest import Make
from .test_rl import OFF_POLICY, same
from .test_runs import Fragile, KilledError


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return demos.collect("LamReachDiscrete-v0", episodes=4, root=tmp_path_factory.mktemp("sqil"))


def test_demonstrated_steps_are_paid_and_a_time_limit_is_no_end(
    shown: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReachDiscrete-v0")
    seen: list[Any] = []
    train = stable_baselines.train
    monkeypatch.setattr(
        stable_baselines, "train", lambda model, *args, **kwargs: (seen.append(model), train(model, *args, **kwargs))
    )
    agents.make("sqil", env, **OFF_POLICY).learn(shown, env, seed=0, budget=200)
    buffer = seen[0].replay_buffer
    batch = buffer.sample(64)
    np.testing.assert_array_equal(batch.rewards.numpy().ravel(), [0.0] * 32 + [1.0] * 32)
    assert buffer.dones[: buffer.size()].sum() == 5
    for _ in range(10):
        assert not buffer.sample(256).dones.any()
    demonstrated = np.concatenate([episode.observations[:-1] for episode in shown.iterate_episodes()])
    np.testing.assert_array_equal(buffer.expert_buffer.observations[:, 0], demonstrated)


@pytest.mark.slow
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(shown: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReachDiscrete-v0")
    whole = agents.make("sqil", env, **OFF_POLICY)
    whole.learn(shown, env, seed=0, budget=400)
    deaths = 0
    while True:
        torch.manual_seed(deaths)
        again = agents.make("sqil", env, **OFF_POLICY)
        run = Fragile(tmp_path / "run")
        run.left = 2
        try:
            again.learn(shown, env, seed=0, budget=400, run=run)
            break
        except KilledError:
            deaths += 1
    assert deaths >= 1
    assert same(again, whole)
    assert same(agents.load(again.save(tmp_path / "agent"), env), whole)


def test_other_spaces_are_refused(shown: Any, make: Make) -> None:
    with pytest.raises(ValueError, match="agent sqil needs discrete actions"):
        agents.make("sqil", make("LamReach-v0"))
    with pytest.raises(ValueError, match="this environment's observations are a dict of achieved_goal"):
        agents.make("sqil", make("LamReachGoal-v0", control="discrete"))
    grasp = make("LamGraspDiscrete-v0")
    with pytest.raises(ValueError, match="this agent's environment has"):
        agents.make("sqil", grasp, **OFF_POLICY).learn(shown, grasp, seed=0, budget=100)


def test_minibatches_are_on_the_device_of_the_training_where_there_is_a_gpu(
    shown: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReachDiscrete-v0")
    agent: Any = agents.make("sqil", env, **OFF_POLICY)
    envs = stable_baselines.training_envs(env, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = agent._new_model(envs, DemonstrationData(shown), "cpu")
    envs.close()
    assert model.replay_buffer.expert_buffer.sample(4).observations.device.type == "cpu"

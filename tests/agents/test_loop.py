"""The training loop: moving average, weight decay, schedule, validation, exact resuming."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.data.demonstrations import Transitions
from agents.imitation.bc import BCPolicy, BCSettings
from agents.policies.torch_policy import TorchPolicy
from agents.training.checkpoints import read_state, write_state
from agents.training.loop import LoopSettings, TrainingLoop
from agents.training.randomness import generators, isolated_rng, set_generators

OBSERVATIONS, ACTIONS = gym.spaces.Box(-1.0, 1.0, (3,)), gym.spaces.Box(-1.0, 1.0, (2,))


def steps(count: int = 64, seed: int = 0) -> Transitions:
    generator = torch.Generator().manual_seed(seed)
    observations = torch.rand(count, 3, generator=generator) * 2 - 1
    return Transitions(observations, observations[:, :2].clone() * 0.5)


def bc_policy() -> BCPolicy:
    return BCPolicy(OBSERVATIONS, ACTIONS, BCSettings(hidden_sizes=(8,)))


class Constant(TorchPolicy):
    """Policy whose loss has gradient 0."""

    def __init__(self) -> None:
        super().__init__(OBSERVATIONS, ACTIONS)
        self.layer = torch.nn.Linear(3, 2)

    def compute_loss(self, batch: Transitions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return 0.0 * self.layer(batch.observations).sum(), {}

    def predict_action(
        self, observation: Any, memory: Any = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Any]:
        return 10.0 * self.layer(observation), (memory or 0) + 1

    def fit_normalizer(self, statistics: Any, masked: Any = ()) -> None:
        pass


def run(loop: TrainingLoop) -> TorchPolicy:
    while not loop.is_done:
        loop.epoch()
    return loop.result()


def test_the_result_is_the_moving_average_of_the_weights() -> None:
    with isolated_rng(0):
        loop = TrainingLoop(bc_policy(), steps(), LoopSettings(5, 64, 0.01, ema_decay=0.8), seed=0)
        average = copy.deepcopy(loop.policy.state_dict())
        for _ in range(5):
            loop.epoch()  # one update
            for name, value in loop.policy.state_dict().items():
                average[name] = 0.8 * average[name] + 0.2 * value
        last = copy.deepcopy(loop.policy.state_dict())
        result = loop.result().state_dict()
    for name, value in result.items():
        torch.testing.assert_close(value, average[name])
    assert any(not torch.equal(value, last[name]) for name, value in result.items())


class Shared(Constant):
    """Policy with one layer under two names, as one encoder for two cameras has."""

    def __init__(self) -> None:
        super().__init__()
        self.also = self.layer

    def compute_loss(self, batch: Transitions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return (self.layer(batch.observations) - batch.actions).square().mean(), {}


def test_the_average_of_a_shared_layer_is_updated_once_and_resumes_the_same() -> None:
    def new() -> TrainingLoop:
        return TrainingLoop(Shared(), steps(), LoopSettings(4, 64, 0.1, ema_decay=0.5), seed=0)

    with isolated_rng(0):
        loop = new()
        first = loop.policy.layer.weight.detach().clone()
        loop.epoch()  # one update
        last, state = loop.policy.layer.weight.detach().clone(), copy.deepcopy(loop.state())
        torch.testing.assert_close(loop.state()["average"]["also.weight"], 0.5 * first + 0.5 * last)
        whole = run(loop).state_dict()
    with isolated_rng(0):
        loop = new()
        loop.restore({**state, "average": {name: value.clone() for name, value in state["average"].items()}})
        resumed = run(loop).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_the_generators_of_gpus_are_part_of_the_state_where_pytorch_uses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "cuda" not in generators()
    current = torch.tensor([1, 2], dtype=torch.uint8)
    restored: dict[int, torch.Tensor] = {}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [current, current])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda numbers, device: restored.update({device: numbers}))
    set_generators(generators())
    assert restored == {0: current}


def test_weights_decay_apart_from_the_gradient_and_with_the_learning_rate() -> None:
    with isolated_rng(0):
        loop = TrainingLoop(Constant(), steps(), LoopSettings(4, 64, 0.1, weight_decay=0.5), seed=0)
        first = {name: value.clone() for name, value in loop.policy.state_dict().items()}
        last = run(loop).state_dict()
    factor = math.prod(1.0 - 0.5 * 0.1 * 0.5 * (1.0 + math.cos(math.pi * epoch / 4)) for epoch in range(4))
    for name, value in last.items():
        torch.testing.assert_close(value, factor * first[name])


@pytest.mark.parametrize("settings", [{"ema_decay": 0.9}, {"patience": 2, "weight_decay": 0.01}])
def test_a_loop_that_resumes_from_a_file_ends_with_the_same_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    def new() -> TrainingLoop:
        validation = steps(32, seed=1) if "patience" in settings else None
        return TrainingLoop(
            bc_policy(), steps(), LoopSettings(6, 16, 0.03, **settings), seed=3, validation=validation
        )

    with isolated_rng(3):
        whole = run(new()).state_dict()
    with isolated_rng(3):
        loop = new()
        for _ in range(2):
            loop.epoch()
        path = write_state(tmp_path / "state", loop.state())
    with isolated_rng(3):
        loop = new()
        loop.restore(read_state(path))
        assert loop.epochs_done == 2
        resumed = run(loop).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


@pytest.mark.parametrize("settings", [{"patience": 3}, {"ema_decay": 0.9}])
def test_the_result_has_the_weights_of_the_lowest_validation_loss(settings: dict[str, Any]) -> None:
    validation = steps(32, seed=1)
    with isolated_rng(0):
        loop = TrainingLoop(
            bc_policy(), steps(), LoopSettings(40, 16, 0.1, **settings), seed=0, validation=validation
        )
        losses = []
        while not loop.is_done:
            loop.epoch()
            losses.append(loop.logs["validation loss"])
        result = loop.result()
        final = float(result.compute_loss(validation)[0].detach())
    assert final == pytest.approx(min(losses), abs=1e-5)
    assert len(losses) == 40 or losses.index(min(losses)) == len(losses) - 4


def test_a_policy_predicts_for_one_observation_and_for_a_batch_within_bounds() -> None:
    with isolated_rng(0):
        policy = Constant()
    rows = steps(5).observations.numpy()
    actions, memory = policy.predict(rows, deterministic=True)
    assert (actions.shape, memory) == ((5, 2), 1)
    assert ACTIONS.contains(actions[0])
    one, memory = policy.predict(rows[0], memory, deterministic=True)
    assert (one.shape, memory) == ((2,), 2)
    assert one == pytest.approx(actions[0], abs=1e-6)
    assert policy.predict(rows[0], memory, episode_start=[True])[1] == 1
    with pytest.raises(ValueError, match=r"observation array has shape \(4,\); expected \(3,\), or \(N, 3\)"):
        policy.predict(rows[0, :1].repeat(4))


def test_each_entry_of_an_observation_is_checked() -> None:
    space = gym.spaces.Dict({"a": gym.spaces.Box(-1.0, 1.0, (3,)), "b": gym.spaces.Box(-1.0, 1.0, (2,))})
    policy = Constant()
    TorchPolicy.__init__(policy, space, ACTIONS)
    policy.layer = torch.nn.Linear(3, 2)
    one, several, wide = np.zeros(3, np.float32), np.zeros((4, 2), np.float32), np.zeros(4, np.float32)
    for observation, message in (
        ({"a": one}, "the observation has no b; it has a: expected Dict"),
        ({"b": several, "c": one}, "the observation has no a; it has b, c: expected Dict"),
        (one, "the observation has no a; it has an array"),
        ({"a": one, "b": wide}, r"observation b has shape \(4,\); expected \(2,\), or \(N, 2\)"),
        ({"a": one, "b": several}, r"has entries of the shapes a \(3,\), b \(4, 2\); expected equal numbers of rows"),
    ):
        with pytest.raises(ValueError, match=message):
            policy.predict(observation)

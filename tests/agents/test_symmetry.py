"""Mirrored and rotated demonstrations are what the environment and the expert would have shown there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.symmetry import layout_symmetry, symmetry_of
from lam_envs.observation.features import Feature, Layout
from lam_envs.registration import env_id
from lam_envs.tasks import TASKS

from ..conftest import Make

LEFT = {"mirror": True, "rotate": False}


class Drawn:
    """Generator that returns chosen values."""

    def __init__(self, mirrored: bool, angle: float) -> None:
        self._mirrored, self._angle = mirrored, angle

    def random(self, count: int) -> Any:
        return np.full(count, 0.0 if self._mirrored else 1.0)

    def uniform(self, low: float, high: float, count: int) -> Any:
        return np.full(count, self._angle)


@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamPush-v0", "LamGrasp-v0", "LamStack-v0"])
def test_vectors_in_the_mirror_have_another_y_and_twice_mirrored_is_as_before(env_id: str, make: Make) -> None:
    env: Any = make(env_id)
    symmetry: Any = symmetry_of(env, **LEFT)
    observations = torch.from_numpy(np.stack([env.reset(seed=seed)[0] for seed in range(5)]))
    actions = torch.rand(5, 4) * 2 - 1
    mirrored, acted = symmetry(observations, actions, Drawn(True, 0.0))
    for name, part in env.unwrapped.layout.items():
        if name.endswith(("position", "relative", "/velocity")) and part.slice.stop - part.slice.start == 3:
            expected = observations[:, part.slice] * torch.tensor([1.0, -1.0, 1.0])
            assert torch.equal(mirrored[:, part.slice], expected), name
    assert torch.equal(acted, actions * torch.tensor([1.0, -1.0, 1.0, 1.0]))
    again, acted_again = symmetry(mirrored, acted, Drawn(True, 0.0))
    assert torch.equal(again, observations)
    assert torch.equal(acted_again, actions)
    left, acted_left = symmetry(observations, actions, Drawn(False, 0.0))
    assert torch.equal(left, observations)
    assert torch.equal(acted_left, actions)


@pytest.mark.parametrize("env_id", ["LamDrawer-v0", "LamTable-v0"])
def test_the_mirror_changes_the_sign_of_the_yaw_of_a_cabinet(env_id: str, make: Make) -> None:
    env: Any = make(env_id)
    symmetry: Any = symmetry_of(env, **LEFT)
    observation = torch.from_numpy(env.reset(seed=0)[0][None])
    mirrored, _ = symmetry(observation, torch.zeros(1, 4), Drawn(True, 0.0))
    layout = env.unwrapped.layout
    yaw, opening = layout["cabinet/yaw"].slice, layout["drawer/opening"].slice
    assert observation[0, yaw] != 0.0
    assert torch.equal(mirrored[:, yaw], -observation[:, yaw])
    assert torch.equal(mirrored[:, opening], observation[:, opening])
    with pytest.raises(ValueError, match=r"cannot be rotated: no known transformation of .*cabinet/yaw"):
        symmetry_of(env, mirror=False, rotate=True)


def test_the_mirror_swaps_the_sides_of_a_surface(make: Make) -> None:
    env: Any = make("LamClutter-v0")
    symmetry: Any = symmetry_of(env, **LEFT)
    observation = env.reset(seed=0)[0]
    mirrored, _ = symmetry(torch.from_numpy(observation[None]), torch.zeros(1, 4), Drawn(True, 0.0))
    before, after = (env.unwrapped.layout.decode(each) for each in (observation, mirrored[0].numpy()))
    for name, other in (("low", "high"), ("high", "low")):
        here, there = before[f"object/{name}"], before[f"object/{other}"]
        np.testing.assert_allclose(after[f"object/{name}"], [here[0], -there[1], here[2]], atol=1e-6)
    np.testing.assert_array_equal(after["other_1/size"], before["other_1/size"])


def test_rotations_stay_rotations(make: Make) -> None:
    env: Any = make("LamPush-v0")
    symmetry: Any = symmetry_of(env, mirror=True, rotate=True)
    part = env.unwrapped.layout["object/rotation"].slice
    observations = torch.from_numpy(np.stack([env.reset(seed=seed)[0] for seed in range(20)]))
    changed, _ = symmetry(observations, torch.zeros(20, 4), np.random.default_rng(0))
    columns = changed[:, part].reshape(20, 2, 3)
    np.testing.assert_allclose(columns.norm(dim=2), 1.0, atol=1e-5)
    np.testing.assert_allclose((columns[:, 0] * columns[:, 1]).sum(dim=1), 0.0, atol=1e-5)
    # Lying flat, the third axis is still the vertical, upwards.
    np.testing.assert_allclose(torch.linalg.cross(columns[:, 0], columns[:, 1])[:, 2], 1.0, atol=1e-3)


@pytest.mark.parametrize(
    "angle", [*(pytest.param(angle, marks=pytest.mark.slow) for angle in (0.3, math.pi / 2)), -2.0]
)
def test_the_expert_acts_in_a_rotated_scene_as_the_rotated_demonstration(
    angle: float, make: Make, datasets: Any
) -> None:
    env: Any = make("LamPush-v0")
    expert = demos.make_expert(env)
    symmetry: Any = symmetry_of(env, mirror=True, rotate=True)
    agreed = []
    for seed in range(4):
        observation, _ = env.reset(seed=seed)
        for _ in range(40):
            action = expert.predict(observation)[0]
            rows = torch.from_numpy(observation[None]), torch.from_numpy(action[None])
            turned, expected = symmetry(*rows, Drawn(seed % 2 == 0, angle))
            answer = expert.predict(turned[0].numpy())[0]
            # Actions beyond the bounds are clipped along each axis, which rotation does not preserve.
            if np.abs(action[:2]).max() < 0.7 and np.abs(answer[:2]).max() < 0.7:
                agreed.append(np.abs(answer - expected[0].numpy()).max() < 0.1)
            observation = env.step(action)[0]
    assert len(agreed) > 20
    assert np.mean(agreed) > 0.95


def test_features_that_cannot_be_rotated_are_named(make: Make) -> None:
    with pytest.raises(ValueError, match="LamGrasp-v0 cannot be rotated: no known transformation of gripper/touch"):
        symmetry_of(make("LamGrasp-v0"), mirror=False, rotate=True)
    with pytest.raises(
        ValueError,
        match=r"LamPush-v0 cannot be mirrored: no known transformation of joint/position, joint/velocity, joint/lag",
    ):
        symmetry_of(make("LamPush-v0", control="joint"), **LEFT)
    with pytest.raises(
        ValueError, match=r"LamPush-v0 cannot be mirrored: no known transformation of tool/yaw, tool/yaw_lag"
    ):
        symmetry_of(make("LamPush-v0", control="ee_yaw"), **LEFT)
    for unsuited in ("LamPushDiscrete-v0", "LamPushGoal-v0"):
        with pytest.raises(ValueError, match="can be mirrored and rotated: set mirror=false and rotate=false"):
            symmetry_of(make(unsuited), **LEFT)
    assert symmetry_of(make("LamPushGoal-v0"), mirror=False, rotate=False) is None


def test_a_single_number_with_an_unknown_name_is_refused(make: Make) -> None:
    actions: Any = make("LamReach-v0").action_space
    known = Layout([Feature("hole/height", 1, "m", "its height", 0.0, 0.1, 1.0)])
    assert layout_symmetry(known, actions, "Own-v0", **LEFT).mirror_signs.tolist() == [1.0]
    sideways = Layout([Feature("hole/side", 1, "m", "its y", 0.0, 0.1, 1.0)])
    with pytest.raises(ValueError, match="Own-v0 cannot be mirrored: no known transformation of hole/side; a single"):
        layout_symmetry(sideways, actions, "Own-v0", **LEFT)


def test_all_tasks_can_be_mirrored(make: Make) -> None:
    for task in TASKS:
        assert symmetry_of(make(env_id(task)), **LEFT) is not None, task


@pytest.mark.slow
def test_a_policy_trained_with_mirroring_acts_alike_in_the_mirror(make: Make, tmp_path: Any) -> None:
    env = make("LamReach-v0")
    dataset = demos.collect("LamReach-v0", episodes=10, root=tmp_path)
    symmetry: Any = symmetry_of(env, **LEFT)
    differences = []
    for mirror in (False, True):
        agent = agents.make("bc", env, mirror=mirror, batch_size=32, hidden_sizes=[32])
        agent.learn(dataset, env, seed=0, budget=20)
        rows = np.stack([env.reset(seed=seed)[0] for seed in range(50)])
        actions = agent.predict(rows, deterministic=True)[0]
        mirrored, expected = symmetry(torch.from_numpy(rows), torch.from_numpy(actions), Drawn(True, 0.0))
        differences.append(np.abs(agent.predict(mirrored.numpy(), deterministic=True)[0] - expected.numpy()).mean())
    assert differences[1] < differences[0]

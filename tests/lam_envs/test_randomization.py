"""Randomization changes what it says, and nothing else."""

from __future__ import annotations

import dataclasses
import math
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pybullet
import pytest

import lam_envs
from lam_envs import Randomization
from lam_envs.randomization import NOISE_KEYS, PRESETS
from lam_envs.registration import TASKS, env_id

from ..conftest import Make
from .traces import contact_rich_actions

ORDER = list(PRESETS)
RANGES = ("object_size", "object_mass", "friction", "brightness", "sensor_noise", "action_delay")
WIDTHS = {
    "object_color": "object_color",
    "table_color": "scene_color",
    "floor_color": "scene_color",
    "light": "light",
    "camera_position": "camera_position",
    "camera_target": "camera_target",
}
"""Fields that are sampled in both directions, and their largest values."""
WIDE = Randomization(
    object_size=(0.8, 1.2),
    object_mass=(0.25, 4.0),
    friction=(0.5, 2.0),
    object_color=0.4,
    scene_color=0.3,
    brightness=(0.5, 2.0),
    light=0.5,
    camera_position=0.05,
    camera_target=0.04,
    sensor_noise=(0.01, 0.05),
    action_delay=(1, 4),
)


def opened(env: gym.Env[Any, Any]) -> Any:
    return env.unwrapped


def drawn(env: gym.Env[Any, Any], seed: int) -> dict[str, Any]:
    _, info = env.reset(seed=seed)
    found: dict[str, Any] = info["randomization"]
    return found


# Samples


def test_draws_fill_their_ranges_and_do_not_leave_them(make: Make) -> None:
    env = make("LamReach-v0", randomize=WIDE)
    draws = [drawn(env, seed) for seed in range(200)]
    for name in RANGES:
        low, high = getattr(WIDE, name)
        values = [draw[name] for draw in draws]
        assert low <= min(values) <= low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) <= max(values) <= high, name
    for name, field in WIDTHS.items():
        width = getattr(WIDE, field)
        values = np.stack([draw[name] for draw in draws])
        assert values.shape == (200, 3)
        assert (np.abs(values) <= width).all(), name
        assert (values.min(axis=0) < -0.9 * width).all(), name
        assert (values.max(axis=0) > 0.9 * width).all(), name
    assert {draw["action_delay"] for draw in draws} == {1, 2, 3, 4}
    # Half the mass and double the mass are equally likely.
    assert abs(np.mean([math.log(draw["object_mass"]) for draw in draws])) < 0.1 * math.log(4.0)


def test_every_episode_has_a_noise_of_its_own(make: Make) -> None:
    env = make("LamReach-v0", randomize="full")
    keys = [drawn(env, seed)["noise_key"] for seed in range(100)]
    assert len(set(keys)) > 98
    assert all(0 <= key < NOISE_KEYS for key in keys)


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[] if task in ("pick_place", "stack", "insert") else pytest.mark.slow)
        for task in TASKS
        if task != "clutter"  # A heap of objects of another size lies otherwise.
    ],
)
def test_a_seed_has_the_same_poses_and_goals_whatever_varies(task: str, make: Make) -> None:
    plain = make(env_id(task))
    for given in (*ORDER[1:], WIDE):
        varied = make(env_id(task), randomize=given)
        for seed in range(6):
            plain.reset(seed=seed)
            varied.reset(seed=seed)
            world, other = opened(plain)._world, opened(varied)._world
            np.testing.assert_array_equal(world.scene().target.position, other.scene().target.position)
            # How high a thing lies, and where it should be then, follows from its size: at most 8 cm by 1.2.
            higher = 0.08 * abs(other.randomization_sample.object_size - 1.0)
            np.testing.assert_allclose(world.desired_goal, other.desired_goal, rtol=0, atol=higher)
            for name in world.task.movable_objects:
                pose, same = (one.scene().simulation.bodies[name].motion() for one in (world, other))
                assert pose.position[:2] == same.position[:2]
                assert pose.orientation == same.orientation
                assert abs(pose.position[2] - same.position[2]) <= higher


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in ("grasp", "insert") else pytest.mark.slow) for task in TASKS]
)
def test_what_only_looks_different_moves_alike(task: str, make: Make) -> None:
    plain, painted = make(env_id(task)), make(env_id(task), randomize="visual")
    actions = contact_rich_actions(plain, 31, 40)
    np.testing.assert_array_equal(plain.reset(seed=31)[0], painted.reset(seed=31)[0])
    for action in actions:
        np.testing.assert_array_equal(plain.step(action)[0], painted.step(action)[0])


@pytest.mark.parametrize(
    "name",
    [
        # The quick tests have one in five: all variants, and most tasks.
        pytest.param(name, marks=[] if number % 5 == 0 else pytest.mark.slow)
        for number, name in enumerate(lam_envs.ENV_IDS)
    ],
)
def test_the_info_of_every_step_says_what_was_drawn(name: str, make: Make) -> None:
    small = {"image_width": 8, "image_height": 8} if "Pixels" in name else {}
    env = make(name, randomize="full", **small)
    env.action_space.seed(0)
    _, info = env.reset(seed=3)
    first = info["randomization"]
    assert set(first) == {field.name for field in dataclasses.fields(lam_envs.randomization.RandomizationSample)}
    for _ in range(5):
        *_, info = env.step(env.action_space.sample())
        np.testing.assert_equal(info["randomization"], first)
    _, info = opened(env).set_state(opened(env).get_state())
    np.testing.assert_equal(info["randomization"], first)


def test_an_environment_that_varies_nothing_says_nothing_of_it(make: Make) -> None:
    for given in ("none", Randomization(), {}):
        _, info = make("LamReach-v0", randomize=given).reset(seed=0)
        assert "randomization" not in info


def test_a_caller_who_changes_the_info_changes_no_episode(make: Make) -> None:
    env = make("LamGrasp-v0", randomize="full")
    draw = drawn(env, 4)
    kept = draw["object_color"].copy()
    draw["object_color"][:] = 9.0
    draw["object_size"] = 9.0
    *_, info = env.step(np.zeros(4, dtype=np.float32))
    np.testing.assert_array_equal(info["randomization"]["object_color"], kept)
    assert info["randomization"]["object_size"] != 9.0


# Bodies


# A heap of objects of another size lies otherwise, and another object of it may be the marked one.
@pytest.mark.parametrize(
    "task",
    [
        pytest.param(task, marks=[] if task in ("push", "stack", "insert") else pytest.mark.slow)
        for task in TASKS
        if task not in ("reach", "clutter")
    ],
)
def test_bodies_have_the_size_mass_and_friction_that_were_drawn(task: str, make: Make) -> None:
    plain = make(env_id(task))
    plain.reset(seed=0)
    env = make(env_id(task, "Pixels"), randomize=WIDE, image_width=8, image_height=8)
    for seed in range(3):
        draw = drawn(env, seed)
        inner = opened(env)
        nominal, varied = opened(plain).simulation, inner.simulation
        seen = inner._observer._viewer._scene.simulation
        for name in inner._world.task.movable_objects:
            before, after = _dynamics(nominal, name), _dynamics(varied, name)
            movable = before[0] > 0.0
            assert after[0] == pytest.approx(before[0] * draw["object_mass"])
            assert after[1] == pytest.approx(before[1] * (draw["friction"] if movable else 1.0))
            if movable:
                expected = np.array(nominal.bodies[name].size) * draw["object_size"]
                np.testing.assert_allclose(varied.bodies[name].size, expected)
                np.testing.assert_allclose(_collision_size(varied, name), expected, rtol=1e-6)
                np.testing.assert_allclose(_visual_size(seen, name), expected, rtol=1e-6)
        for name in ("table", "floor"):
            assert _dynamics(nominal, name) == _dynamics(varied, name)
            assert nominal.bodies[name].size == varied.bodies[name].size


def test_an_object_rests_on_the_table_at_the_height_of_its_size(make: Make) -> None:
    env = make("LamGrasp-v0", randomize=Randomization(object_size=(0.7, 1.3)))
    for seed in range(10):
        size = drawn(env, seed)["object_size"]
        for _ in range(5):
            env.step(np.array([0, 0, 1, 1], dtype=np.float32))
        height = opened(env).features()["object/position"][2]
        assert height == pytest.approx(0.02 * size, abs=2e-4)


def test_colors_are_those_of_the_info(make: Make) -> None:
    env = make("LamGrasp-v0", randomize="visual", render_mode="rgb_array", render_width=8, render_height=8)
    for seed in range(5):
        draw = drawn(env, seed)
        env.render()
        seen = opened(env)._render_viewer._scene.simulation
        for name, change in (("object", "object_color"), ("table", "table_color"), ("floor", "floor_color")):
            shown = pybullet.getVisualShapeData(seen.bodies[name].id, physicsClientId=seen.client)[0][7]
            expected = np.clip(np.array(seen.bodies[name].color[:3]) + draw[change], 0.0, 1.0)
            np.testing.assert_allclose(shown[:3], expected, atol=1 / 255)


@pytest.mark.parametrize(
    "ranges",
    [
        {"object_color": 0.5},
        {"scene_color": 0.5},
        {"brightness": (0.3, 0.4)},
        {"light": 1.5},
        {"camera_position": 0.1},
        {"camera_target": 0.1},
        {"object_size": (1.3, 1.3)},
    ],
    ids=lambda ranges: next(iter(ranges)),
)
def test_each_look_can_be_seen(ranges: dict[str, Any], make: Make) -> None:
    plain, varied = (
        make("LamGraspPixels-v0", image_width=48, image_height=48, **keywords)
        for keywords in ({}, {"randomize": ranges})
    )
    expected, found = plain.reset(seed=1)[0], varied.reset(seed=1)[0]
    assert (expected["front"] != found["front"]).any()


def test_no_scene_is_built_again_without_movable_objects(make: Make) -> None:
    env = make("LamReachPixels-v0", randomize="full", image_width=8, image_height=8)
    env.reset(seed=0)
    clients = opened(env).simulation.client, opened(env)._observer._viewer._scene.simulation.client
    for seed in range(5):
        env.reset(seed=seed)
        assert (opened(env).simulation.client, opened(env)._observer._viewer._scene.simulation.client) == clients


def _dynamics(simulation: Any, name: str) -> tuple[float, float]:
    """Return mass and friction from Bullet."""
    mass, friction, *_ = pybullet.getDynamicsInfo(simulation.bodies[name].id, -1, simulation.client)
    return mass, friction


def _collision_size(simulation: Any, name: str) -> Any:
    return pybullet.getCollisionShapeData(simulation.bodies[name].id, -1, simulation.client)[0][3]


def _visual_size(simulation: Any, name: str) -> Any:
    return pybullet.getVisualShapeData(simulation.bodies[name].id, physicsClientId=simulation.client)[0][3]


# Sensors


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        pytest.param(
            *case, marks=[] if case in (("LamReach-v0", 0.01), ("LamGraspGoal-v0", 0.05)) else pytest.mark.slow
        )
        for case in product(("LamReach-v0", "LamPush-v0", "LamStack-v0", "LamGraspGoal-v0"), (0.01, 0.05))
    ],
)
def test_noise_has_the_deviation_that_was_drawn(name: str, deviation: float, make: Make) -> None:
    env = make(name, randomize=Randomization(sensor_noise=(deviation, deviation)))
    layout = opened(env).layout
    real, seen = _real_and_seen(env)
    errors = seen - real
    assert not errors[:, ~layout.noisy].any()
    # Values near the limits are clipped.
    edge = np.array([abs(end) for part in layout.values() for end in part.high])
    measured = errors[:, layout.noisy & (np.abs(real) < edge - 6 * deviation).all(axis=0)]
    assert measured.shape[1] >= 10
    assert measured.std() == pytest.approx(deviation, rel=0.03)
    np.testing.assert_allclose(measured.std(axis=0), deviation, rtol=0.2)
    assert abs(measured.mean()) < 0.05 * deviation
    # The noise of numbers and steps is independent.
    assert np.abs(np.corrcoef(measured.T) - np.eye(measured.shape[1])).max() < 0.3
    assert abs(np.corrcoef(measured[:-1].ravel(), measured[1:].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number % 3 == 0 else pytest.mark.slow)
        for number, name in enumerate(lam_envs.ENV_IDS)
    ],
)
def test_goals_and_commands_are_known_exactly(name: str, make: Make) -> None:
    layout = opened(make(name)).layout
    measured = {feature.name for feature in layout.features if feature.noisy}
    assert not measured & {"goal/position", "gripper/target", "gripper/touch"}
    assert {"tool/position", "tool/velocity", "tool/lag", "gripper/width"} <= measured


def test_goals_of_goal_observations_are_exact(make: Make) -> None:
    plain = make("LamPickPlaceGoal-v0")
    noisy = make("LamPickPlaceGoal-v0", randomize=Randomization(sensor_noise=(0.05, 0.05)))
    first, second = plain.reset(seed=6)[0], noisy.reset(seed=6)[0]
    for goal in ("achieved_goal", "desired_goal"):
        np.testing.assert_array_equal(first[goal], second[goal])
    assert (first["observation"] != second["observation"]).any()


def _real_and_seen(env: gym.Env[Any, Any]) -> tuple[Any, Any]:
    """Return observations without and with noise of 300 steps."""
    real, seen = [], []
    inner = opened(env)
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        for _ in range(50):
            seen.append(observation["observation"] if isinstance(observation, dict) else observation)
            real.append(inner.layout.encode(inner._world.values[: inner.layout.size]))
            observation, *_ = inner.step(np.zeros(4, dtype=np.float32))
    return np.array(real), np.array(seen)


# Actions


@pytest.mark.parametrize("delay", [1, 3, 10])
def test_actions_arrive_as_late_as_was_drawn(delay: int, make: Make) -> None:
    env = make("LamReach-v0", randomize=Randomization(action_delay=(delay, delay)))
    assert drawn(env, 7)["action_delay"] == delay
    inner = opened(env)
    rng = np.random.default_rng(7)
    openings = rng.uniform(-1.0, 1.0, size=30).astype(np.float32)
    before = inner.features()["gripper/target"].item()
    start = np.array(inner._world.scene().target.position)
    commanded = []
    for opening in openings:
        inner.step(np.array([0.2, 0.0, 0.0, opening], dtype=np.float32))
        commanded.append(inner.features()["gripper/target"].item())
        if len(commanded) <= delay:
            np.testing.assert_array_equal(inner._world.scene().target.position, start)
    expected = [before] * delay + [(float(one) + 1.0) / 2 * inner.max_width for one in openings]
    np.testing.assert_allclose(commanded, expected[: len(commanded)], rtol=1e-6)


def test_a_delay_changes_what_happens_and_not_what_follows_from_an_action(make: Make) -> None:
    prompt = make("LamGrasp-v0", randomize=Randomization(action_delay=(0, 0), object_color=0.1))
    late = make("LamGrasp-v0", randomize=Randomization(action_delay=(2, 2), object_color=0.1))
    actions = contact_rich_actions(prompt, 8, 40)
    # What the prompt robot does after two idle steps comes near to what the late one does at once.
    prompt.reset(seed=8)
    late.reset(seed=8)
    idle = np.array([0, 0, 0, 0], dtype=np.float32)
    first = [opened(prompt).step(action)[0] for action in (idle, idle, *actions)]
    second = [opened(late).step(action)[0] for action in (*actions, idle, idle)]
    difference = np.abs(np.array(first) - np.array(second))
    assert float(np.median(difference)) < 0.01

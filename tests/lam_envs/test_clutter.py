"""Claims about Clutter: its heaps, its shapes, its keyword, its episodes, and cheats that do not succeed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pybullet
import pytest

from demos.experts import make_expert
from demos.experts.clutter import ClutterExpert
from demos.experts.moves import CLOSED, OPEN
from lam_envs import ToolCommand
from lam_envs.bullet.geometry import Motion
from lam_envs.control import CONTROLS
from lam_envs.robots import ROBOTS
from lam_envs.tasks import make_task, task_keywords
from lam_envs.tasks.clutter import Clutter
from lam_envs.tasks.clutter.grasps import find_grasps
from lam_envs.tasks.clutter.shapes import is_held_out, load_shape

from ..conftest import Make
from . import cheats
from .cheats import Look, beside, go, rush, stay
from .traces import fingerprint

SEED = 1000001
"""Seed of an episode in which the expert succeeds."""


def models(env: gym.Env[Any, Any]) -> tuple[int, ...]:
    inner: Any = env.unwrapped
    return tuple(inner._world.active_scene().models)


# Shapes


def test_a_shape_is_convex_and_its_center_of_mass_is_the_origin() -> None:
    for number in (0, 9, 500):
        shape = load_shape(number)
        assert shape is not None
        vertices = np.array(shape.hull.vertices)
        for face in shape.hull.faces:
            first, second, third = vertices[list(face)]
            normal = np.cross(second - first, third - first)
            normal /= np.linalg.norm(normal)
            assert ((vertices - first) @ normal).max() < 2e-6
        # Euler's formula for triangles.
        assert len(shape.hull.faces) == 2 * len(vertices) - 4
        rng = np.random.default_rng(0)
        inside = rng.uniform(vertices.min(axis=0), vertices.max(axis=0), (20000, 3))
        planes = [
            (vertices[face[0]], np.cross(*(vertices[list(face[1:])] - vertices[face[0]])))
            for face in shape.hull.faces
        ]
        for start, normal in planes:
            inside = inside[(inside - start) @ normal <= 0.0]
        np.testing.assert_allclose(inside.mean(axis=0), 0.0, atol=1e-3)
        assert shape.size[0] == np.ptp(vertices, axis=0)[0]


def test_a_file_without_numbers_is_no_shape() -> None:
    assert load_shape(168) is None


def test_no_shape_is_in_both_splits(make: Make) -> None:
    assert sum(map(is_held_out, range(1000))) == 100
    for split in ("train", "held-out"):
        env = make("LamClutter-v0", objects=split)
        for seed in range(2):
            env.reset(seed=seed)
            present = [model for model in models(env) if model]
            assert 5 <= len(present) <= 8
            assert len(set(present)) == len(present)
            assert all(is_held_out(model - 1) == (split == "held-out") for model in present)


# The keyword


def test_only_a_task_with_the_keyword_takes_it() -> None:
    assert task_keywords("clutter") == ["objects"]
    assert task_keywords("grasp") == []
    assert isinstance(make_task("clutter", objects="held-out"), Clutter)
    with pytest.raises(TypeError, match="unexpected keyword argument 'objects'"):
        gym.make("LamGrasp-v0", objects="train")
    with pytest.raises(TypeError, match=r"'object' \(did you mean 'objects'\?\)"):
        gym.make("LamClutter-v0", object="train")
    with pytest.raises(ValueError, match="unknown objects 'all'; expected one of train, held-out"):
        gym.make("LamClutter-v0", objects="all")
    with pytest.raises(ValueError, match="unknown objects 'known-words'; expected one of train, held-out"):
        gym.make("LamClutter-v0", objects="known-words")
    with pytest.raises(TypeError, match="unexpected keyword argument 'objects'"):
        gym.make("LamClutter-v0", task=Clutter(), objects="train")


# Heaps


def test_a_heap_lies_still_and_its_marked_object_can_be_grasped_alone(make: Make) -> None:
    env = make("LamClutter-v0")
    for seed in range(3):
        env.reset(seed=seed)
        inner: Any = env.unwrapped
        features, geometry = inner.features(), inner.geometry
        low = features["object/position"] + features["object/low"]
        assert -0.002 < low[2] < 0.08
        for _ in range(5):
            env.step(np.zeros(4, dtype=np.float32))
        after = inner.features()
        moved = [name for name in geometry if name.endswith("/surface")]
        assert len(moved) == sum(model > 0 for model in models(env))
        for name in moved:
            name = name.replace("surface", "position")
            np.testing.assert_allclose(after[name], features[name], atol=0.004)
        first, second = features["object/rotation"].reshape(2, 3)
        rotation = np.stack([first, second, np.cross(first, second)])
        surface = geometry["object/surface"] @ rotation + features["object/position"]
        grasps = find_grasps(
            surface,
            geometry["object/normals"] @ rotation,
            features["object/position"].tolist(),
            np.empty((0, 3)),
            0.08,
        )
        assert grasps[0].cost < 1.0


def test_the_features_of_an_absent_object_are_those_of_none(make: Make) -> None:
    env = make("LamClutter-v0")
    inner: Any = env.unwrapped
    for seed in itertools.count():
        env.reset(seed=seed)
        if models(env)[-1] == 0:
            break
    features = inner.features()
    assert features["other_7/present"] == 0.0
    assert features["other_1/present"] == 1.0
    np.testing.assert_array_equal(features["other_7/size"], 0.0)
    assert "other_7/surface" not in inner.geometry
    distances = [
        math.dist(features[f"{name}/position"], features["object/position"])
        for name in ("other_1", "other_2", "other_3", "other_4")
    ]
    assert distances == sorted(distances)


def test_a_flat_grasp_is_better_than_one_of_a_slope_and_one_in_the_way_of_another_object() -> None:
    rng = np.random.default_rng(0)
    sides = np.repeat([-0.02, 0.02], 200)
    surface = np.stack([rng.uniform(-0.03, 0.03, 400), sides, rng.uniform(0.0, 0.03, 400)], axis=1)
    normals = np.stack([0.0 * sides, np.sign(sides), 0.0 * sides], axis=1)
    center = (0.0, 0.0, 0.015)
    free = find_grasps(surface, normals, center, np.empty((0, 3)), 0.08)
    assert free[0].cost < 0.3
    np.testing.assert_allclose(free[0].position[:2], 0.0, atol=0.008)
    assert free[0].width == pytest.approx(0.052)
    sloping = find_grasps(surface, normals + np.array([1.0, 0.0, 0.0]), center, np.empty((0, 3)), 0.08)
    assert sloping[0].cost > 1.0
    beside = np.array([[0.0, 0.03, 0.02]])
    assert find_grasps(surface, normals, center, beside, 0.08)[0].position[0] != free[0].position[0]
    assert find_grasps(surface, normals, center, np.empty((0, 3)), 0.04) == []


# Episodes and states


def trace(env: gym.Env[Any, Any], seed: int, steps: int = 30) -> list[str]:
    expert = make_expert(env)
    rng = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    found = [fingerprint([observation, info])]
    for step in range(steps):
        action = expert.predict(observation)[0]
        if step % 3 == 2 and isinstance(env.action_space, gym.spaces.Box):
            action = rng.uniform(-1.0, 1.0, action.shape).astype(np.float32)
        observation, *rest = env.step(action)
        found.append(fingerprint([observation, *rest]))
    return found


MET = [(robot, list(CONTROLS)[row % len(CONTROLS)]) for row, robot in enumerate(ROBOTS)]


@pytest.mark.parametrize(
    ("robot", "control", "keywords"),
    [
        ("panda", "ee", {"obs": "goal", "randomize": "physics"}),
        *(pytest.param(*pair, {}, marks=pytest.mark.slow) for pair in MET),
        pytest.param("panda", "discrete", {"randomize": "full"}, marks=pytest.mark.slow),
        pytest.param("panda", "ee", {"obs": "pixels", "image_width": 16, "image_height": 16}, marks=pytest.mark.slow),
    ],
)
def test_a_seed_gives_the_same_bits_after_other_heaps_and_a_state_continues_them(
    robot: str, control: str, keywords: dict[str, Any], make: Make
) -> None:
    env, other = (make("LamClutter-v0", robot=robot, control=control, **keywords) for _ in range(2))
    expected = trace(env, SEED)
    assert trace(env, SEED) == expected
    trace(other, SEED + 1, 5)
    assert trace(other, SEED) == expected
    here, there = env.unwrapped, other.unwrapped
    state = here.get_state()  # type: ignore[attr-defined]
    actions = [env.action_space.sample() for _ in range(8)]
    onward = [fingerprint(list(here.step(action))) for action in actions]
    other.reset(seed=SEED + 2)
    there.set_state(state)  # type: ignore[attr-defined]
    assert [fingerprint(list(there.step(action))) for action in actions] == onward


def test_a_state_of_another_split_continues_and_one_of_no_shape_is_refused(make: Make) -> None:
    env, other = make("LamClutter-v0"), make("LamClutter-v0", objects="held-out")
    env.reset(seed=SEED)
    here: Any = env.unwrapped
    there: Any = other.unwrapped
    state = here.physical_state()
    there.set_state(state)
    assert models(other) == models(env)
    np.testing.assert_array_equal(there.physical_state(), state)
    present = int(np.flatnonzero(state == models(env)[0])[-1])
    for wrong, message in ((169, "no episode of clutter has"), (0, "from 1 to 1000"), (1.5, "integer from")):
        changed = state.copy()
        changed[present] = wrong
        with pytest.raises(ValueError, match=message):
            there.set_state(changed)
    np.testing.assert_array_equal(there.physical_state(), state)


def test_objects_have_the_size_mass_and_friction_that_were_drawn(make: Make) -> None:
    env = make(
        "LamClutter-v0", randomize={"object_size": (0.8, 0.9), "object_mass": (2.0, 3.0), "friction": (0.5, 0.6)}
    )
    _, info = env.reset(seed=4)
    drawn = info["randomization"]
    simulation: Any = env.unwrapped.simulation  # type: ignore[attr-defined]
    for name, model in zip(Clutter.movable_objects, models(env), strict=True):
        if model:
            shape = load_shape(model - 1)
            assert shape is not None
            body = simulation.bodies[name]
            np.testing.assert_allclose(body.size, drawn["object_size"] * np.array(shape.size), rtol=1e-6)
            mass, friction, *_ = pybullet.getDynamicsInfo(body.id, -1, physicsClientId=simulation.client)
            assert mass == pytest.approx(0.1 * drawn["object_mass"])
            assert friction == pytest.approx(drawn["friction"])


# The expert and cheats


@pytest.mark.slow
@pytest.mark.parametrize(("objects", "least"), [("train", 25), ("held-out", 25)])
def test_the_expert_succeeds_on_both_splits(objects: str, least: int, make: Make) -> None:
    env = make("LamClutter-v0", objects=objects)
    assert sum(episode_of_the_expert(env, seed)[0] for seed in range(5000, 5030)) >= least


def episode_of_the_expert(env: gym.Env[Any, Any], seed: int) -> tuple[bool, float]:
    """Return the success and the return of the expert."""
    expert = make_expert(env)
    observation, info = env.reset(seed=seed)
    total, truncated = 0.0, False
    while not truncated:
        observation, reward, _, truncated, info = env.step(expert.predict(observation)[0])
        total += float(reward)
    return bool(info["is_success"]), total


@functools.cache
def return_of_the_expert() -> float:
    env = gym.make("LamClutter-v0")
    succeeded, best = episode_of_the_expert(env, SEED)
    env.close()
    assert succeeded
    return best


def grip(look: Look, name: str = "object") -> Iterator[ToolCommand]:
    """Grasp an object of the heap as the expert does, as if it were the marked one."""
    expert = ClutterExpert()
    for _ in range(60):
        features = look()
        swapped = {
            key.replace(name, "marked").replace("object", name).replace("marked", "object"): value
            for key, value in features.items()
        }
        if features["gripper/target"] < 0.004 and features["gripper/velocity"] > -0.01:
            return
        yield expert.act({**features, **swapped})


def lift(look: Look, width: float = CLOSED) -> Iterator[ToolCommand]:
    yield from rush(look, (0.0, 0.0, 1.0), width, 12)


def grip_another(look: Look) -> Iterator[ToolCommand]:
    """Lift another object and hold it."""
    names = [name.partition("/")[0] for name in look() if name.startswith("other") and name.endswith("surface")]
    yield from grip(look, names[-1])
    yield from lift(look)


def throw(look: Look) -> Iterator[ToolCommand]:
    """Grasp the marked object, swing it up, and open the gripper in motion."""
    yield from grip(look)
    yield from rush(look, (0.0, 0.0, 1.0), CLOSED, 3)
    yield from rush(look, (0.0, 0.0, 1.0), OPEN, 8)


def hold_low(look: Look) -> Iterator[ToolCommand]:
    """Hold the marked object in the heap."""
    yield from grip(look)
    yield from stay(look, cheats.tool, CLOSED)


def scoop_heap(look: Look) -> Iterator[ToolCommand]:
    """Push the open fingers under the heap at full speed, and lift them."""
    yield from go(look, beside((-0.12, 0.0), 0.15), OPEN, 25)
    yield from go(look, beside((-0.12, 0.0), 0.012), OPEN, 15)
    yield from rush(look, (1.0, 0.0, 0.0), OPEN, 6)
    yield from rush(look, (0.5, 0.0, 1.0), OPEN, 10)


def one_finger(look: Look) -> Iterator[ToolCommand]:
    """Press one finger against the marked object, and move up."""
    yield from go(look, beside((0.0, 0.06), above=0.12), CLOSED, 25)
    yield from go(look, beside((0.0, 0.06)), CLOSED, 15)
    yield from rush(look, (0.0, -1.0, 0.3), CLOSED, 6)
    yield from lift(look)


CHEATS: dict[str, Callable[[Look], Iterator[ToolCommand]]] = {
    "grip_another": grip_another,
    "throw": throw,
    "hold_low": hold_low,
    "scoop_heap": scoop_heap,
    "one_finger": one_finger,
    "press_down": cheats.press_down,
    "hover_above": cheats.hover_above,
    "squeeze_out": cheats.squeeze_out,
}


@pytest.mark.parametrize(
    "name",
    [name if name == "throw" else pytest.param(name, marks=pytest.mark.slow) for name in CHEATS],
)
def test_a_cheat_is_no_success_and_returns_less_than_the_expert(name: str, make: Make) -> None:
    env = make("LamClutter-v0")
    inner: Any = env.unwrapped
    best = return_of_the_expert()

    def play(look: Look) -> Iterator[ToolCommand]:
        return CHEATS[name](lambda: {**look(), **inner.geometry})

    episode = cheats.play(env, SEED, play)
    assert not any(moment.info["is_success"] for moment in episode)
    assert max(moment.reward for moment in episode) <= 0.0
    assert sum(moment.reward for moment in episode) < best
    if name in ("throw", "hold_low"):
        assert any(moment.info["is_held"] for moment in episode)
    if name == "grip_another":
        heights = [
            moment.features[f"{other}/position"][2]
            for moment in episode[-1:]
            for other in Clutter.movable_objects[1:]
        ]
        assert max(heights) > 0.1


def test_an_absent_object_has_no_motion_to_set(make: Make) -> None:
    env = make("LamClutter-v0")
    env.reset(seed=SEED)
    inner: Any = env.unwrapped
    if models(env)[-1]:
        pytest.skip("the heap has all objects")
    body = inner.simulation.bodies["other_7"]
    before = body.motion()
    body.set_motion(Motion((1.0, 1.0, 1.0), (0.0, 0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    assert body.motion() == before

"""States are exact, validated and independent of each other."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from lam_envs import Randomization
from lam_envs.randomization import RandomizationSample
from lam_envs.registration import TASKS, env_id
from lam_envs.scene.state import HEADER

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint, trace

SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "env_id",
    [
        pytest.param("LamReach-v0", marks=SLOW),
        pytest.param("LamGrasp-v0", marks=SLOW),
        pytest.param("LamGraspDiscrete-v0", marks=SLOW),
        "LamGraspGoal-v0",
    ],
)
def test_a_state_continues_bit_identically_in_another_environment(env_id: str, make: Make) -> None:
    env, other = make(env_id), make(env_id)
    actions = contact_rich_actions(env, 11, 40)
    env.reset(seed=11)
    for action in actions[:25]:
        env.step(action)
    # Through text: states are plain numbers.
    state = np.array(json.loads(json.dumps(env.unwrapped.get_state().tolist())))  # type: ignore[attr-defined]
    contact_rich_actions(other, 99, 20)
    other.reset(seed=98)
    here, there = env.unwrapped, other.unwrapped
    there.set_state(state)  # type: ignore[attr-defined]
    for action in actions[25:]:
        assert fingerprint(list(here.step(action))) == fingerprint(list(there.step(action)))


@SLOW
def test_a_physical_state_has_a_fixed_length_and_comes_back_exactly(make: Make) -> None:
    env = make("LamGrasp-v0")
    inner: Any = env.unwrapped
    actions = contact_rich_actions(env, 12, 40)
    env.reset(seed=12)
    sizes = {inner.physical_state().size}
    for action in actions[:30]:
        env.step(action)
        sizes.add(inner.physical_state().size)
    assert len(sizes) == 1
    state = inner.physical_state()
    follow = []
    for _ in range(2):
        env.reset(seed=77)
        inner.set_state(state)
        np.testing.assert_array_equal(inner.physical_state(), state)
        follow.append(fingerprint([inner.step(action)[0] for action in actions[30:]]))
    assert follow[0] == follow[1]


# Randomized episodes

DISTURBED = Randomization(
    object_size=(0.8, 1.2), object_mass=(0.5, 2.0), sensor_noise=(0.01, 0.05), action_delay=(2, 4), scene_color=0.3
)
SMALL = {"image_width": 12, "image_height": 12}


QUICK = {("push", "discrete")}


@pytest.mark.parametrize(
    ("task", "control"),
    [
        pytest.param(*case, marks=[] if case in QUICK else SLOW)
        for case in itertools.product(TASKS, ["ee", "joint", "discrete"])
    ],
)
def test_a_state_continues_a_randomized_episode_bit_identically(task: str, control: str, make: Make) -> None:
    env, other = (make(env_id(task), randomize=DISTURBED, control=control) for _ in range(2))
    here: Any = env.unwrapped
    actions = contact_rich_actions(env, 11, 40)
    env.reset(seed=11)
    for action in actions[:25]:
        env.step(action)
    state = np.array(json.loads(json.dumps(here.get_state().tolist())))
    onwards = [fingerprint(list(here.step(action))) for action in actions[25:]]
    for continued in (env, other):
        # Other episodes come between, with bodies of another size, another noise and another delay.
        contact_rich_actions(continued, 99, 10)
        inner: Any = continued.unwrapped
        inner.set_state(state)
        np.testing.assert_array_equal(inner.get_state(), state)
        assert [fingerprint(list(inner.step(action))) for action in actions[25:]] == onwards


def test_a_state_continues_what_cameras_see_of_a_randomized_episode(make: Make) -> None:
    env, other = (make("LamGraspPixels-v0", randomize="full", **SMALL) for _ in range(2))
    here, there = env.unwrapped, other.unwrapped
    actions = contact_rich_actions(env, 14, 30)
    env.reset(seed=14)
    for action in actions[:20]:
        env.step(action)
    other.reset(seed=15)
    seen, _ = there.set_state(here.get_state())  # type: ignore[attr-defined]
    again, _ = here.set_state(here.get_state())  # type: ignore[attr-defined]
    assert fingerprint([seen]) == fingerprint([again])
    for action in actions[20:]:
        assert fingerprint(list(here.step(action))) == fingerprint(list(there.step(action)))


@pytest.mark.parametrize("task", [pytest.param(task, marks=[] if task == "insert" else SLOW) for task in TASKS])
def test_a_physical_state_of_a_randomized_episode_comes_back_exactly(task: str, make: Make) -> None:
    env, other = (make(env_id(task), randomize=DISTURBED) for _ in range(2))
    actions = contact_rich_actions(env, 12, 40)
    env.reset(seed=12)
    inner: Any = env.unwrapped
    sizes = {inner.physical_state().size}
    for action in actions[:25]:
        last, *_ = env.step(action)
        sizes.add(inner.physical_state().size)
    assert len(sizes) == 1
    state = inner.physical_state()
    follow = []
    for continued in (env, other, env):
        contact_rich_actions(continued, 77, 10)
        there: Any = continued.unwrapped
        observation, info = there.set_state(state)
        # The noise and the delayed actions belong to the state.
        np.testing.assert_allclose(observation, last, atol=1e-4)
        assert info["randomization"]["action_delay"] >= 2
        np.testing.assert_array_equal(there.physical_state(), state)
        follow.append(fingerprint([there.step(action)[0] for action in actions[25:]]))
    assert len(set(follow)) == 1


def test_the_delayed_actions_are_part_of_a_physical_state(make: Make) -> None:
    env = make("LamReach-v0", randomize=Randomization(action_delay=(3, 3)))
    inner: Any = env.unwrapped
    env.reset(seed=1)
    openings = [1.0, -1.0, 0.5]
    for opening in openings:
        env.step(np.array([0, 0, 0, opening], dtype=np.float32))
    state = inner.physical_state()
    env.reset(seed=2)
    inner.set_state(state)
    commanded = []
    for _ in range(3):
        inner.step(np.array([0, 0, 0, 0], dtype=np.float32))
        commanded.append(inner.features()["gripper/target"].item())
    assert commanded == pytest.approx([(opening + 1.0) / 2 * inner.max_width for opening in openings])


def test_states_of_other_ranges_are_refused(make: Make) -> None:
    slow = Randomization(action_delay=(5, 5))
    envs: list[Any] = [make("LamGrasp-v0", randomize=given).unwrapped for given in ("none", "full", "visual", slow)]
    for env in envs:
        env.reset(seed=0)
    for env, other in itertools.permutations(envs, 2):
        before = env.get_state()
        with pytest.raises(ValueError, match="another task, robot, control or randomization"):
            env.set_state(other.get_state())
        np.testing.assert_array_equal(env.get_state(), before)


def test_states_of_ranges_that_are_written_otherwise_are_the_same(make: Make) -> None:
    one, other = (
        make("LamGrasp-v0", randomize=given).unwrapped
        for given in ({"object_mass": [1, 2]}, Randomization(object_mass=(1.0, np.float32(2.0))))
    )
    one.reset(seed=0)
    other.reset(seed=1)
    other.set_state(one.get_state())  # type: ignore[attr-defined]
    np.testing.assert_array_equal(other.get_state(), one.get_state())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("object_size", 3.0),
        ("object_mass", 0.0),
        ("brightness", -1.0),
        ("sensor_noise", -3.0),
        ("action_delay", 99.0),
        ("action_delay", 2.5),
        ("noise_key", -1.0),
        ("noise_key", 1e6),
        ("floor_color", 1.5),
        ("light", 50.0),
        ("camera_position", 50.0),
    ],
)
def test_a_state_with_an_impossible_randomization_is_refused(name: str, value: float, make: Make) -> None:
    env = make("LamGrasp-v0", randomize=DISTURBED)
    env.reset(seed=3)
    inner: Any = env.unwrapped
    before = inner.get_state()
    first = inner._world.scene().state_size + inner._world.desired_goal.size + HEADER
    start = 0
    for field in dataclasses.fields(RandomizationSample):
        if field.name == name:
            break
        start += 3 if isinstance(field.default, tuple) else 1
    with pytest.raises(ValueError, match=rf"{name} of the state is .*{value:.9g}.*; expected (whole )?numbers from"):
        inner.set_state(spoiled(before, first + start, value))
    np.testing.assert_array_equal(inner.get_state(), before)


@pytest.mark.parametrize(
    "copied", [pytest.param(copy.deepcopy, marks=SLOW), lambda env: pickle.loads(pickle.dumps(env))]
)
def test_a_copy_continues_a_randomized_episode(copied: Any, make: Make) -> None:
    env = make("LamGraspPixels-v0", randomize="full", **SMALL)
    actions = contact_rich_actions(env, 24, 30)
    env.reset(seed=24)
    for action in actions[:20]:
        env.step(action)
    twin = copied(env.unwrapped)
    ahead = [fingerprint(list(twin.step(action))) for action in actions[20:]]
    twin.close()
    assert [fingerprint(list(env.unwrapped.step(action))) for action in actions[20:]] == ahead


# Invalid states


def spoiled(state: Any, index: int, value: float) -> Any:
    changed = state.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: [], "not of this environment"),
        (lambda state: [1.0], "not of this environment"),
        (lambda state: [state], "not of this environment"),
        (lambda state: np.zeros(500), "not of this environment"),
        (lambda state: state[:-1], "incomplete or corrupt"),
        (lambda state: state[:20], "incomplete or corrupt"),
        (lambda state: [*state, 0.0], "incomplete or corrupt"),
        (lambda state: spoiled(state, 10, np.nan), r"state\[10\] is nan; expected numbers of at most"),
        (lambda state: spoiled(state, 12, -1e300), r"state\[12\] is -1e\+300"),
        (lambda state: {}, "expected a vector of numbers"),
        (lambda state: [10**400], "expected a vector of numbers"),
        (lambda state: spoiled(state, -1, np.inf), "is inf; expected numbers of at most"),
    ],
)
def test_a_bad_state_is_refused(spoil: Any, message: str, make: Make) -> None:
    env = make("LamGrasp-v0")
    env.reset(seed=0)
    inner: Any = env.unwrapped
    env.step(np.ones(4, dtype=np.float32))
    before = inner.get_state()
    with pytest.raises(ValueError, match=message):
        inner.set_state(spoil(before))
    np.testing.assert_array_equal(inner.get_state(), before)


@pytest.mark.parametrize("other", ["LamReach-v0", "LamGraspDiscrete-v0"])
def test_a_state_of_another_environment_is_refused(other: str, make: Make) -> None:
    env, foreign = make("LamGrasp-v0"), make(other)
    env.reset(seed=0)
    foreign.reset(seed=0)
    for _ in range(4):
        foreign.step(foreign.action_space.sample())
    inner: Any = env.unwrapped
    with pytest.raises(ValueError, match="another task, robot, control or randomization"):
        inner.set_state(foreign.unwrapped.get_state())  # type: ignore[attr-defined]


def test_a_state_with_an_instruction_is_refused_by_an_environment_without(make: Make) -> None:
    env, other = make("LamReach-v0").unwrapped, make("LamReach-v0", instruct=True).unwrapped
    env.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(ValueError, match=r"part of the state has \d+ numbers, and .* with another instruct"):
        env.set_state(other.get_state())  # type: ignore[attr-defined]


def test_a_state_with_an_impossible_action_is_refused_before_anything_changes(make: Make) -> None:
    env = make("LamGraspDiscrete-v0")
    env.reset(seed=0)
    env.step(3)
    inner: Any = env.unwrapped
    before = inner.get_state()
    with pytest.raises(ValueError, match=r"action\[0\] is 99"):
        inner.set_state(spoiled(before, -1, 99.0))
    np.testing.assert_array_equal(inner.get_state(), before)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, 3.5, r"the angle of panda_joint1 is 3\.5; expected -2\.8973 to 2\.8973 radians"),
        (18 + 3, 0.5, r"the target of panda_joint4 is 0\.5; expected -3\.0718 to -0\.0698 radians"),
        (7, 50.0, r"the position of panda_finger_joint1 is 50; expected 0 to 0\.04 m"),
        (8, -0.1, r"the position of panda_finger_joint2 is -0\.1; expected 0 to 0\.04 m"),
        (9 + 2, 900.0, r"the velocity of panda_joint3 is 900; expected at most 200"),
        (9 + 8, -900.0, r"the velocity of panda_finger_joint2 is -900; expected at most 200"),
        (25, 80.0, r"the target of the tool is \[80\.0, .*\]; expected at most 5 m on each axis"),
        (28, 80.0, r"the target of the yaw is 80; expected at most 7 radians"),
        (29, 100.0, r"the target of the gripper is 100; expected 0 to 0\.08 m"),
        (29, -1.0, r"the target of the gripper is -1; expected 0 to 0\.08 m"),
        (-1, -3.0, r"the desired goal's number 3 is -3; expected 0 to 10"),
        (-4, 9e5, r"the desired goal's number 0 is 900000; expected -1 to 2"),
    ],
)
def test_a_state_that_no_episode_has_is_refused(index: int, value: float, message: str, make: Make) -> None:
    inner: Any = make("LamReachGoal-v0").unwrapped
    inner.reset(seed=0)
    before = inner.physical_state()
    with pytest.raises(ValueError, match=message):
        inner.set_state(spoiled(before, index if index < 0 else HEADER + index, value))
    np.testing.assert_array_equal(inner.physical_state(), before)


def test_an_impossible_orientation_is_refused_and_spoils_no_later_episode(make: Make) -> None:
    env = make("LamGrasp-v0")
    actions = contact_rich_actions(env, 21, 20)
    expected = trace(env, 21, actions)
    inner: Any = env.unwrapped
    state = inner.physical_state()
    # The last numbers are the cube's pose and motion, and the goal: the quaternion comes 13 before the goal's 3.
    state[-13:-9] = 0.0
    with pytest.raises(ValueError, match=r"the orientation of object is a quaternion of length 0; expected length 1"):
        inner.set_state(state)
    assert trace(env, 21, actions) == expected


def test_a_simulation_that_diverges_says_so_and_spoils_no_later_episode(make: Make) -> None:
    env = make("LamGrasp-v0")
    actions = contact_rich_actions(env, 22, 20)
    expected = trace(env, 22, actions)
    inner: Any = env.unwrapped
    body = inner.simulation.bodies["object"]
    body.set_motion(body.motion()._replace(velocity=(math.inf, 0.0, 0.0)))
    with pytest.raises(RuntimeError, match=r"diverged .* call reset\(\)"):
        inner.step(actions[0])
    with pytest.raises(ResetNeeded):
        inner.step(actions[0])
    assert trace(env, 22, actions) == expected


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_continues_the_episode_apart_from_the_original(copied: Any, make: Make) -> None:
    env = make("LamGraspGoal-v0")
    actions = contact_rich_actions(env, 23, 30)
    env.reset(seed=23)
    for action in actions[:20]:
        env.step(action)
    twin = copied(env.unwrapped)
    ahead = [fingerprint(list(twin.step(action))) for action in actions[20:]]
    twin.close()
    assert [fingerprint(list(env.unwrapped.step(action))) for action in actions[20:]] == ahead

"""Any instruction, command, joint and belt speed is set as given, comes back from a state, and continues exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lam_envs import decode_instruction, encode_instruction
from lam_envs.bullet.articulated import MAX_PARAMETER, Articulation, JointState
from lam_envs.bullet.geometry import Motion
from lam_envs.observation.instructions import MAX_BYTES
from lam_envs.registration import TASKS, env_id
from lam_envs.tasks import Task, make_task

from .traces import fingerprint

SOME = settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEW = settings(SOME, max_examples=4)
MANY = settings(SOME, max_examples=300)
MADE: dict[str, Task] = {name: make_task(name) for name in TASKS}
WITH_COMMANDS = [name for name, task in MADE.items() if task.command_high]
WITH_JOINTS = [name for name, task in MADE.items() if task.articulated_objects]
WITH_BELTS = [name for name, task in MADE.items() if task.moving_surfaces]


class Pairs:
    """Two environments of each task: examples share them, since making one takes longer than an example."""

    def __init__(self) -> None:
        self._made: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._made:
            self._made[name] = [gym.make(env_id(name), instruct=True).unwrapped for _ in range(2)]
        return self._made[name]

    def close(self) -> None:
        for env in (env for pair in self._made.values() for env in pair):
            env.close()


@pytest.fixture(scope="module")
def pairs() -> Iterator[Pairs]:
    made = Pairs()
    yield made
    made.close()


def begin(env: Any, seed: int) -> None:
    """Reset, and make a step: before the first one, a state is the one that was set, whatever the bodies do."""
    env.reset(seed=seed)
    env.step(np.zeros(4, np.float32))


def assert_continues(pair: list[Any], seed: int) -> None:
    """Set the state of the first environment in both, after another episode, and compare what follows."""
    state = pair[0].physical_state()
    pair[1].reset(seed=seed + 1)
    actions = np.random.default_rng(seed).uniform(-1.0, 1.0, (3, 4)).astype(np.float32)
    follow = []
    for env in pair:
        observation, info = env.set_state(state)
        np.testing.assert_array_equal(env.physical_state(), state)
        assert env.observation_space.contains(observation)
        parts: list[Any] = [observation, info]
        for action in actions:
            parts += env.step(action)
            assert np.isfinite(parts[-5]["state"]).all()
        follow.append(fingerprint(parts))
    assert follow[0] == follow[1]


seeds = st.integers(0, 2**31 - 2)
SENTENCES = st.text(st.characters(codec="utf-8"), max_size=2 * MAX_BYTES)


# Instructions


def is_valid(sentence: str) -> bool:
    return bool(sentence.strip()) and sentence.isprintable() and len(sentence.encode()) <= MAX_BYTES


@settings(SOME, max_examples=100)
@given(SENTENCES)
def test_a_sentence_comes_back_from_its_bytes_or_is_refused(sentence: str) -> None:
    if is_valid(sentence):
        encoded = encode_instruction(sentence)
        assert (encoded.shape, encoded.dtype) == ((MAX_BYTES,), np.uint8)
        assert decode_instruction(encoded) == sentence
    else:
        with pytest.raises(ValueError, match="the instruction"):
            encode_instruction(sentence)


@settings(SOME, max_examples=100)
@given(st.binary(max_size=MAX_BYTES))
def test_any_bytes_are_a_text_or_an_error(content: bytes) -> None:
    padded = content.ljust(MAX_BYTES, b"\0")
    try:
        text = decode_instruction(np.frombuffer(padded, np.uint8))
    except ValueError:
        return
    assert text.encode().ljust(MAX_BYTES, b"\0") == padded


@pytest.mark.parametrize("sentence", ["ä" * 64, "抽屉" * 21, "🤖" * 32])
def test_a_sentence_may_fill_all_bytes_and_not_one_more(sentence: str) -> None:
    assert decode_instruction(encode_instruction(sentence)) == sentence
    for longer in (sentence + "xyz", sentence + "ä" * 2):
        with pytest.raises(ValueError, match="bytes; expected at most 128"):
            encode_instruction(longer)


def check_request(pair: list[Any], command: Any, sentence: str, seed: int) -> None:
    observation, info = pair[0].reset(seed=seed, options={"command": command, "instruction": sentence})
    assert pair[0].command == command
    assert pair[0].instruction == sentence
    assert decode_instruction(observation["instruction"]) == decode_instruction(info["instruction"]) == sentence
    assert_continues(pair, seed)
    assert (pair[1].command, pair[1].instruction) == (command, sentence)


@pytest.mark.parametrize("name", WITH_COMMANDS)
@FEW
@given(data=st.data(), sentence=SENTENCES.filter(is_valid), seed=seeds)
def test_any_command_with_any_sentence_is_observed_and_continues(
    name: str, data: st.DataObject, sentence: str, seed: int, pairs: Pairs
) -> None:
    check_request(pairs[name], data.draw(st.sampled_from(pairs[name][0].commands)), sentence, seed)


# Joints


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


def joints_of(task: Task) -> st.SearchStrategy[dict[str, tuple[JointState, ...]]]:
    """Return a strategy for all joints of a task: any position in its limits, and any resistance."""
    resistance = between(0.0, MAX_PARAMETER)
    return st.fixed_dictionaries(
        {
            name: st.tuples(
                *(
                    st.builds(JointState, between(*limits), between(-1.0, 1.0), resistance, resistance, resistance)
                    for limits in joints
                )
            )
            for name, joints in task.articulated_objects.items()
        }
    )


@pytest.mark.parametrize("name", WITH_JOINTS)
@SOME
@given(data=st.data(), seed=seeds)
def test_the_option_joints_sets_any_position_within_the_limits_and_refuses_others(
    name: str, data: st.DataObject, seed: int, pairs: Pairs
) -> None:
    env = pairs[name][0]
    joints = data.draw(joints_of(MADE[name]))
    positions = {body: [one.position for one in states] for body, states in joints.items()}
    env.reset(seed=seed, options={"joints": positions})
    for body, given_positions in positions.items():
        state = env.simulation.bodies[body].state()
        np.testing.assert_allclose([one.position for one in state.joints], given_positions, atol=1e-12)
        assert all(one.velocity == 0.0 for one in state.joints)
    before = env.get_state()
    body, limits = next(iter(MADE[name].articulated_objects.items()))
    beyond = data.draw(st.one_of(between(limits[0][1] + 1e-6, 1e6), between(-1e6, limits[0][0] - 1e-6)))
    with pytest.raises(ValueError, match=rf"the positions of {body} is .*; expected"):
        env.reset(seed=seed, options={"joints": {body: [beyond, *positions[body][1:]]}})
    np.testing.assert_array_equal(env.get_state(), before)


def check_joints(pair: list[Any], joints: dict[str, tuple[JointState, ...]], seed: int) -> None:
    begin(pair[0], seed)
    for name, states in joints.items():
        body = pair[0].simulation.bodies[name]
        body.set_state(Articulation(*body.state()[:2], states))
    assert_continues(pair, seed)
    for name, limits in pair[0]._world.task.articulated_objects.items():
        found = pair[0].simulation.bodies[name].state().joints
        for joint, given_joint, (low, high) in zip(found, joints[name], limits, strict=True):
            assert joint[2:] == given_joint[2:]
            assert low - 0.01 <= joint.position <= high + 0.01


@pytest.mark.parametrize("name", WITH_JOINTS)
@FEW
@given(data=st.data(), seed=seeds)
def test_any_state_of_joints_comes_back_and_continues(
    name: str, data: st.DataObject, seed: int, pairs: Pairs
) -> None:
    check_joints(pairs[name], data.draw(joints_of(MADE[name])), seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", WITH_JOINTS)
@MANY
@given(data=st.data(), seed=seeds)
def test_any_of_many_states_of_joints_comes_back_and_continues(
    name: str, data: st.DataObject, seed: int, pairs: Pairs
) -> None:
    check_joints(pairs[name], data.draw(joints_of(MADE[name])), seed)


# Belts


@pytest.mark.parametrize("name", WITH_BELTS)
@FEW
@given(velocity=st.tuples(between(-0.7, 0.7), between(-0.7, 0.7)), seed=seeds)
def test_any_velocity_of_a_belt_comes_back_and_continues(
    name: str, velocity: tuple[float, float], seed: int, pairs: Pairs
) -> None:
    pair = pairs[name]
    begin(pair[0], seed)
    for surface in MADE[name].moving_surfaces:
        pair[0].simulation.bodies[surface].set_surface_velocity((*velocity, 0.0))
    assert_continues(pair, seed)
    for surface in MADE[name].moving_surfaces:
        assert pair[1].simulation.bodies[surface].surface_velocity == (*velocity, 0.0)


@SOME
@given(speed=between(-0.4, 0.4), seed=seeds)
def test_a_cube_on_a_belt_of_any_speed_moves_with_it(speed: float, seed: int, pairs: Pairs) -> None:
    env = pairs["conveyor"][0]
    env.reset(seed=seed)
    belt, cube = env.simulation.bodies["belt"], env.simulation.bodies["object"]
    belt.set_surface_velocity((0.0, speed, 0.0))
    x, _, z = cube.motion().position
    cube.set_motion(Motion((x, 0.0, z), cube.motion().orientation, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    for _ in range(6):
        env.step(np.array([0.0, 0.0, 1.0, 0.0], np.float32))
    np.testing.assert_allclose(cube.motion().velocity, (0.0, speed, 0.0), atol=2e-3)

"""Observations, joints, bodies and states stay valid for all actions."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import pybullet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lam_envs import ToolCommand
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.scene.scene import TABLE_CENTER, TABLE_SIZE

from .traces import fingerprint

DEEPEST = 0.005
"""Largest penetration of an object, meters."""

Action = npt.NDArray[Any]


class Play(NamedTuple):
    """Environment and actions."""

    task: str
    robot: str
    control: str
    randomize: str
    seed: int
    phases: list[tuple[str, int, int]]
    """Kind of actions, number of steps, and seed."""

    def make(self) -> gym.Env[Any, Any]:
        return gym.make(env_id(self.task), robot=self.robot, control=self.control, randomize=self.randomize).unwrapped


KINDS = ("random", "constant", "huge", "seek", "press", "grab")

plays = st.builds(
    Play,
    task=st.sampled_from(sorted(TASKS)),
    robot=st.sampled_from(sorted(ROBOTS)),
    control=st.sampled_from(["ee", "ee_yaw", "joint", "discrete"]),
    randomize=st.sampled_from(["none", "physics", "full"]),
    seed=st.integers(0, 2**31 - 1),
    phases=st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(5, 30), st.integers(0, 2**31 - 1)), min_size=1, max_size=4
    ),
)


def actions(env: Any, play: Play) -> Iterator[Action]:
    """Yield actions while the environment is stepped: extreme, random, and such that seek contact."""
    space = env.action_space
    for kind, steps, seed in play.phases:
        rng = np.random.default_rng(seed)
        space.seed(seed)
        is_discrete = isinstance(space, gym.spaces.Discrete)
        constant = space.sample() if is_discrete else np.sign(space.sample())
        off = rng.uniform(-0.03, 0.03, size=3)
        for _ in range(steps):
            if kind == "constant":
                yield constant
            elif kind == "huge" and not is_discrete:
                yield (10.0 ** rng.uniform(0, 30) * rng.standard_normal(space.shape)).astype(np.float32)
            elif kind in ("random", "huge") or (kind == "seek" and rng.random() < 0.3):
                yield space.sample()
            else:
                features = env.features()
                names = ("object/position", "handle/position", "goal/position", "hole/position")
                place = next((features[name] for name in names if name in features), np.array([0.5, 0.0, 0.1]))
                width = 0.0 if kind == "press" or rng.random() < 0.5 else env.max_width
                if kind == "grab":
                    width = 0.0 if np.linalg.norm(features["tool/position"] - place) < 0.01 else env.max_width
                else:
                    place = place + off
                if kind == "press" and np.hypot(*(features["tool/position"] - place)[:2]) < 0.01:
                    place = place - np.array([0.0, 0.0, 0.3])
                elif kind == "press":
                    place = place + np.array([0.0, 0.0, 0.15])
                x, y, z = place.tolist()
                yield env.action_for(ToolCommand((x, y, z), width), features)


# What must hold after every step


def assert_observed(env: Any, observation: npt.NDArray[np.float32], reward: float) -> None:
    assert np.isfinite(observation).all()
    assert env.observation_space.contains(observation)
    assert -1.0 <= reward <= 1.0


def assert_joints_are_within_limits(env: Any) -> None:
    robot = env._world.scene().robot
    for angle, (low, high) in zip(
        robot.joint_states()[0], robot.limits, strict=False
    ):  # positions include the fingers
        assert low <= angle <= high


def assert_no_body_is_inside_another(env: Any) -> None:
    task = env._world.task
    movable = {env.simulation.bodies[name].id for name in (*task.movable_objects, *task.articulated_objects)}
    for contact in pybullet.getContactPoints(physicsClientId=env.simulation.client):
        if movable & {contact[1], contact[2]}:
            assert contact[8] >= -DEEPEST, f"{-1000 * contact[8]:.1f} mm deep"


def assert_bodies_are_on_the_table(env: Any) -> None:
    half_x, half_y = TABLE_SIZE[0] / 2, TABLE_SIZE[1] / 2
    for name in env._world.task.movable_objects:
        body = env.simulation.bodies[name]
        if body.id < 0:  # A heap does not have all of its objects.
            continue
        x, y, z = body.motion().position
        if name != "block" and abs(x - TABLE_CENTER[0]) < half_x - 0.05 and abs(y - TABLE_CENTER[1]) < half_y - 0.05:
            # The position of the bin is that of its foot, which rests on the top.
            lowest = -0.001 if name == "bin" else 0.0
            assert z > lowest, f"{name} is {-1000 * z:.1f} mm below the table's top"


def check_steps(play: Play) -> None:
    env: Any = play.make()
    try:
        observation, _ = env.reset(seed=play.seed)
        assert_observed(env, observation, 0.0)
        for action in actions(env, play):
            observation, reward, *_ = env.step(action)
            assert_observed(env, observation, reward)
            assert_joints_are_within_limits(env)
            assert_bodies_are_on_the_table(env)
            assert_no_body_is_inside_another(env)
    finally:
        client = env.simulation.client
        env.close()
        assert not pybullet.isConnected(client)


def check_states(play: Play) -> None:
    """Stop at any step, and continue from the state of that step."""
    env: Any = play.make()
    other: Any = play.make()
    try:
        env.reset(seed=play.seed)
        other.reset(seed=play.seed + 1)
        done = list_actions(env, play)
        stop = play.seed % len(done)
        env.reset(seed=play.seed)
        for action in done[:stop]:
            env.step(action)
        state, physical = env.get_state(), env.physical_state()
        copy = pickle.loads(pickle.dumps(env))
        other.set_state(state)
        try:
            np.testing.assert_array_equal(other.get_state(), state)
            np.testing.assert_array_equal(copy.get_state(), state)
            for action in done[stop:]:
                after = fingerprint(list(env.step(action)))
                assert fingerprint(list(other.step(action))) == after
                assert fingerprint(list(copy.step(action))) == after
        finally:
            copy.close()
        follow = []
        for _ in range(2):
            other.set_state(physical)
            np.testing.assert_array_equal(other.physical_state(), physical)
            follow.append(fingerprint([other.step(action)[0] for action in done[stop:]]))
        assert follow[0] == follow[1]
    finally:
        env.close()
        other.close()


def list_actions(env: Any, play: Play) -> list[Action]:
    done = []
    for action in actions(env, play):
        env.step(action)
        done.append(action)
    return done


SOME = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
FEWER = settings(SOME, max_examples=4)


@SOME
@given(plays)
def test_after_any_step_everything_is_finite_and_in_its_place(play: Play) -> None:
    check_steps(play)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(SOME, max_examples=1500)
@given(plays)
def test_after_any_of_many_steps_everything_is_finite_and_in_its_place(play: Play) -> None:
    check_steps(play)


@pytest.mark.parametrize(
    "robot", [pytest.param(robot, marks=[] if robot in ("panda", "xarm6") else pytest.mark.slow) for robot in ROBOTS]
)
def test_an_arm_that_presses_on_the_table_bends_no_joint_past_its_limit(robot: str) -> None:
    for seed in range(2):
        phases = [("constant", 25, seed), ("seek", 10, seed + 3), ("constant", 30, seed + 7)]
        check_steps(Play("reach", robot, "joint", "none", seed, phases))


@FEWER
@given(plays)
def test_any_episode_continues_bit_identically_from_any_step(play: Play) -> None:
    check_states(play)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(SOME, max_examples=400)
@given(plays)
def test_any_of_many_episodes_continues_bit_identically_from_any_step(play: Play) -> None:
    check_states(play)

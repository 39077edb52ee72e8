"""Actions change the target as documented, and inverses find the actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lam_envs.bullet.geometry import Vector3
from lam_envs.control import CONTROLS, WORKSPACE_HIGH, WORKSPACE_LOW, Target, ToolCommand
from lam_envs.control.cartesian import MAX_LEAD, MAX_TURN
from lam_envs.control.control import SETTLING_GAIN
from lam_envs.control.discrete import DISCRETE_STEPS
from lam_envs.control.end_effector import MAX_STEP, MAX_YAW, MAX_YAW_STEP
from lam_envs.control.joint import MAX_JOINT_LEAD, MAX_JOINT_STEP
from lam_envs.randomization import PhysicsScale
from lam_envs.robots import PANDA
from lam_envs.robots.state import ToolState
from lam_envs.scene.scene import MAX_FINGER_LEAD, Scene
from lam_envs.tasks import make_task

from ..conftest import Make

HERE = (0.5, 0.0, 0.2)
WIDTH = PANDA.max_width
STILL = (0.0, 0.0, 0.0)
EE, EE_YAW, JOINT, DISCRETE = (CONTROLS[name](PANDA) for name in ("ee", "ee_yaw", "joint", "discrete"))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    made = Scene(PANDA, make_task("reach"), PhysicsScale())
    yield made
    made.close()


def target_at(scene: Scene, position: Vector3 = HERE, width: float = 0.0, yaw: float = 0.0) -> Target:
    return Target(scene.robot.initial_joint_angles(position, yaw), position, yaw, width)


def standing(scene: Scene, position: Vector3 = HERE, yaw: float = 0.0) -> ToolState:
    """Return the state of the tool at rest at a pose, and move the arm there."""
    scene.robot.set_joint_states([*scene.robot.initial_joint_angles(position, yaw), 0.0, 0.0])
    return ToolState(position, scene.robot.tool_state().orientation, STILL, STILL)


def features(target: Vector3, width: float, **more: float) -> dict[str, Any]:
    return {
        "tool/position": np.array(target),
        "tool/lag": np.zeros(3),
        "gripper/target": np.array([width]),
        **{name.replace("_", "/", 1): np.array([value]) for name, value in more.items()},
    }


def test_full_actions_move_the_command_by_two_centimetres_and_open_fully(scene: Scene) -> None:
    numbers = EE.validate(np.array([1, -1, 0.5, 1]))
    target = EE.compute_target(numbers, target_at(scene), standing(scene), scene.robot)
    np.testing.assert_allclose(target.position, [0.5 + MAX_STEP, -MAX_STEP, 0.2 + MAX_STEP / 2])
    assert target.width == WIDTH
    scene.robot.set_joint_states([*target.joints, 0.0, 0.0])
    np.testing.assert_allclose(scene.robot.tool_state().position, target.position, atol=1e-3)


@given(x=st.floats(-0.019, 0.019), y=st.floats(-0.019, 0.019), z=st.floats(-0.019, 0.019), width=st.floats(0, WIDTH))
def test_the_inverse_reaches_any_pose_without_swinging_past(
    scene: Scene, x: float, y: float, z: float, width: float
) -> None:
    wanted = (HERE[0] + x, HERE[1] + y, HERE[2] + z)
    target = target_at(scene)
    for _ in range(12):
        action = EE.compute_action(ToolCommand(wanted, width), features(target.position, 0.0), scene.robot)
        tool = ToolState(target.position, (1.0, 0.0, 0.0, 0.0), STILL, STILL)
        before = np.subtract(wanted, target.position)
        target = EE.compute_target(EE.validate(action), target, tool, scene.robot)
        after = np.subtract(wanted, target.position)
        assert (after * before >= -1e-12).all(), "it swung past"
    np.testing.assert_allclose(target.position, wanted, atol=1e-5)
    assert target.width == pytest.approx(width, abs=1e-8)


def test_the_inverse_goes_straight_to_what_is_far(scene: Scene) -> None:
    action = EE.compute_action(ToolCommand((0.6, 0.05, 0.2), 0.0), features(HERE, 0.0), scene.robot)
    np.testing.assert_allclose(action, [1.0, 0.5, 0.0, -1.0], atol=1e-6)


def test_the_command_stays_in_the_workspace_and_near_the_tool(scene: Scene) -> None:
    target = target_at(scene)
    for _ in range(100):
        target = EE.compute_target([1, 1, -1, 0], target, standing(scene), scene.robot)
    np.testing.assert_allclose(target.position, [0.5 + MAX_LEAD, MAX_LEAD, 0.2 - MAX_LEAD])
    corner = (WORKSPACE_HIGH[0], WORKSPACE_HIGH[1], WORKSPACE_LOW[2])
    target = EE.compute_target([1, 1, -1, 0], target_at(scene, corner), standing(scene, corner), scene.robot)
    assert target.position == corner


def test_no_joint_is_commanded_to_turn_faster_than_arms_can_where_inverse_kinematics_jumps(make: Make) -> None:
    for name in ("ee", "ee_yaw"):
        env: Any = make("LamReach-v0", control=name)
        rng = np.random.default_rng(0)
        jumps = 0
        for seed in range(6):
            env.reset(seed=seed)
            target = env.unwrapped._world.scene().target
            for step in range(40):
                if step % 20 == 0:
                    action = rng.choice([-1.0, 1.0], size=env.action_space.shape)
                env.step(action)
                target, before = env.unwrapped._world.scene().target, target
                turn = np.abs(np.subtract(target.joints, before.joints)).max()
                assert turn <= MAX_TURN + 1e-12
                jumps += turn >= MAX_TURN - 1e-12
        assert jumps > 0, "the limit was never met: no corner was reached"


def test_fingers_close_gently_whatever_is_commanded(make: Make) -> None:
    env: Any = make("LamGrasp-v0")
    env.reset(seed=0)
    widths = [env.unwrapped.features()["gripper/width"].item()]
    for opening in [1.0] * 8 + [-1.0] * 8:
        env.step(np.array([0.0, 0.0, 0.0, opening], dtype=np.float32))
        widths.append(env.unwrapped.features()["gripper/width"].item())
    assert np.abs(np.diff(widths)).max() <= 2 * MAX_FINGER_LEAD + 0.001
    assert widths[8] == pytest.approx(WIDTH, abs=0.001)
    assert widths[16] == pytest.approx(0.0, abs=0.001)


def test_the_hand_turns_by_a_tenth_of_a_radian_and_up_to_its_limit(scene: Scene) -> None:
    tool = standing(scene)
    assert scene.robot.yaw(tool) == pytest.approx(0.0, abs=1e-3)
    target = EE_YAW.compute_target([0, 0, 0, 1, 0], target_at(scene), tool, scene.robot)
    assert target.yaw == pytest.approx(MAX_YAW_STEP)
    scene.robot.set_joint_states([*target.joints, 0.0, 0.0])
    assert scene.robot.yaw(scene.robot.tool_state()) == pytest.approx(MAX_YAW_STEP, abs=2e-3)
    at_limit = EE_YAW.compute_target(
        [0, 0, 0, -1, 0], target_at(scene, yaw=-1.55), standing(scene, yaw=-1.55), scene.robot
    )
    assert at_limit.yaw == -MAX_YAW


def test_the_inverse_turns_the_hand_to_where_it_is_wanted(scene: Scene) -> None:
    seen = features(HERE, 0.0, tool_yaw=0.3, tool_yaw_lag=0.02)
    action = EE_YAW.compute_action(ToolCommand(HERE, 0.0, yaw=0.25), seen, scene.robot)
    np.testing.assert_allclose(action, [0, 0, 0, -0.7 * SETTLING_GAIN, -1], atol=1e-6)


def test_joint_actions_turn_each_joint_within_its_limits_and_lead(scene: Scene) -> None:
    tool = standing(scene)
    start = target_at(scene)
    numbers = JOINT.validate(np.array([1, 0, 0, 0, 0, 0, -0.5, 1]))
    target = JOINT.compute_target(numbers, start, tool, scene.robot)
    moved = np.subtract(target.joints, start.joints)
    np.testing.assert_allclose(moved, [MAX_JOINT_STEP, 0, 0, 0, 0, 0, -MAX_JOINT_STEP / 2], atol=1e-12)
    for _ in range(20):
        target = JOINT.compute_target([1.0] * 7 + [0.0], target, tool, scene.robot)
    assert np.subtract(target.joints, start.joints).max() == pytest.approx(MAX_JOINT_LEAD)
    assert all(low < angle < high for angle, (low, high) in zip(target.joints, scene.robot.limits, strict=True))


def test_inverse_kinematics_depends_on_its_arguments_alone(scene: Scene) -> None:
    seed = scene.robot.initial_joint_angles(HERE)
    solutions = []
    for elsewhere in ((0.35, 0.2, 0.1), (0.65, -0.2, 0.4)):
        standing(scene, elsewhere)
        solutions.append(scene.robot.inverse_kinematics((0.52, 0.01, 0.19), 0.1, seed))
    assert solutions[0] == solutions[1]


def test_discrete_actions_do_what_their_table_says(scene: Scene) -> None:
    tool = standing(scene)
    moved = [
        DISCRETE.compute_target([action], target_at(scene, width=0.04), tool, scene.robot) for action in range(21)
    ]
    coarse, fine, finest = DISCRETE_STEPS
    for action, step in ((1, [coarse, 0, 0]), (6, [0, 0, -coarse]), (9, [0, fine, 0]), (14, [-finest, 0, 0])):
        np.testing.assert_allclose(np.array(moved[action].position) - HERE, step, atol=1e-12)
    assert (moved[0].position, moved[0].width) == (HERE, 0.04)
    assert (moved[19].position, moved[19].width) == (HERE, WIDTH)
    assert (moved[20].position, moved[20].width) == (HERE, 0.0)


@given(x=st.floats(-0.1, 0.1), y=st.floats(-0.1, 0.1), z=st.floats(-0.1, 0.1))
def test_discrete_inverses_come_within_half_a_finest_step_and_hold(
    scene: Scene, x: float, y: float, z: float
) -> None:
    wanted = np.add(HERE, (x, y, z))
    target = target_at(scene, width=WIDTH)
    for _ in range(40):
        seen = features(target.position, target.width)
        action = DISCRETE.compute_action(ToolCommand(tuple(wanted.tolist()), WIDTH), seen, scene.robot)
        tool = ToolState(target.position, (1.0, 0.0, 0.0, 0.0), STILL, STILL)
        target = DISCRETE.compute_target(DISCRETE.validate(action), target, tool, scene.robot)
    assert action == 0
    assert np.abs(wanted - target.position).max() <= 0.51 * DISCRETE_STEPS[-1]


@pytest.mark.parametrize("control", CONTROLS)
def test_following_the_inverse_brings_the_tool_to_any_pose(control: str, make: Make) -> None:
    env = make("LamReach-v0", control=control)
    inner: Any = env.unwrapped
    env.reset(seed=0)
    for goal in ((0.62, 0.22, 0.05), (0.36, -0.22, 0.35)):
        for _ in range(45):
            env.step(inner.action_for(ToolCommand(goal, 0.0), inner.features()))
        np.testing.assert_allclose(inner.features()["tool/position"], goal, atol=2e-3)


def test_the_tool_moves_to_the_commanded_position(make: Make) -> None:
    env = make("LamReach-v0")
    inner: Any = env.unwrapped
    env.reset(seed=0)
    start = inner.features()["tool/position"]
    for _ in range(4):
        env.step(np.array([1, 0, 0, 0], dtype=np.float32))
    for _ in range(4):
        env.step(np.zeros(4, dtype=np.float32))
    np.testing.assert_allclose(inner.features()["tool/position"] - start, [0.08, 0, 0], atol=2e-3)

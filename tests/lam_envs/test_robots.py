"""Every robot: workspace, gripper, and agreement of physics and images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pybullet
import pytest

from demos.experts import make_expert
from lam_envs import ManipulationEnv
from lam_envs.bullet.geometry import Frame, Quaternion, Vector3
from lam_envs.bullet.simulation import Detail, Simulation
from lam_envs.robots import PANDA, ROBOTS, UR5E, Robot, RobotModel
from tests.conftest import Make
from tests.lam_envs.above import Above

DOWN: Quaternion = (1.0, 0.0, 0.0, 0.0)
"""Half a turn about x: the hand's x axis along the world's, its z axis down."""
Build = Callable[[RobotModel, Detail], Robot]


@pytest.fixture(params=sorted(ROBOTS))
def model(request: pytest.FixtureRequest) -> RobotModel:
    return ROBOTS[request.param]


@pytest.fixture
def build() -> Iterator[Build]:
    """Load robots, each in its own simulation."""
    simulations = []

    def build_one(model: RobotModel, detail: Detail) -> Robot:
        simulations.append(Simulation(detail))
        return Robot(model, simulations[-1])

    yield build_one
    for simulation in simulations:
        simulation.close()


class WithAbsent(Above):
    """Task with an object that the episode lacks."""

    def build_scene(self, simulation: Any, scale: float) -> None:
        super().build_scene(simulation, scale)
        simulation.add_absent("nothing")


def test_a_hand_that_touches_something_does_not_touch_an_absent_object() -> None:
    env = ManipulationEnv(task=WithAbsent())
    env.reset(seed=0)
    x, y, z = env.features()["tool/position"]
    env.reset(seed=0, options={"poses": {"object": [x, y, z, 0.0, 0.0, 0.0, 1.0]}})
    env.step(np.zeros(4, np.float32))
    robot, bodies = env._world.scene().robot, env.simulation.bodies
    assert robot.touch(bodies["object"]).anywhere
    assert not any(robot.touch(bodies["nothing"]))
    env.close()


def angle_between(first: Quaternion, second: Quaternion) -> float:
    return 2.0 * math.acos(min(abs(float(np.dot(first, second))), 1.0))


def joint_table(robot: Robot) -> dict[str, tuple[int, float, float]]:
    """Type and limits of every joint, by name."""
    table = {}
    for joint in range(pybullet.getNumJoints(robot._body, physicsClientId=robot._client)):
        info = pybullet.getJointInfo(robot._body, joint, physicsClientId=robot._client)
        table[info[1].decode()] = (info[2], info[8], info[9])
    return table


def finger_place(robot: Robot, number: int) -> Frame:
    """Origin of a finger's link in the tool's frame."""
    state = pybullet.getLinkState(robot._body, robot._fingers[number], 0, 1, robot._client)
    to_tool = pybullet.invertTransform(*robot.tool_frame())
    return Frame(*pybullet.multiplyTransforms(*to_tool, state[4], state[5]))


def test_home_points_the_tool_down_at_the_middle(model: RobotModel, build: Build) -> None:
    frame = build(model, "physics").tool_frame()
    assert math.dist(frame.position, (0.5, 0.0, 0.25)) < 0.005
    assert angle_between(frame.orientation, DOWN) < 0.005


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((0.40, -0.15, 0.17), (0.60, 0.15, 0.33)),
        ((0.35, -0.25, 0.03), (0.65, 0.25, 0.38)),
        ((0.36, -0.25, 0.012), (0.64, 0.25, 0.10)),
        ((0.34, -0.20, 0.02), (0.70, 0.20, 0.09)),
    ],
    ids=["the tool's start", "goals in the air", "objects on the table", "around a puck"],
)
def test_the_working_area_is_within_reach(model: RobotModel, build: Build, low: Vector3, high: Vector3) -> None:
    robot = build(model, "physics")
    for position in product(*(np.linspace(low[axis], high[axis], 5).tolist() for axis in range(3))):
        x, y, z = position
        angles = robot.initial_joint_angles((x, y, z))
        robot.set_joint_states((*angles, 0.0, 0.0))
        frame = robot.tool_frame()
        assert math.dist(robot.tool_state().position, position) < 0.001, position
        assert math.dist(frame.position, position) < 0.001, position
        assert angle_between(frame.orientation, DOWN) < 0.01, position
        for name, angle, (lowest, highest) in zip(model.arm_joints, angles, robot.commanded_limits, strict=True):
            assert lowest < angle < highest, (name, position)


def test_the_arm_does_not_change_its_shape_on_the_way(model: RobotModel, build: Build) -> None:
    robot = build(model, "physics")
    rng = np.random.default_rng(0)
    place = np.array([0.5, 0.0, 0.25])
    angles = list(model.home)
    for _ in range(20):
        goal = rng.uniform((0.36, -0.25, 0.012), (0.65, 0.25, 0.38))
        for _ in range(60):
            x, y, z = place.tolist()
            before, angles = angles, robot.inverse_kinematics((x, y, z), 0.0, angles)
            assert np.abs(np.subtract(angles, before)).max() < 0.3
            place = place + np.clip(goal - place, -0.02, 0.02)
        # The redundant joint depends a little on the path.
        assert np.abs(np.subtract(angles, robot.initial_joint_angles((x, y, z)))).max() < 0.5


def test_the_fingers_open_and_close_alike_along_y(model: RobotModel, build: Build) -> None:
    robot = build(model, "physics")
    for width in (0.0, model.max_width / 2, model.max_width):
        robot.set_joint_states((*model.home, width / 2, width / 2))
        left, right = finger_place(robot, 0).position, finger_place(robot, 1).position
        assert left == pytest.approx((0.0, width / 2, left[2]), abs=1e-6)
        assert right == pytest.approx((0.0, -width / 2, left[2]), abs=1e-6)
        assert robot.gripper_state().width == pytest.approx(width)
        assert robot._closing_axis() == pytest.approx((0.0, -1.0, 0.0), abs=0.005)


def test_the_motors_open_and_close_the_fingers(model: RobotModel) -> None:
    simulation = Simulation()
    robot = Robot(model, simulation)
    for width in (0.0, model.max_width):
        for _ in range(20):
            robot.set_motor_targets(robot.initial_joint_angles((0.5, 0.0, 0.25)), width)
            simulation.step()
        left, right = robot.joint_states()[0][-2:]
        assert robot.gripper_state().width == pytest.approx(width, abs=0.001)
        assert left == pytest.approx(right, abs=0.0005)
    simulation.close()


def test_images_show_what_physics_moves(model: RobotModel, build: Build) -> None:
    physics, visual = build(model, "physics"), build(model, "full")
    for name, joint in joint_table(physics).items():
        shown = joint_table(visual)[name]
        assert shown[0] == joint[0], name
        if model.name != "panda":  # the public model's limits differ in the last digits
            assert shown[1:] == pytest.approx(joint[1:]), name
    rng = np.random.default_rng(1)
    for _ in range(5):
        x, y, z = rng.uniform((0.35, -0.25, 0.03), (0.65, 0.25, 0.38)).tolist()
        pose = (*physics.initial_joint_angles((x, y, z)), 0.01, 0.01)
        for robot in (physics, visual):
            robot.set_joint_states(pose)
        assert math.dist(physics.tool_frame().position, visual.tool_frame().position) < 1e-4
        assert angle_between(physics.tool_frame().orientation, visual.tool_frame().orientation) < 1e-3
        for number in range(2):
            assert math.dist(finger_place(physics, number).position, finger_place(visual, number).position) < 1e-3


UR5E_DH = (
    (0.0, 0.1625, math.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, math.pi / 2),
    (0.0, 0.0997, -math.pi / 2),
    (0.0, 0.0996, 0.0),
)
"""The manufacturer's Denavit-Hartenberg parameters of each joint: a (m), d (m), alpha (radians)."""


def dh_transform(theta: float, a: float, d: float, alpha: float) -> Any:
    """Return the transform of one joint: Rot(z, theta) Trans(z, d) Trans(x, a) Rot(x, alpha)."""
    ct, st, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
    return np.array(
        [[ct, -st * ca, st * sa, a * ct], [st, ct * ca, -ct * sa, a * st], [0.0, sa, ca, d], [0.0, 0.0, 0.0, 1.0]]
    )


def test_the_ur5e_moves_by_the_table_of_its_manufacturer(build: Build) -> None:
    robot = build(UR5E, "physics")
    rng = np.random.default_rng(0)
    for _ in range(20):
        angles = rng.uniform(*np.transpose(robot.limits)).tolist()
        robot.set_joint_states((*angles, 0.0, 0.0))
        # The base is turned by 180 degrees, so that the arm faces x at zero.
        expected = np.diag((-1.0, -1.0, 1.0, 1.0))
        expected[:3, 3] = UR5E.base
        for angle, parameters in zip(angles, UR5E_DH, strict=True):
            expected = expected @ dh_transform(angle, *parameters)
        tool = robot.tool_state()
        np.testing.assert_allclose(
            tool.position, expected[:3, 3] + UR5E.tool_offset * expected[:3, 2], rtol=0.0, atol=1e-6
        )
        turned = np.reshape(pybullet.getMatrixFromQuaternion(tool.orientation), (3, 3))
        np.testing.assert_allclose(turned, expected[:3, :3], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("env_id", ["LamReach-v0", pytest.param("LamGrasp-v0", marks=pytest.mark.slow)])
def test_experts_succeed(model: RobotModel, make: Make, env_id: str) -> None:
    env = make(env_id, robot=model.name)
    expert = make_expert(env)
    for seed in range(50000, 50004):
        observation, _ = env.reset(seed=seed)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
            done = terminated or truncated
        assert info["is_success"], seed


def test_a_description_that_is_not_there_is_refused_by_name() -> None:
    wrong = dataclasses.replace(PANDA, physics_urdf=Path("nowhere.urdf"))
    with pytest.raises(FileNotFoundError, match=r"no robot description at nowhere\.urdf"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"home": (0.0, 0.0)}, ValueError, "home of the robot 'panda' has 2 numbers; expected 7"),
        ({"arm_forces": (1.0,)}, ValueError, "arm_forces of the robot 'panda' has 1 numbers; expected 7"),
        ({"redundant_joint": 12}, ValueError, "redundant_joint of the robot 'panda' is 12; expected None or 0 to 6"),
        ({"max_width": 0.0}, ValueError, r"max_width of the robot 'panda' is 0\.0; expected at least"),
        ({"joint_margin": 0.0}, ValueError, r"joint_margin of the robot 'panda' is 0\.0; expected at least 0\.02"),
        ({"physics_urdf": "x.urdf"}, TypeError, r"physics_urdf .* is 'x\.urdf'; expected a pathlib\.Path"),
    ],
)
def test_a_robot_that_cannot_be_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(PANDA, **change)


def test_a_margin_that_leaves_a_joint_no_room_is_refused() -> None:
    wrong = dataclasses.replace(PANDA, joint_margin=9.0)
    with pytest.raises(ValueError, match=r"joint 'panda_joint1' .* more than twice the joint_margin 9"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)


def test_a_file_that_is_no_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arm.urdf").write_text("no robot at all")
    wrong = dataclasses.replace(PANDA, physics_urdf=tmp_path / "arm.urdf")
    with pytest.raises(ValueError, match=r"arm\.urdf is no robot description that Bullet can read"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)

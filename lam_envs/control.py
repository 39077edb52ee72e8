"""Action spaces: what an action means, and which action does what is wanted.

A control turns an action into a :class:`Target` for the arm's joints and the gripper, and its inverse turns a
wanted tool pose (:class:`ToolCommand`) into the action that brings the tool nearest to it in one step. Experts only
speak of tool poses, so one expert serves every control and every robot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from lam_envs.actions import checked_choice, checked_numbers
from lam_envs.geometry import Vector3, rotation_6d
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.robot import GripperState, ToolState

# Where the commanded tool position may be, metres: in front of the arm, above the table. The lowest point
# keeps the fingertips 3 mm off the table.
WORKSPACE_LOW: Vector3 = (0.28, -0.35, 0.012)
WORKSPACE_HIGH: Vector3 = (0.72, 0.35, 0.45)
# How far the command may run ahead of the tool on each axis, metres: what presses against something does not
# wind up, and turning back answers at once.
MAX_LEAD = 0.05
# 2 cm a step is 0.4 m/s, a brisk speed for such an arm (its maker allows 1.7 m/s).
MAX_STEP = 0.02
# A parallel hand that turns a quarter either way reaches every direction; a little more lets it hold one there.
MAX_YAW = 1.6
MAX_YAW_STEP = 0.1
MAX_YAW_LEAD = 0.3
# Radians a step. 1 rad/s moves the tool of a stretched arm at 0.7 m/s.
MAX_JOINT_STEP = 0.05
MAX_JOINT_LEAD = 0.15
# How far ahead of the tool an action by joints aims, metres: one step and what the tool lags behind at full speed.
JOINT_LOOK_AHEAD = 0.03
JOINT_IK_ITERATIONS = 10
# Share of a small error that one action undoes: all of it would swing to and fro where actions take effect late.
SETTLING = 0.6
# Discrete steps, metres: far ways in few steps, a fine one below most tasks' tolerances, and one to fit parts.
DISCRETE_STEPS = (0.025, 0.006, 0.0015)


@dataclass(frozen=True)
class ToolCommand:
    """What an expert wants of the robot.

    Attributes:
        position: Where the tool should go, metres.
        width: How wide the gripper should open, metres.
        yaw: Turn of the hand about the vertical, radians; controls that cannot turn it leave it.
    """

    position: tuple[float, float, float]
    width: float
    yaw: float = 0.0


@dataclass
class Target:
    """What the robot is told to reach.

    Attributes:
        joints: Angles of the arm's joints, radians: what the motors get.
        position: The commanded tool position, metres; joint control does not use it.
        yaw: The commanded turn of the hand, radians; joint control does not use it.
        width: The commanded opening of the gripper, metres.
    """

    joints: list[float]
    position: Vector3
    yaw: float
    width: float


class Control(ABC):
    """One meaning of actions.

    Args:
        model: The robot that acts.
    """

    name: ClassVar[str]
    space: spaces.Space[Any]
    action_size: int
    """How many numbers record an action."""

    def __init__(self, model: RobotModel) -> None:
        self.model = model
        self.max_width = model.max_width

    @property
    def features(self) -> tuple[Feature, ...]:
        """The robot's own features that an agent needs to act by this control."""
        half = self.max_width / 2
        return (
            Feature("tool/position", 3, "m", "point between the fingertips", (0.5, 0.0, 0.2), 0.2, 1.0),
            Feature("tool/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
            *self.pose_features,
            Feature("gripper/width", 1, "m", "opening between the fingers", half, half, 4 * half),
            Feature("gripper/target", 1, "m", "commanded opening", half, half, 2 * half, noisy=False),
            Feature("gripper/velocity", 1, "m/s", "speed of the opening", 0.0, 0.2, 2.0),
        )

    def values(self, robot: Robot, tool: ToolState, gripper: GripperState, target: Target) -> list[float]:
        """Reads the physical values of :attr:`features`, in order."""
        return [
            *tool.position,
            *tool.velocity,
            *self.pose_values(robot, tool, target),
            gripper.width,
            target.width,
            gripper.velocity,
        ]

    @property
    def pose_features(self) -> tuple[Feature, ...]:
        """What of the robot's pose an agent sees besides the tool's position."""
        return (Feature("tool/lag", 3, "m", "commanded position minus position", 0.0, 0.02, 0.2),)

    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        """Reads the physical values of :attr:`pose_features`."""
        (x, y, z), (tx, ty, tz) = tool.position, target.position
        return (tx - x, ty - y, tz - z)

    @abstractmethod
    def checked(self, action: Any) -> list[float]:
        """Returns an action as a list of ``action_size`` numbers, displacements clipped to [-1, 1].

        Raises:
            ValueError: The action is not finite, or has a wrong shape or type.
        """

    @abstractmethod
    def command(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        """Applies an action.

        Args:
            numbers: What :meth:`checked` returned.
            target: What the robot was told before.
            tool: Where the tool is.
            robot: Whose kinematics count.

        Returns:
            What the robot is told now.
        """

    @abstractmethod
    def inverse(self, command: ToolCommand, features: Features, robot: Robot) -> Any:
        """Returns the action of :attr:`space` that brings the robot towards what is wanted, without swinging past it.

        Args:
            command: What is wanted.
            features: The scene, by name.
            robot: Whose kinematics count; where it is at the moment does not matter.
        """

    def displaced(
        self, target: Target, tool: ToolState, step: Vector3, width: float, robot: Robot, yaw: float = 0.0
    ) -> Target:
        """Moves the commanded tool position by a step, within the workspace and the allowed lead."""
        (x, y, z), (tool_x, tool_y, tool_z) = target.position, tool.position
        position = (
            _bounded(x + step[0], tool_x, WORKSPACE_LOW[0], WORKSPACE_HIGH[0]),
            _bounded(y + step[1], tool_y, WORKSPACE_LOW[1], WORKSPACE_HIGH[1]),
            _bounded(z + step[2], tool_z, WORKSPACE_LOW[2], WORKSPACE_HIGH[2]),
        )
        return Target(robot.solve(position, yaw, target.joints), position, yaw, width)

    def width(self, opening: float) -> float:
        """The gripper's width in metres for an opening in [-1, 1]."""
        return (opening + 1.0) / 2 * self.max_width

    def opening(self, width: float) -> float:
        """The inverse of :meth:`width`, clipped."""
        return min(max(2.0 * width / self.max_width - 1.0, -1.0), 1.0)


class EndEffectorControl(Control):
    """``ee``: displacement of the commanded tool position, and the gripper's opening.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |
    """

    name = "ee"
    action_size = 4

    def __init__(self, model: RobotModel) -> None:
        super().__init__(model)
        self.space = spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)

    @override
    def checked(self, action: Any) -> list[float]:
        return checked_numbers(action, self.action_size)

    @override
    def command(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        x, y, z, opening = numbers
        return self.displaced(target, tool, (x * MAX_STEP, y * MAX_STEP, z * MAX_STEP), self.width(opening), robot)

    @override
    def inverse(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        return np.array([*_steps(command, features), self.opening(command.width)], dtype=np.float32)


class TurningControl(EndEffectorControl):
    """``ee_yaw``: as ``ee``, and the hand turns about the vertical.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | turn of the hand, seen from above | clockwise by 0.1 rad | anticlockwise |
    | 4 | gripper opening | closed | widest |
    """

    name = "ee_yaw"
    action_size = 5

    @property
    @override
    def pose_features(self) -> tuple[Feature, ...]:
        return (
            *super().pose_features,
            Feature("tool/yaw", 1, "rad", "turn of the hand about the vertical", 0.0, 1.0, 4.0),
            Feature("tool/yaw_lag", 1, "rad", "commanded turn minus turn", 0.0, 0.1, 1.0),
        )

    @override
    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        yaw = robot.yaw(tool)
        return (*super().pose_values(robot, tool, target), yaw, target.yaw - yaw)

    @override
    def command(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        x, y, z, turn, opening = numbers
        now = robot.yaw(tool)
        yaw = min(max(target.yaw + turn * MAX_YAW_STEP, now - MAX_YAW_LEAD), now + MAX_YAW_LEAD)
        yaw = min(max(yaw, -MAX_YAW), MAX_YAW)
        step = (x * MAX_STEP, y * MAX_STEP, z * MAX_STEP)
        return self.displaced(target, tool, step, self.width(opening), robot, yaw)

    @override
    def inverse(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        commanded = (features["tool/yaw"] + features["tool/yaw_lag"]).item()
        turn = min(max(SETTLING * (command.yaw - commanded) / MAX_YAW_STEP, -1.0), 1.0)
        return np.array([*_steps(command, features), turn, self.opening(command.width)], dtype=np.float32)


class JointControl(Control):
    """``joint``: displacement of the commanded joint angles, and the gripper's opening.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | one for each joint | displacement of its angle | -0.05 rad | +0.05 rad |
    | the last | gripper opening | closed | widest |
    """

    name = "joint"

    def __init__(self, model: RobotModel) -> None:
        super().__init__(model)
        self.action_size = len(model.arm_joints) + 1
        self.space = spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)

    @property
    @override
    def pose_features(self) -> tuple[Feature, ...]:
        count = len(self.model.arm_joints)
        return (
            Feature("tool/rotation", 6, "1", "first two columns of its rotation matrix", 0.0, 1.0, 1.0),
            Feature("joint/position", count, "rad", "angles from home", self.model.home, 1.0, 7.0),
            Feature("joint/velocity", count, "rad/s", "their speeds", 0.0, 1.0, 10.0),
            Feature("joint/lag", count, "rad", "commanded angles minus angles", 0.0, 0.05, 1.0),
        )

    @override
    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        count = len(target.joints)
        positions, velocities = robot.joint_states()
        lags = [wanted - angle for wanted, angle in zip(target.joints, positions, strict=False)]  # and the fingers
        return (*rotation_6d(robot.tool_orientation(tool)), *positions[:count], *velocities[:count], *lags)

    @override
    def checked(self, action: Any) -> list[float]:
        return checked_numbers(action, self.action_size)

    @override
    def command(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        *turns, opening = numbers
        positions, _ = robot.joint_states()
        joints = []
        for turn, wanted, now, (low, high) in zip(
            turns, target.joints, positions, robot.commanded_limits, strict=False
        ):
            wanted += turn * MAX_JOINT_STEP
            wanted = min(max(wanted, now - MAX_JOINT_LEAD), now + MAX_JOINT_LEAD)
            joints.append(min(max(wanted, low), high))
        return Target(joints, target.position, target.yaw, self.width(opening))

    @override
    def inverse(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        here = features["tool/position"]
        way = np.asarray(command.position) - here
        x, y, z = (here + way * min(1.0, JOINT_LOOK_AHEAD / max(float(np.linalg.norm(way)), 1e-9))).tolist()
        commanded = (features["joint/position"] + features["joint/lag"]).tolist()
        wanted = robot.solve((x, y, z), command.yaw, commanded, JOINT_IK_ITERATIONS)
        turns = (np.array(wanted) - commanded) / MAX_JOINT_STEP
        # One factor for all joints keeps the way straight.
        turns *= min(SETTLING, 1.0 / max(float(np.abs(turns).max()), 1e-9))
        return np.array([*turns, self.opening(command.width)], dtype=np.float32)


class DiscreteControl(Control):
    """``discrete``: one step along one axis, or the gripper.

    | action | meaning |
    |---|---|
    | 0 | hold still |
    | 1 to 6 | coarse: 2.5 cm along +x, -x, +y, -y, +z, -z |
    | 7 to 12 | fine: 6 mm along the same |
    | 13 to 18 | finest: 1.5 mm along the same |
    | 19 | open the gripper |
    | 20 | close the gripper |
    """

    name = "discrete"
    action_size = 1
    HOLD = 0
    OPEN = 1 + 6 * len(DISCRETE_STEPS)
    CLOSE = OPEN + 1

    def __init__(self, model: RobotModel) -> None:
        super().__init__(model)
        self.steps: list[Vector3] = [(0.0, 0.0, 0.0)]
        for length in DISCRETE_STEPS:
            for axis in range(3):
                for sign in (1.0, -1.0):
                    step = [0.0, 0.0, 0.0]
                    step[axis] = sign * length
                    self.steps.append((step[0], step[1], step[2]))
        self.steps += [(0.0, 0.0, 0.0)] * 2
        self.space = spaces.Discrete(len(self.steps))

    @override
    def checked(self, action: Any) -> list[float]:
        return [float(checked_choice(action, len(self.steps)))]

    @override
    def command(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        number = int(numbers[0])
        width = {self.OPEN: self.max_width, self.CLOSE: 0.0}.get(number, target.width)
        return self.displaced(target, tool, self.steps[number], width, robot)

    @override
    def inverse(self, command: ToolCommand, features: Features, robot: Robot) -> np.int64:
        change = command.width - features["gripper/target"].item()
        # Anything nearer to the other end than to what the gripper was told.
        if abs(change) > self.max_width / 4:
            return np.int64(self.OPEN if change > 0 else self.CLOSE)
        error = np.asarray(command.position) - (features["tool/position"] + features["tool/lag"])
        axis = int(np.abs(error).argmax())
        length = abs(float(error[axis]))
        for level, step in enumerate(DISCRETE_STEPS):
            # A step helps beyond half its length, rounded to what the next finer steps can reach. The hundredth keeps
            # rounding from stepping to and fro about half of the finest.
            finer = DISCRETE_STEPS[level + 1] if level + 1 < len(DISCRETE_STEPS) else 0.02 * step
            if length > step / 2 + finer / 2:
                return np.int64(1 + 6 * level + 2 * axis + (0 if error[axis] > 0 else 1))
        return np.int64(self.HOLD)


CONTROLS: dict[str, type[Control]] = {
    control.name: control for control in (EndEffectorControl, TurningControl, JointControl, DiscreteControl)
}
"""The table of controls."""


def _bounded(wanted: float, tool: float, low: float, high: float) -> float:
    """Keeps a coordinate of the command near the tool's, and in the workspace."""
    if wanted < tool - MAX_LEAD:
        wanted = tool - MAX_LEAD
    elif wanted > tool + MAX_LEAD:
        wanted = tool + MAX_LEAD
    # Should the tool ever be outside the workspace, the workspace wins.
    return low if wanted < low else high if wanted > high else wanted


def _steps(command: ToolCommand, features: Features) -> npt.NDArray[np.float64]:
    """The displacement towards what is wanted, in shares of the longest one."""
    commanded = features["tool/position"] + features["tool/lag"]
    step: npt.NDArray[np.float64] = (np.asarray(command.position) - commanded) / MAX_STEP
    # One factor for all axes keeps the way straight.
    length = float(np.abs(step).max())
    step *= min(SETTLING, 1.0 / max(length, 1e-9))
    return step

"""Displacements of the end effector: ``ee``, and ``ee_yaw``, which also turns the hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from lam_envs.control.actions import validate_box_action
from lam_envs.control.cartesian import move_target
from lam_envs.control.control import SETTLING_GAIN, Control, Target, ToolCommand
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import ToolState

# 2 cm per step is 0.4 m/s, a high speed for such an arm (the Panda's limit is 1.7 m/s).
MAX_STEP = 0.02
# A parallel gripper that turns by 90 degrees either way reaches every direction; the margin keeps it off the limit.
MAX_YAW = 1.6
MAX_YAW_STEP = 0.1
MAX_YAW_LEAD = 0.3


class EndEffectorControl(Control):
    """``ee``: displacement of the commanded tool position, and opening of the gripper.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    The commanded position stays in the workspace and within 5 cm of the tool on each axis. Commanded joints turn with
    at most 2.4 rad/s, and commanded fingers move with at most 0.36 m/s.
    """

    name = "ee"
    version = 1
    action_size = 4

    def __init__(self, model: RobotModel) -> None:
        super().__init__(model)
        self.space = spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)

    @override
    def validate(self, action: object) -> list[float]:
        return validate_box_action(action, self.action_size)

    @override
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        x, y, z, opening = numbers
        return move_target(target, tool, (x * MAX_STEP, y * MAX_STEP, z * MAX_STEP), self.width(opening), robot)

    @override
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        return np.array([*_steps(command, features), self.opening(command.width)], dtype=np.float32)


class EndEffectorYawControl(EndEffectorControl):
    """``ee_yaw``: as ``ee``, and yaw of the hand.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | yaw of the hand, seen from above | clockwise by 0.1 rad | counterclockwise |
    | 4 | gripper opening | closed | widest |
    """

    name = "ee_yaw"
    version = 1
    action_size = 5

    @property
    @override
    def pose_features(self) -> tuple[Feature, ...]:
        return (
            *super().pose_features,
            Feature("tool/yaw", 1, "rad", "yaw of the hand", 0.0, 1.0, 4.0),
            Feature("tool/yaw_lag", 1, "rad", "commanded yaw minus yaw", 0.0, 0.1, 1.0),
        )

    @override
    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        yaw = robot.yaw(tool)
        return (*super().pose_values(robot, tool, target), yaw, target.yaw - yaw)

    @override
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        x, y, z, turn, opening = numbers
        now = robot.yaw(tool)
        yaw = min(max(target.yaw + turn * MAX_YAW_STEP, now - MAX_YAW_LEAD), now + MAX_YAW_LEAD)
        yaw = min(max(yaw, -MAX_YAW), MAX_YAW)
        step = (x * MAX_STEP, y * MAX_STEP, z * MAX_STEP)
        return move_target(target, tool, step, self.width(opening), robot, yaw)

    @override
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        commanded = (features["tool/yaw"] + features["tool/yaw_lag"]).item()
        turn = min(max(SETTLING_GAIN * (command.yaw - commanded) / MAX_YAW_STEP, -1.0), 1.0)
        return np.array([*_steps(command, features), turn, self.opening(command.width)], dtype=np.float32)


def _steps(command: ToolCommand, features: Features) -> npt.NDArray[np.float64]:
    """Return the displacement toward a desired position, as a fraction of the largest one."""
    commanded = features["tool/position"] + features["tool/lag"]
    step: npt.NDArray[np.float64] = (np.asarray(command.position) - commanded) / MAX_STEP
    # One factor for all axes keeps the path straight.
    length = float(np.abs(step).max())
    step *= min(SETTLING_GAIN, 1.0 / max(length, 1e-9))
    return step

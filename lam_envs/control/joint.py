"""Control by displacements of the joints: ``joint``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from lam_envs.bullet.geometry import rotation_6d
from lam_envs.control.actions import validate_box_action
from lam_envs.control.control import SETTLING, Control, Target, ToolCommand
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import ToolState

# Radians a step. 1 rad/s moves the tool of a stretched arm at 0.7 m/s.
MAX_JOINT_STEP = 0.05
# How far the command may run ahead of a joint: at full speed it lags by 0.03. What is pressed and slips off is let go
# with up to 2.9 rad/s.
MAX_JOINT_LEAD = 0.08
# How far ahead of the tool an action by joints aims, meters: one step and what the tool lags behind at full speed.
JOINT_LOOK_AHEAD = 0.03
JOINT_IK_ITERATIONS = 10


class JointControl(Control):
    """``joint``: displacement of the commanded joint angles, and the gripper's opening.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | one for each joint | displacement of its angle | -0.05 rad | +0.05 rad |
    | the last | gripper opening | closed | widest |
    """

    name = "joint"
    version = 1

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
    def validate(self, action: Any) -> list[float]:
        return validate_box_action(action, self.action_size)

    @override
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
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
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        here = features["tool/position"]
        way = np.asarray(command.position) - here
        x, y, z = (here + way * min(1.0, JOINT_LOOK_AHEAD / max(float(np.linalg.norm(way)), 1e-9))).tolist()
        commanded = (features["joint/position"] + features["joint/lag"]).tolist()
        wanted = robot.inverse_kinematics((x, y, z), command.yaw, commanded, JOINT_IK_ITERATIONS)
        turns = (np.array(wanted) - commanded) / MAX_JOINT_STEP
        # One factor for all joints keeps the way straight.
        turns *= min(SETTLING, 1.0 / max(float(np.abs(turns).max()), 1e-9))
        return np.array([*turns, self.opening(command.width)], dtype=np.float32)

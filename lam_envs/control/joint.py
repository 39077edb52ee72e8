"""Displacements of the joints: ``joint``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from lam_envs.bullet.geometry import rotation_6d
from lam_envs.control.actions import validate_box_action
from lam_envs.control.control import SETTLING_GAIN, Control, Target, ToolCommand
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import ToolState

# Radians per step. With 1 rad/s the tool of a stretched arm moves at 0.7 m/s.
MAX_JOINT_STEP = 0.05
# Largest difference of a commanded angle from the joint's angle, radians: at full speed it is 0.03. An arm that slips
# off what it presses then turns with up to 2.9 rad/s.
MAX_JOINT_LEAD = 0.08
# Distance of the intermediate target from the tool, meters: one step plus the lag at full speed.
JOINT_LOOK_AHEAD = 0.03
JOINT_IK_ITERATIONS = 10


class JointControl(Control):
    """``joint``: displacement of the commanded joint angles, and opening of the gripper.

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
            Feature("joint/velocity", count, "rad/s", "their velocities", 0.0, 1.0, 10.0),
            Feature("joint/lag", count, "rad", "commanded angles minus angles", 0.0, 0.05, 1.0),
        )

    @override
    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        count = len(target.joints)
        positions, velocities = robot.joint_states()
        lags = [
            command - angle for command, angle in zip(target.joints, positions, strict=False)
        ]  # positions include the fingers
        return (*rotation_6d(robot.tool_orientation(tool)), *positions[:count], *velocities[:count], *lags)

    @override
    def validate(self, action: object) -> list[float]:
        return validate_box_action(action, self.action_size)

    @override
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        *turns, opening = numbers
        positions, _ = robot.joint_states()
        joints = []
        for turn, command, now, (low, high) in zip(
            turns, target.joints, positions, robot.commanded_limits, strict=False
        ):
            command += turn * MAX_JOINT_STEP
            command = min(max(command, now - MAX_JOINT_LEAD), now + MAX_JOINT_LEAD)
            joints.append(min(max(command, low), high))
        return Target(joints, target.position, target.yaw, self.width(opening))

    @override
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> npt.NDArray[np.float32]:
        position = features["tool/position"]
        offset = np.asarray(command.position) - position
        # Not numpy.linalg.norm: its sum of products, and with it the episode, depends on the processor.
        distance = math.sqrt(float((offset * offset).sum()))
        x, y, z = (position + offset * min(1.0, JOINT_LOOK_AHEAD / max(distance, 1e-9))).tolist()
        commanded = (features["joint/position"] + features["joint/lag"]).tolist()
        solution = robot.inverse_kinematics((x, y, z), command.yaw, commanded, JOINT_IK_ITERATIONS)
        turns = (np.array(solution) - commanded) / MAX_JOINT_STEP
        # One factor for all joints keeps the path straight.
        turns *= min(SETTLING_GAIN, 1.0 / max(float(np.abs(turns).max()), 1e-9))
        return np.array([*turns, self.opening(command.width)], dtype=np.float32)

"""Check of the part of a physical state that belongs to the robot: joints, fingers and targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lam_envs.robots import Robot

LIMIT_TOLERANCE = 0.01
"""Largest distance beyond its limits of a joint in a state that is set, radians."""
FINGER_TOLERANCE = 0.02
"""Largest distance beyond its limits of a finger in a state that is set, meters."""
WIDTH_TOLERANCE = 1e-3
"""Largest distance beyond its limits of the commanded opening in a state that is set, meters."""
MAX_JOINT_SPEED = 200.0
"""Largest speed of a joint in a state that is set, radians or meters per second: twice the largest one of Bullet."""
MAX_TARGET, MAX_TARGET_YAW = 5.0, 7.0
"""Largest coordinate (meters) and yaw (radians) of a target in a state that is set. Real ones are far smaller."""


def check_robot_state(robot: Robot, state: npt.NDArray[np.float64]) -> None:
    """Check joints, fingers, their velocities, and the targets of a state.

    Args:
        robot: The robot.
        state: Physical state of the scene, which begins with the joints. Shape (state size,).

    Raises:
        ValueError: A number is out of range.
    """
    model, joints, arm = robot.model, robot.joint_count, len(robot.limits)
    for kind, angles in (("angle", state[:arm]), ("target", state[2 * joints : 2 * joints + arm])):
        for name, angle, (low, high) in zip(model.arm_joints, angles, robot.limits, strict=True):
            if not low - LIMIT_TOLERANCE <= angle <= high + LIMIT_TOLERANCE:
                raise ValueError(f"the {kind} of {name} is {angle:g}; expected {low:g} to {high:g} radians")
    for name, position in zip(model.finger_joints, state[arm:joints], strict=True):
        if not -FINGER_TOLERANCE <= position <= model.max_width / 2 + FINGER_TOLERANCE:
            raise ValueError(f"the position of {name} is {position:g}; expected 0 to {model.max_width / 2:g} m")
    for name, speed in zip((*model.arm_joints, *model.finger_joints), state[joints : 2 * joints], strict=True):
        if abs(speed) > MAX_JOINT_SPEED:
            raise ValueError(f"the velocity of {name} is {speed:g}; expected at most {MAX_JOINT_SPEED:g}")
    *position, yaw, width = state[2 * joints + arm : 2 * joints + arm + 5].tolist()
    if max(map(abs, position)) > MAX_TARGET:
        raise ValueError(f"the target of the tool is {position}; expected at most {MAX_TARGET:g} m on each axis")
    if abs(yaw) > MAX_TARGET_YAW:
        raise ValueError(f"the target of the yaw is {yaw:g}; expected at most {MAX_TARGET_YAW:g} radians")
    if not -WIDTH_TOLERANCE <= width <= model.max_width + WIDTH_TOLERANCE:
        raise ValueError(f"the target of the gripper is {width:g}; expected 0 to {model.max_width:g} m")

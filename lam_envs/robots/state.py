"""Measured states of a robot: tool, gripper, touch."""

from __future__ import annotations

from typing import NamedTuple

from lam_envs.bullet.geometry import Quaternion, Vector3


class ToolState(NamedTuple):
    """Pose and velocity of the tool, the point between the fingertips, in world coordinates."""

    position: Vector3
    """Meters."""
    orientation: Quaternion
    """Orientation of the last link. The hand is mounted on it, rotated by ``hand_yaw``."""
    velocity: Vector3
    """Meters per second."""
    angular_velocity: Vector3
    """Radians per second."""


class GripperState(NamedTuple):
    """Opening of the gripper."""

    width: float
    """Distance between the fingers, meters."""
    velocity: float
    """Meters per second; negative while closing."""


class Touch(NamedTuple):
    """Contacts of the robot with a body."""

    left: bool
    """True if the left finger presses the body with the inside of its pad."""
    right: bool
    """True if the right finger presses the body with the inside of its pad."""
    anywhere: bool
    """True if any part of the robot touches the body, from any side."""


UNTOUCHED = Touch(left=False, right=False, anywhere=False)

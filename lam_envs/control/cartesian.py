"""Commanded tool position: its workspace, and its largest distance from the tool."""

from __future__ import annotations

from collections.abc import Sequence

from lam_envs.bullet.geometry import Vector3
from lam_envs.control.control import Target
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState

# Bounds of the commanded tool position, meters: in front of the arm, above the table. At the lowest height the
# fingertips are 3 mm above the table at rest, and above it in motion too, except in the Panda's fastest diagonals
# (``docs/physics.md``). With a ``tool_length_offset`` the lowest height is higher by it, so that this holds, too.
WORKSPACE_LOW: Vector3 = (0.28, -0.35, 0.012)
WORKSPACE_HIGH: Vector3 = (0.72, 0.35, 0.45)
# Largest distance of the commanded position from the tool on each axis, meters: it prevents windup when the robot
# presses against something.
MAX_LEAD = 0.05
# Largest change of a commanded joint angle in a step, radians: 2.4 rad/s, about the limit of real arms. Without it
# the hand fell at 4 m/s where inverse kinematics jump: near a straight arm and at joint limits.
MAX_TURN = 0.12


def move_target(
    target: Target, tool: ToolState, step: Vector3, width: float, robot: Robot, yaw: float = 0.0
) -> Target:
    """Move the commanded tool position by a step, within the workspace and near the tool.

    Args:
        target: Present target.
        tool: State of the tool.
        step: Displacement, meters.
        width: New commanded opening of the gripper, meters.
        robot: Robot, for inverse kinematics.
        yaw: New commanded yaw of the hand, radians.

    Returns:
        The new target.
    """
    (x, y, z), (tool_x, tool_y, tool_z) = target.position, tool.position
    position = (
        _bounded(x + step[0], tool_x, WORKSPACE_LOW[0], WORKSPACE_HIGH[0]),
        _bounded(y + step[1], tool_y, WORKSPACE_LOW[1], WORKSPACE_HIGH[1]),
        _bounded(z + step[2], tool_z, WORKSPACE_LOW[2] + robot.model.tool_length_offset, WORKSPACE_HIGH[2]),
    )
    joints = robot.inverse_kinematics(position, yaw, target.joints)
    limited = _scale_turns if robot.model.interpolate_targets else _clip_turns
    return Target(limited(joints, target.joints), position, yaw, width)


def _scale_turns(joints: Sequence[float], before: Sequence[float]) -> list[float]:
    """Scale the turns of all joints by one factor, so that none is too large and the hand keeps its orientation."""
    longest = max(abs(now - old) for now, old in zip(joints, before, strict=True))
    factor = MAX_TURN / max(longest, MAX_TURN)
    return [old + factor * (now - old) for now, old in zip(joints, before, strict=True)]


def _clip_turns(joints: Sequence[float], before: Sequence[float]) -> list[float]:
    """Clip the turn of each joint; the hand then leaves its path."""
    return [
        old - MAX_TURN if now < old - MAX_TURN else old + MAX_TURN if now > old + MAX_TURN else now
        for now, old in zip(joints, before, strict=True)
    ]


def _bounded(command: float, tool: float, low: float, high: float) -> float:
    """Clip a coordinate of the commanded position to the tool's neighborhood and to the workspace."""
    if command < tool - MAX_LEAD:
        command = tool - MAX_LEAD
    elif command > tool + MAX_LEAD:
        command = tool + MAX_LEAD
    # The workspace comes last: it also holds if the tool is outside of it.
    return low if command < low else high if command > high else command

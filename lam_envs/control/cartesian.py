"""The commanded tool position: where it may be, and how far ahead of the tool."""

from __future__ import annotations

from collections.abc import Sequence

from lam_envs.bullet.geometry import Vector3
from lam_envs.control.control import Target
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState

# Where the commanded tool position may be, meters: in front of the arm, above the table. The lowest point
# keeps the fingertips 3 mm off the table at rest, and off it in motion too, but for the Panda's fastest diagonals
# (``docs/physics.md``).
WORKSPACE_LOW: Vector3 = (0.28, -0.35, 0.012)
WORKSPACE_HIGH: Vector3 = (0.72, 0.35, 0.45)
# How far the command may run ahead of the tool on each axis, meters: what presses against something does not
# wind up, and turning back answers at once.
MAX_LEAD = 0.05
# How far what a joint is told may turn in a step, radians; 2.4 rad/s, about what the real arms' joints can do. Where
# the arm is nearly straight or at a joint's end, inverse kinematics jumps, and the hand fell at 4 m/s.
MAX_TURN = 0.12


def move_target(
    target: Target, tool: ToolState, step: Vector3, width: float, robot: Robot, yaw: float = 0.0
) -> Target:
    """Move the commanded tool position by a step, within the workspace and the allowed lead.

    Args:
        target: What the robot was told before.
        tool: Where the tool is.
        step: By how much, meters.
        width: How wide the gripper should open now, meters.
        robot: Whose kinematics count.
        yaw: How the hand should be turned now, radians.
    """
    (x, y, z), (tool_x, tool_y, tool_z) = target.position, tool.position
    position = (
        _bounded(x + step[0], tool_x, WORKSPACE_LOW[0], WORKSPACE_HIGH[0]),
        _bounded(y + step[1], tool_y, WORKSPACE_LOW[1], WORKSPACE_HIGH[1]),
        _bounded(z + step[2], tool_z, WORKSPACE_LOW[2], WORKSPACE_HIGH[2]),
    )
    joints = robot.inverse_kinematics(position, yaw, target.joints)
    limited = _together if robot.model.interpolate_targets else _each
    return Target(limited(joints, target.joints), position, yaw, width)


def _together(wanted: Sequence[float], before: Sequence[float]) -> list[float]:
    """Shorten the turns of all joints by one factor, so that none turns too far and the hand stays upright."""
    longest = max(abs(now - old) for now, old in zip(wanted, before, strict=True))
    share = MAX_TURN / max(longest, MAX_TURN)
    return [old + share * (now - old) for now, old in zip(wanted, before, strict=True)]


def _each(wanted: Sequence[float], before: Sequence[float]) -> list[float]:
    """Shorten the turn of each joint that turns too far; the hand then leaves its path."""
    return [
        old - MAX_TURN if now < old - MAX_TURN else old + MAX_TURN if now > old + MAX_TURN else now
        for now, old in zip(wanted, before, strict=True)
    ]


def _bounded(wanted: float, tool: float, low: float, high: float) -> float:
    """Keep a coordinate of the command near the tool's, and in the workspace."""
    if wanted < tool - MAX_LEAD:
        wanted = tool - MAX_LEAD
    elif wanted > tool + MAX_LEAD:
        wanted = tool + MAX_LEAD
    # Should the tool ever be outside the workspace, the workspace wins.
    return low if wanted < low else high if wanted > high else wanted

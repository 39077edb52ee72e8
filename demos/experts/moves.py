"""Motions that several experts share, as functions of the named features: reach for an object, carry it."""

from __future__ import annotations

import math

from lam_envs import ToolCommand
from lam_envs.observation import Features

OPEN = 0.08
"""Opening for the approach, meters: twice the edge of the cube leaves room for a rotated one."""
CLOSED = 0.0
"""Commanded opening to grasp, meters: the fingers press an object with full force."""
CLEARANCE = 0.08
"""Height above the grip at which the fingertips pass over the object, meters."""
FUNNEL_SLOPE = 4.0
"""Height above the grip per horizontal distance from it: the tool descends within a cone, a smooth path that is easy
to imitate."""
ALIGNED = 0.01
"""Horizontal error that the open fingers tolerate, meters."""
AT_GRIP = 0.008
"""Distance from the grip at which the fingers close, meters."""
OPEN_ENOUGH = 0.06
"""Opening that passes over the object without touching it, meters."""
NEAR = 0.04
"""Horizontal distance beyond which a low tool would push the object, meters."""
BETWEEN_FINGERS = 0.03
"""Distance from the grip at which an object can still be between the fingers, meters."""
HOLDING_WIDTH = 0.02
"""Least opening of closing fingers that have an object between them, meters."""
CLOSING_SPEED = 0.03
"""Speed of the closing fingers below which they rest on the object, meters per second."""
QUARTER = math.pi / 2

Point = tuple[float, float, float]


def is_held(features: Features) -> bool:
    """Return True if both fingers press the object and are at rest."""
    return bool(features["gripper/touch"].min() > 0.5) and not is_closing(features)


def is_closing(features: Features) -> bool:
    """Return True if the fingers are closing."""
    return features["gripper/velocity"].item() < -CLOSING_SPEED


def reach_for(features: Features, *, above: float = 0.0) -> ToolCommand:
    """Move over the object, descend in a funnel, and close the gripper.

    Args:
        features: Features of the scene.
        above: Height of the grip above the center of the object, meters.
    """
    x, y, z = features["object/position"].tolist()
    z += above
    tool_x, tool_y, tool_z = features["tool/position"].tolist()
    yaw = nearest_face(features["object/rotation"].tolist())

    # At the grip: close. The fingers center the object.
    distance = math.dist((x, y, z), (tool_x, tool_y, tool_z))
    if distance <= AT_GRIP:
        return ToolCommand((x, y, z), CLOSED, yaw)

    # The fingers are closing on an object: wait.
    if distance <= BETWEEN_FINGERS and is_closing(features) and features["gripper/width"].item() > HOLDING_WIDTH:
        return ToolCommand((tool_x, tool_y, tool_z), CLOSED, yaw)

    # Low and beside the object: rise first, or the hand would push it away.
    horizontal = math.hypot(x - tool_x, y - tool_y)
    if horizontal > NEAR and tool_z < z + CLEARANCE / 2:
        return ToolCommand((tool_x, tool_y, z + CLEARANCE), OPEN, yaw)

    # Otherwise descend in the funnel; stay above the object until the fingers are open.
    height = funnel(horizontal, ALIGNED, CLEARANCE)
    if features["gripper/width"].item() < OPEN_ENOUGH and tool_z > z + CLEARANCE / 2:
        height = CLEARANCE
    return ToolCommand((x, y, z + height), OPEN, yaw)


def move_held_object(features: Features, displacement: Point) -> ToolCommand:
    """Move the held object by a displacement, wherever it is in the hand."""
    x, y, z = features["tool/position"].tolist()
    return ToolCommand((x + displacement[0], y + displacement[1], z + displacement[2]), CLOSED)


def release_and_retreat(features: Features) -> ToolCommand:
    """Open the gripper, then rise above the object."""
    x, y, z = features["tool/position"].tolist()
    if features["gripper/touch"].max() < 0.5:
        z = features["object/position"][2].item() + CLEARANCE
    return ToolCommand((x, y, z), OPEN)


def open_and_rise(features: Features, above: float) -> ToolCommand:
    """Open the gripper and move to a height above the object's center, meters, to grasp it again."""
    x, y, _ = features["tool/position"].tolist()
    return ToolCommand((x, y, features["object/position"][2].item() + above), OPEN)


def funnel(distance: float, tolerance: float, clearance: float) -> float:
    """Return the height of the funnel at a horizontal distance from its axis, meters."""
    return min(max((distance - tolerance) * FUNNEL_SLOPE, 0.0), clearance)


def nearest_face(rotation: list[float]) -> float:
    """Return the smallest yaw of the hand that aligns the fingers with two faces of a box, radians in [-pi/4, pi/4].

    Args:
        rotation: First two columns of the rotation matrix of the box.
    """
    yaw = math.atan2(rotation[1], rotation[0])
    return yaw - QUARTER * round(yaw / QUARTER)

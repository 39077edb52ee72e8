"""Moves that several experts share: reaching for an object, and carrying it. Functions of the named features."""

from __future__ import annotations

import math

from lam_envs import ToolCommand
from lam_envs.observation import Features

OPEN = 0.08
"""Opening for the approach, metres: twice the cube's edge leaves room for its corners when it is turned."""
CLOSED = 0.0
"""Told to close fully, the fingers press what is between them with all their force."""
CLEARANCE = 0.08
"""Height above the grip at which the tool may travel, metres: the fingertips then pass well above the object."""
FUNNEL_SLOPE = 4.0
"""Metres of height for each metre sideways: the way down narrows onto the object, with no corner to imitate."""
ALIGNED = 0.01
"""Sideways error that the open fingers forgive, metres."""
AT_GRIP = 0.008
"""Distance from the grip at which the fingers close, metres."""
OPEN_ENOUGH = 0.06
"""Opening that passes over the object without touching it, metres."""
BESIDE = 0.04
"""Further to the side than this, a low tool would push the object, metres."""
IN_HAND = 0.03
"""Distance from the grip at which an object can still be between the fingers, metres."""
NOT_EMPTY = 0.02
"""Opening at which closed fingers have something between them, metres."""
CLOSING = 0.03
"""Speed of the closing fingers below which they have come to rest on what they hold, metres a second."""
QUARTER = math.pi / 2

Point = tuple[float, float, float]


def is_held(features: Features) -> bool:
    """Whether both fingers press the object, and have come to rest on it."""
    return bool(features["gripper/touch"].min() > 0.5) and not is_closing(features)


def is_closing(features: Features) -> bool:
    """Whether the fingers still move towards each other."""
    return features["gripper/velocity"].item() < -CLOSING


def reach_for(features: Features, *, above: float = 0.0) -> ToolCommand:
    """Over the object, down a funnel onto it, and close.

    Args:
        features: The scene.
        above: Where to grip it: height above its centre, metres.
    """
    x, y, z = features["object/position"].tolist()
    z += above
    tool_x, tool_y, tool_z = features["tool/position"].tolist()
    yaw = nearest_face(features["object/rotation"].tolist())

    # At the grip: close. The fingers centre the object between them.
    away = math.dist((x, y, z), (tool_x, tool_y, tool_z))
    if away <= AT_GRIP:
        return ToolCommand((x, y, z), CLOSED, yaw)

    # The fingers close on something: wait.
    if away <= IN_HAND and is_closing(features) and features["gripper/width"].item() > NOT_EMPTY:
        return ToolCommand((tool_x, tool_y, tool_z), CLOSED, yaw)

    # Low and beside the object: first up, or the hand would push it away.
    aside = math.hypot(x - tool_x, y - tool_y)
    if aside > BESIDE and tool_z < z + CLEARANCE / 2:
        return ToolCommand((tool_x, tool_y, z + CLEARANCE), OPEN, yaw)

    # Otherwise down the funnel; with fingers that are not open yet, no lower than above the object.
    height = funnel(aside, ALIGNED, CLEARANCE)
    if features["gripper/width"].item() < OPEN_ENOUGH and tool_z > z + CLEARANCE / 2:
        height = CLEARANCE
    return ToolCommand((x, y, z + height), OPEN, yaw)


def carry(features: Features, way: Point) -> ToolCommand:
    """Move the held object by a vector, whatever its place in the hand."""
    x, y, z = features["tool/position"].tolist()
    return ToolCommand((x + way[0], y + way[1], z + way[2]), CLOSED)


def leave(features: Features) -> ToolCommand:
    """Open, then rises straight up from the object."""
    x, y, z = features["tool/position"].tolist()
    if features["gripper/touch"].max() < 0.5:
        z = features["object/position"][2].item() + CLEARANCE
    return ToolCommand((x, y, z), OPEN)


def open_and_rise(features: Features, above: float) -> ToolCommand:
    """Open at once and goes to a height above the object's centre, metres, to grip it anew."""
    x, y, _ = features["tool/position"].tolist()
    return ToolCommand((x, y, features["object/position"][2].item() + above), OPEN)


def funnel(aside: float, forgiven: float, clearance: float) -> float:
    """Height above a place for a sideways distance from it, metres."""
    return min(max((aside - forgiven) * FUNNEL_SLOPE, 0.0), clearance)


def nearest_face(rotation: list[float]) -> float:
    """The smallest turn of the hand that lays the pads on two faces of a box, radians in [-pi/4, pi/4].

    Args:
        rotation: The first two columns of its rotation matrix.
    """
    yaw = math.atan2(rotation[1], rotation[0])
    return yaw - QUARTER * round(yaw / QUARTER)

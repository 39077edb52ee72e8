"""Expert for Push."""

from __future__ import annotations

import math

from demos.experts.moves import CLOSED, funnel
from lam_envs import ToolCommand
from lam_envs.control import WORKSPACE_HIGH, WORKSPACE_LOW
from lam_envs.observation import Features

RADIUS = 0.045
"""From the slab's centre to the middle of a side, metres."""
BEHIND = 0.095
"""Distance from the slab's centre at which the closed fingers come down behind it, metres."""
CONTACT = 0.08
"""Distance at which they push it, metres."""
STROKE = 0.03
"""Farthest that the tool is sent ahead, metres: full speed."""
SOFTNESS, LEAST = 0.5, 0.007
"""How far it is sent for each metre that the slab has to go, and at least, metres."""
LOW = 0.026
"""Height of the tool while it pushes, metres: above the middle, or the pads lift the side that they push."""
DOWN = 0.036
"""Below this height it may push; above it, away from where it comes down, it goes on rising, metres."""
HIGH = 0.085
"""Height at which it travels, metres: the fingertips pass over the slab."""
STEERING = 1.5
"""How far past the middle the tool goes, as a share of its sideways error."""
SWERVE = 0.012
"""Farthest that it is sent to the side, metres."""
ARRIVED = 0.01
"""Distance from the goal at which the slab is left alone, metres."""
GOOD_ENOUGH = 0.016
"""Distance at which it is not worth coming down again, metres."""
FINGER = 0.013
"""From the tool to the outside of the closed fingers, metres."""
ASTRAY = 0.015
"""Sideways error at which the fingers let go of the slab before they go to its middle, metres."""
APART = 0.012
"""How far they let go of it, metres."""
TILTED = 0.005
"""Height of the slab's centre above its rest at which it does not lie flat, metres."""
WIDE = 0.02
"""Sideways error behind the slab that pushing corrects by itself, metres."""


class PushExpert:
    """Comes down behind the slab, seen from the goal, and pushes it there."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, _ = features["object/position"].tolist()
        tool_x, tool_y, tool_z = features["tool/position"].tolist()
        way_x, way_y, drop = features["goal/relative"].tolist()
        way = math.hypot(way_x, way_y)
        ahead_x, ahead_y = way_x / max(way, 1e-6), way_y / max(way, 1e-6)
        if way <= ARRIVED or (way <= GOOD_ENOUGH and tool_z > HIGH / 2):
            # Back and up, so that the fingers do not drag it along.
            back = STROKE if tool_z < HIGH / 2 else 0.0
            return ToolCommand((tool_x - back * ahead_x, tool_y - back * ahead_y, HIGH), CLOSED)
        # Where the tool is, seen from the slab: along the way, and to its side.
        off_x, off_y = tool_x - x, tool_y - y
        along = off_x * ahead_x + off_y * ahead_y
        aside = off_x * ahead_y - off_y * ahead_x
        if drop < -TILTED and tool_z < HIGH / 2:
            # It stands on the fingers: draw them out.
            return ToolCommand((tool_x - STROKE * ahead_x, tool_y - STROKE * ahead_y, tool_z), CLOSED)
        cosine, sine = features["object/rotation"][:2].tolist()
        # Between the fingers and the side that they push, whose middle is farthest where it is turned by 45 degrees.
        facing = max(abs(ahead_x * cosine + ahead_y * sine), abs(ahead_y * cosine - ahead_x * sine), math.sqrt(0.5))
        gap = -along - RADIUS / facing - FINGER
        is_behind = along < -RADIUS / 2 and abs(aside) <= WIDE
        if is_behind and tool_z < DOWN:
            # The nearer the goal, the slower: the slab slides on when the tool stops. Pushed off its middle it
            # veers away: the tool goes past the middle, and slower.
            stroke = min(STROKE, max(-along - CONTACT, 0.0) + SOFTNESS * way + LEAST) * (1.0 - abs(aside) / WIDE)
            back = -math.copysign(min((1.0 + STEERING) * abs(aside), SWERVE), aside)
            if abs(aside) > ASTRAY:
                # Fingers that move sideways against it drag it along: first off it, then to its middle.
                stroke = gap - APART
                back *= min(max(gap / APART, 0.0), 1.0)
            return ToolCommand(
                (tool_x + stroke * ahead_x + back * ahead_y, tool_y + stroke * ahead_y - back * ahead_x, LOW), CLOSED
            )
        start_x = min(max(x - BEHIND * ahead_x, WORKSPACE_LOW[0]), WORKSPACE_HIGH[0])
        start_y = min(max(y - BEHIND * ahead_y, WORKSPACE_LOW[1]), WORKSPACE_HIGH[1])
        off = math.hypot(start_x - tool_x, start_y - tool_y)
        if off > WIDE and tool_z < HIGH - WIDE:
            # Straight up, or the fingers would push the slab aside.
            return ToolCommand((tool_x, tool_y, HIGH), CLOSED)
        return ToolCommand((start_x, start_y, LOW + funnel(off, WIDE / 2, HIGH - LOW)), CLOSED)

"""Expert for Push."""

from __future__ import annotations

import math

from demos.experts.moves import CLOSED
from lam_envs import ToolCommand
from lam_envs.observation import Features

RADIUS = 0.05
"""Of the puck, metres."""
BEHIND = RADIUS + 0.03
"""Distance from the puck's centre at which the closed fingers come down behind it, metres."""
CONTACT = RADIUS + 0.01
"""Distance at which they push it, metres."""
STROKE = 0.03
"""How far ahead of the contact the tool is sent, metres: sets the speed."""
LOW = 0.022
"""Height of the tool while it pushes, metres."""
HIGH = 0.085
"""Height at which it travels, metres: the fingertips pass over the puck."""
STEERING = 1.5
"""How far past the middle the tool goes, as a share of its sideways error."""
ARRIVED = 0.008
"""Distance from the goal at which the puck is left alone, metres."""
WIDE = 0.02
"""Sideways error behind the puck that pushing corrects by itself, metres."""


class PushExpert:
    """Comes down behind the puck, seen from the goal, and pushes it there."""

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, _ = features["object/position"].tolist()
        tool_x, tool_y, tool_z = features["tool/position"].tolist()
        way_x, way_y, _ = features["goal/relative"].tolist()
        way = math.hypot(way_x, way_y)
        if way <= ARRIVED:
            return ToolCommand((tool_x, tool_y, HIGH), CLOSED)
        ahead_x, ahead_y = way_x / way, way_y / way
        # Where the tool is, seen from the puck: along the way, and to its side.
        off_x, off_y = tool_x - x, tool_y - y
        along = off_x * ahead_x + off_y * ahead_y
        aside = off_x * ahead_y - off_y * ahead_x
        is_behind = along < -RADIUS / 2 and abs(aside) <= WIDE
        if is_behind and tool_z < HIGH / 2:
            # A round thing pushed off its middle veers away: the tool goes past the middle, and slower.
            forward = min(way, STROKE) * (1.0 - abs(aside) / WIDE) - CONTACT
            back = -STEERING * aside
            return ToolCommand(
                (x + forward * ahead_x + back * ahead_y, y + forward * ahead_y - back * ahead_x, LOW), CLOSED
            )
        start_x, start_y = x - BEHIND * ahead_x, y - BEHIND * ahead_y
        if math.hypot(start_x - tool_x, start_y - tool_y) <= WIDE / 2:
            return ToolCommand((start_x, start_y, LOW), CLOSED)
        if tool_z < HIGH - WIDE:
            # Straight up, or the fingers would push the puck aside.
            return ToolCommand((tool_x, tool_y, HIGH), CLOSED)
        return ToolCommand((start_x, start_y, HIGH), CLOSED)

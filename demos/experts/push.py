"""Expert for Push."""

from __future__ import annotations

import math

from demos.experts.moves import CLOSED, funnel
from lam_envs import ToolCommand
from lam_envs.control import WORKSPACE_HIGH, WORKSPACE_LOW
from lam_envs.observation import Features

RADIUS = 0.045
"""Distance from the slab's center to the middle of a side, meters."""
BEHIND = 0.05
"""Distance from the middle of a side at which the closed fingers descend behind it, meters."""
CONTACT = 0.035
"""Distance from the middle of a side at which the fingers push it, meters."""
MAX_STROKE = 0.03
"""Largest commanded displacement of the tool, meters: full speed."""
STROKE_GAIN, MIN_STROKE = 0.5, 0.007
"""Commanded displacement per distance to the goal, and its minimum, meters."""
PUSH_HEIGHT = 0.026
"""Height of the tool while it pushes, meters: lower, the fingers would lift the side that they push."""
MAX_PUSH_HEIGHT = 0.036
"""Height below which the tool may push, meters; above it, and away from the start of the push, it rises."""
TRAVEL_HEIGHT = 0.085
"""Height at which the fingertips pass over the slab, meters."""
STEERING_GAIN = 1.5
"""Overshoot of the correction of the lateral error, as a fraction of it."""
MAX_CORRECTION = 0.012
"""Largest lateral correction, meters."""
ARRIVED = 0.01
"""Distance from the goal at which pushing stops, meters."""
GOOD_ENOUGH = 0.016
"""Distance from the goal at which the tool does not descend again, meters."""
FINGER = 0.013
"""Distance from the tool to the outside of the closed fingers, meters."""
MAX_LATERAL_ERROR = 0.015
"""Lateral error at which the fingers leave the slab before they move to its middle, meters."""
CORRECTION_GAP = 0.012
"""Distance from the slab during such a correction, meters."""
TILT_HEIGHT = 0.005
"""Height of the slab's center above its rest at which it is tilted, meters."""
LATERAL_TOLERANCE = 0.02
"""Lateral error behind the slab that pushing can correct, meters."""


class PushExpert:
    """Descend behind the slab, as seen from the goal, and push it to the goal.

    Args:
        radius: Distance from the slab's center to the middle of a side, meters.
        push_height: Height of the tool while it pushes, meters.
        travel_height: Height of the tool at which it passes over objects, meters.
    """

    version = 1

    def __init__(
        self, radius: float = RADIUS, push_height: float = PUSH_HEIGHT, travel_height: float = TRAVEL_HEIGHT
    ) -> None:
        self.radius = radius
        self.push_height = push_height
        self.travel_height = travel_height

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, _ = features["object/position"].tolist()
        tool_x, tool_y, tool_z = features["tool/position"].tolist()
        goal_x, goal_y, drop = features["goal/relative"].tolist()
        distance = math.hypot(goal_x, goal_y)
        ahead_x, ahead_y = goal_x / max(distance, 1e-6), goal_y / max(distance, 1e-6)
        if distance <= ARRIVED or (distance <= GOOD_ENOUGH and tool_z > self.travel_height / 2):
            # Move back and up, so that the fingers do not drag the slab along.
            retreat = MAX_STROKE if tool_z < self.travel_height / 2 else 0.0
            return ToolCommand((tool_x - retreat * ahead_x, tool_y - retreat * ahead_y, self.travel_height), CLOSED)
        # Position of the tool relative to the slab: along the push, and lateral.
        offset_x, offset_y = tool_x - x, tool_y - y
        along = offset_x * ahead_x + offset_y * ahead_y
        lateral = offset_x * ahead_y - offset_y * ahead_x
        if drop < -TILT_HEIGHT and tool_z < self.travel_height / 2:
            # The slab rests on the fingers: pull them out.
            return ToolCommand((tool_x - MAX_STROKE * ahead_x, tool_y - MAX_STROKE * ahead_y, tool_z), CLOSED)
        cosine, sine = features["object/rotation"][:2].tolist()
        # Gap between the fingers and the pushed side; a corner is farther away than the middle of a side.
        facing = max(abs(ahead_x * cosine + ahead_y * sine), abs(ahead_y * cosine - ahead_x * sine), math.sqrt(0.5))
        gap = -along - self.radius / facing - FINGER
        is_behind = along < -self.radius / 2 and abs(lateral) <= LATERAL_TOLERANCE
        if is_behind and tool_z < MAX_PUSH_HEIGHT:
            # Slow down near the goal, because the slab slides on when the tool stops. Pushed off its middle, the slab
            # turns: overshoot the correction, and push slower.
            stroke = min(
                MAX_STROKE, max(-along - (self.radius + CONTACT), 0.0) + STROKE_GAIN * distance + MIN_STROKE
            ) * (1.0 - abs(lateral) / LATERAL_TOLERANCE)
            lateral_correction = -math.copysign(min((1.0 + STEERING_GAIN) * abs(lateral), MAX_CORRECTION), lateral)
            if abs(lateral) > MAX_LATERAL_ERROR:
                # Fingers in lateral contact would drag the slab: leave it first, then move to its middle.
                stroke = gap - CORRECTION_GAP
                lateral_correction *= min(max(gap / CORRECTION_GAP, 0.0), 1.0)
            return ToolCommand(
                (
                    tool_x + stroke * ahead_x + lateral_correction * ahead_y,
                    tool_y + stroke * ahead_y - lateral_correction * ahead_x,
                    self.push_height,
                ),
                CLOSED,
            )
        behind = self.radius + BEHIND
        start_x = min(max(x - behind * ahead_x, WORKSPACE_LOW[0]), WORKSPACE_HIGH[0])
        start_y = min(max(y - behind * ahead_y, WORKSPACE_LOW[1]), WORKSPACE_HIGH[1])
        start_distance = math.hypot(start_x - tool_x, start_y - tool_y)
        if start_distance > LATERAL_TOLERANCE and tool_z < self.travel_height - LATERAL_TOLERANCE:
            # Rise first, or the fingers would push the slab aside.
            return ToolCommand((tool_x, tool_y, self.travel_height), CLOSED)
        height = funnel(start_distance, LATERAL_TOLERANCE / 2, self.travel_height - self.push_height)
        return ToolCommand((start_x, start_y, self.push_height + height), CLOSED)

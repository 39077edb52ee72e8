"""Expert for Stack."""

from __future__ import annotations

import math

from demos.experts.moves import funnel, is_held, move_held_object, reach_for, release_and_retreat
from lam_envs import ToolCommand
from lam_envs.observation import Features

TRAVEL = 0.04
"""Height of the red cube above the goal while it is carried, meters."""
CLEAR, NEAR = 0.01, 0.05
"""Height above the goal that clears the blue cube, and horizontal distance from which it is needed, meters."""
TOLERANCE = 0.004
"""Horizontal error at which the red cube may descend, meters."""
PLACED_DISTANCE = 0.012
"""Horizontal error at which the red cube counts as placed, meters."""
PLACED_HEIGHT = 0.004
"""Height above the goal at which the red cube counts as placed, meters."""
RELEASE_SPEED = 0.04
"""Largest speed at which the gripper releases the cube, meters per second."""


class StackExpert:
    """Grasp the red cube, place it on the blue one, release it and rise."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["goal/relative"].tolist()
        distance = math.hypot(x, y)
        is_placed = distance <= PLACED_DISTANCE and abs(z) <= PLACED_HEIGHT
        held = is_held(features)
        if is_placed and (not held or math.hypot(*features["object/velocity"]) <= RELEASE_SPEED):
            return release_and_retreat(features)
        if not held:
            return reach_for(features)
        if distance > NEAR and z > -CLEAR:
            # Rise first, or the red cube would push the blue one away.
            return move_held_object(features, (0.0, 0.0, z + TRAVEL))
        return move_held_object(features, (x, y, z + funnel(distance, TOLERANCE, TRAVEL)))

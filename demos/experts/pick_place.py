"""Expert for PickPlace."""

from __future__ import annotations

import math

from demos.experts.moves import funnel, is_held, move_held_object, reach_for, release_and_retreat
from lam_envs import ToolCommand
from lam_envs.observation import Features

TRAVEL = 0.04
"""Height of the cube above the goal while it is carried, meters."""
TOLERANCE = 0.01
"""Horizontal error at which the cube may descend to the goal, meters."""


ON_TABLE = 0.04
"""Height below which a goal is on the table, meters: the gripper releases the cube there."""
PLACED_DISTANCE, PLACED_HEIGHT = 0.01, 0.004
"""Horizontal and vertical distance from the goal at which the cube counts as placed, meters."""


class PickPlaceExpert:
    """Grasp the cube, carry it over the goal, descend; release it on the table, or hold it in the air."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["goal/relative"].tolist()
        distance = math.hypot(x, y)
        is_placed = distance <= PLACED_DISTANCE and abs(z) <= PLACED_HEIGHT
        if is_placed and features["goal/position"][2] <= ON_TABLE:
            return release_and_retreat(features)
        if not is_held(features):
            return reach_for(features)
        return move_held_object(features, (x, y, z + funnel(distance, TOLERANCE, TRAVEL)))

"""Expert for PickPlace."""

from __future__ import annotations

import math

from demos.experts.moves import carry, funnel, is_held, leave, reach_for
from lam_envs import ToolCommand
from lam_envs.observation import Features

TRAVEL = 0.04
"""How high above the goal the cube travels, metres."""
FORGIVEN = 0.01
"""Sideways error at which the cube may go all the way down, metres."""


ON_TABLE = 0.04
"""A goal below this height is on the table: there the cube is let go, metres."""
PLACED_ASIDE, PLACED_HEIGHT = 0.01, 0.004
"""Distances from the goal, sideways and in height, at which it is let go, or left alone, metres."""


class PickPlaceExpert:
    """Takes the cube, carries it over the goal and down to it; there it holds it in the air, or lets it go."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["goal/relative"].tolist()
        aside = math.hypot(x, y)
        is_placed = aside <= PLACED_ASIDE and abs(z) <= PLACED_HEIGHT
        if is_placed and features["goal/position"][2] <= ON_TABLE:
            return leave(features)
        if not is_held(features):
            return reach_for(features)
        return carry(features, (x, y, z + funnel(aside, FORGIVEN, TRAVEL)))

"""Expert for Stack."""

from __future__ import annotations

import math

from demos.experts.moves import carry, funnel, is_held, leave, reach_for
from lam_envs import ToolCommand
from lam_envs.observation import Features

TRAVEL = 0.04
"""How high above its place the red cube travels, metres."""
CLEAR, NEAR = 0.01, 0.05
"""Height above its place that clears the blue cube, needed farther to the side than this, metres."""
FORGIVEN = 0.004
"""Sideways error at which it may go all the way down, metres."""
PLACED_ASIDE = 0.012
"""Sideways error at which it is let go, or left alone, metres."""
PLACED_HEIGHT = 0.004
"""Height above its place at which it is let go, metres."""
SLOW = 0.04
"""Speed at which it is let go, metres a second."""


class StackExpert:
    """Takes the red cube, sets it on the blue one, lets go and leaves upwards."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["goal/relative"].tolist()
        aside = math.hypot(x, y)
        is_placed = aside <= PLACED_ASIDE and abs(z) <= PLACED_HEIGHT
        held = is_held(features)
        if is_placed and (not held or math.hypot(*features["object/velocity"]) <= SLOW):
            return leave(features)
        if not held:
            return reach_for(features)
        if aside > NEAR and z > -CLEAR:
            # First up, or the red cube would push the blue one away.
            return carry(features, (0.0, 0.0, z + TRAVEL))
        return carry(features, (x, y, z + funnel(aside, FORGIVEN, TRAVEL)))

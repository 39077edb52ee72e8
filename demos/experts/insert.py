"""Expert for Insert."""

from __future__ import annotations

import math

from demos.experts.moves import carry, funnel, is_held, leave, open_and_rise, reach_for
from lam_envs import ToolCommand
from lam_envs.observation import Features

GRIP = 0.025
"""Height above the peg's centre at which it is gripped, metres: the fingers stay above the block."""
TRAVEL = 0.03
"""How high above the mouth of the hole the peg's foot travels, metres."""
CLEAR, NEAR_MOUTH = 0.015, 0.02
"""Height of the foot above the mouth that clears the block, needed farther to the side than this, metres."""
FORGIVEN = 0.0025
"""Sideways error that the lead-in around the hole forgives, metres."""
ENTERED, ENTERED_ASIDE = 0.004, 0.006
"""Depth of the foot from which on, and sideways error up to which, the hole guides the peg, metres."""
DEPTH = 0.036
"""How deep the foot is when the peg is let go, metres."""
SLOW = 0.015
"""Farthest that the tool is sent down at a time while the peg enters, metres: slower, it jams less."""
SLIPPED = 0.012
"""How far the peg may slide up through the fingers before it is gripped anew, metres."""
PUSH = 0.045
"""How deep the foot is pushed, metres: to the ground."""


class InsertExpert:
    """Takes the peg near its upper end, carries it over the hole, pushes it in and lets go."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["hole/relative"].tolist()
        aside = math.hypot(x, y)
        if aside <= ENTERED_ASIDE and z >= DEPTH:
            return leave(features)
        if not is_held(features):
            return reach_for(features, above=GRIP)
        if aside <= ENTERED_ASIDE and z >= ENTERED:
            if features["object/relative"][2] > SLIPPED - GRIP:
                # It jammed and slid up through the fingers, which reach the block before it reaches the ground.
                return open_and_rise(features, GRIP)
            # In the hole. Sideways corrections would only turn the peg against its walls.
            return carry(features, (0.0, 0.0, max(z - PUSH, -SLOW)))
        if aside > NEAR_MOUTH and z > -CLEAR:
            # First up, or the peg would run into the block.
            return carry(features, (0.0, 0.0, z + TRAVEL))
        height = funnel(aside, FORGIVEN, TRAVEL)
        return carry(features, (x, y, z + height if height > 0.0 else max(z - PUSH, -SLOW)))

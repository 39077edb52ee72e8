"""Expert for Insert."""

from __future__ import annotations

import math

from demos.experts.moves import funnel, is_held, move_held_object, open_and_rise, reach_for, release_and_retreat
from lam_envs import ToolCommand
from lam_envs.observation import Features

GRIP = 0.025
"""Height of the grip above the peg's center, meters: the fingers stay above the block."""
TRAVEL = 0.03
"""Height of the lower end of the peg above the hole while it is carried, meters."""
CLEAR, NEAR_HOLE = 0.015, 0.02
"""Height of the lower end that clears the block, and horizontal distance from which it is needed, meters."""
TOLERANCE = 0.0025
"""Horizontal error that the lead-in of the hole tolerates, meters."""
ENTERED, ENTERED_DISTANCE = 0.004, 0.006
"""Least depth and largest horizontal error at which the hole guides the peg, meters."""
DEPTH = 0.036
"""Depth at which the gripper releases the peg, meters."""
MAX_INSERT_STEP = 0.015
"""Largest commanded descent while the peg enters, meters: a slow peg jams less."""
SLIPPED = 0.012
"""Distance that the peg may slide up in the fingers before the gripper grasps it again, meters."""
PUSH_DEPTH = 0.045
"""Commanded depth, meters: down to the table."""


class InsertExpert:
    """Grasp the peg near its upper end, carry it over the hole, push it in, release."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["hole/relative"].tolist()
        distance = math.hypot(x, y)
        if distance <= ENTERED_DISTANCE and z >= DEPTH:
            return release_and_retreat(features)
        if not is_held(features):
            return reach_for(features, above=GRIP)
        if distance <= ENTERED_DISTANCE and z >= ENTERED:
            if features["object/relative"][2] > SLIPPED - GRIP:
                # It jammed and slid up: grasp it again, or the fingers reach the block before it reaches the table.
                return open_and_rise(features, GRIP)
            # Inside the hole, horizontal corrections would tilt the peg against its walls.
            return move_held_object(features, (0.0, 0.0, max(z - PUSH_DEPTH, -MAX_INSERT_STEP)))
        if distance > NEAR_HOLE and z > -CLEAR:
            # Rise first, or the peg would hit the block.
            return move_held_object(features, (0.0, 0.0, z + TRAVEL))
        height = funnel(distance, TOLERANCE, TRAVEL)
        return move_held_object(
            features, (x, y, z + height if height > 0.0 else max(z - PUSH_DEPTH, -MAX_INSERT_STEP))
        )

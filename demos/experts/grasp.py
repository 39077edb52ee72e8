"""Expert for Grasp."""

from __future__ import annotations

import math

from lam_envs import ToolCommand
from lam_envs.observation import Features

OPEN = 0.08
"""Opening for the approach, metres: twice the cube's edge leaves room for its corners when it is turned."""
CLOSED = 0.0
"""Told to close fully, the fingers press what is between them with all their force."""
CARRY_HEIGHT = 0.15
"""Where the cube is held, metres: 3 cm more than success needs."""
CLEARANCE = 0.08
"""Height above the cube at which the tool may travel, metres: the fingertips then pass 5 cm above its top."""
FUNNEL_SLOPE = 4.0
"""Metres of height for each metre sideways: the way down narrows onto the cube, with no corner to imitate."""
ALIGNED = 0.01
"""Sideways error that the open fingers forgive, metres."""
AT_CUBE = 0.012
"""Distance from the cube at which the fingers close, metres."""
OPEN_ENOUGH = 0.06
"""Opening that passes over the cube without touching it, metres."""
BESIDE = 0.04
"""Further to the side than this, a low tool would push the cube, metres."""


class GraspExpert:
    """Over the cube, down a funnel onto it, close, lift."""

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        cube_x, cube_y, cube_z = features["object/position"].tolist()
        tool_x, tool_y, tool_z = features["tool/position"].tolist()

        # Held by both fingers: lift, straight up.
        if features["gripper/touch"].min() > 0.5:
            return ToolCommand((tool_x, tool_y, CARRY_HEIGHT), CLOSED)

        # At the cube: close. The fingers centre it between them.
        if math.dist((cube_x, cube_y, cube_z), (tool_x, tool_y, tool_z)) <= AT_CUBE:
            return ToolCommand((cube_x, cube_y, cube_z), CLOSED)

        # Low and beside the cube: first up, or the hand would push it away.
        aside = math.hypot(cube_x - tool_x, cube_y - tool_y)
        if aside > BESIDE and tool_z < cube_z + CLEARANCE / 2:
            return ToolCommand((tool_x, tool_y, cube_z + CLEARANCE), OPEN)

        # Otherwise down the funnel; with fingers that are not open yet, no lower than above the cube.
        height = min(max((aside - ALIGNED) * FUNNEL_SLOPE, 0.0), CLEARANCE)
        if features["gripper/width"].item() < OPEN_ENOUGH and tool_z > cube_z + CLEARANCE / 2:
            height = CLEARANCE
        return ToolCommand((cube_x, cube_y, cube_z + height), OPEN)

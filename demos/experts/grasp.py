"""Expert for Grasp."""

from __future__ import annotations

from demos.experts.moves import CLOSED, is_held, reach_for
from lam_envs import ToolCommand
from lam_envs.observation import Features

CARRY_HEIGHT = 0.15
"""Height to lift the cube to, meters: 3 cm more than success needs."""


class GraspExpert:
    """Move over the cube, descend in a funnel, close the gripper, lift."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        if is_held(features):
            x, y, _ = features["tool/position"].tolist()
            return ToolCommand((x, y, CARRY_HEIGHT), CLOSED)
        return reach_for(features)

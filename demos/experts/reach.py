"""Expert for Reach."""

from __future__ import annotations

from lam_envs import ToolCommand
from lam_envs.observation import Features


class ReachExpert:
    """Move straight to the goal and leave the gripper unchanged."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        x, y, z = features["goal/position"].tolist()
        return ToolCommand((x, y, z), features["gripper/target"].item())

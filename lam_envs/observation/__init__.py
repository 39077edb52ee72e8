"""Observations: named features in vectors, spaces of goals and images, and instructions."""

from lam_envs.observation.features import (
    DEPTH_SUFFIX,
    GOAL_PREFIX,
    ROBOT_KEY,
    Feature,
    Features,
    FeatureSlice,
    Layout,
    goal_space,
    pixels_space,
)
from lam_envs.observation.instructions import Command, Instructions

__all__ = [
    "DEPTH_SUFFIX",
    "GOAL_PREFIX",
    "ROBOT_KEY",
    "Command",
    "Feature",
    "FeatureSlice",
    "Features",
    "Instructions",
    "Layout",
    "goal_space",
    "pixels_space",
]

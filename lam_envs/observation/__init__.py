"""Observations: named features in vectors, spaces of goals and images, and instructions."""

from lam_envs.observation.features import (
    DEPTH_SUFFIX,
    GOAL_PREFIX,
    ROBOT_KEY,
    Action,
    Array,
    Feature,
    Features,
    FeatureSlice,
    Info,
    Layout,
    Observation,
    goal_space,
    pixels_space,
)
from lam_envs.observation.instructions import Command, Instructions

__all__ = [
    "DEPTH_SUFFIX",
    "GOAL_PREFIX",
    "ROBOT_KEY",
    "Action",
    "Array",
    "Command",
    "Feature",
    "FeatureSlice",
    "Features",
    "Info",
    "Instructions",
    "Layout",
    "Observation",
    "goal_space",
    "pixels_space",
]

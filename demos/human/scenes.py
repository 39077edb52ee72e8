"""Meaning of a recording in the scene of each task: where the robot grasps, where it carries to, what is in its way.

Add a task as an entry in ``SCENES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from demos.experts.moves import funnel
from demos.human.track import Floats
from lam_envs.control import WORKSPACE_HIGH, WORKSPACE_LOW
from lam_envs.observation import Features

LIFT = 0.13
"""Height to lift an object to, meters: 3 cm more than Grasp asks for."""
ON_TABLE = 0.04
"""Height of a goal below which the object is released there, meters."""
APPROACH_CLEARANCE = 0.08
"""Height above the grip at which the open fingers pass over an object, meters."""
APPROACH_TOLERANCE = 0.008
"""Horizontal distance from the grip within which the fingers may be at its height, meters."""
MARGIN = 0.004
"""Distance from the bounds of the workspace, meters."""
OBSTACLE_RADIUS = 0.075
"""Horizontal distance from an obstacle's center within which the hand must be above it, meters."""
PUSH_HEIGHT, PUSH_BEHIND, PUSH_CLEARANCE, PUSH_RADIUS = 0.026, 0.095, 0.06, 0.09
"""Height of the closed fingers, distance behind the slab's center at which they descend, height above that at which
they pass over it, and horizontal distance from its center within which they must, meters."""


@dataclass(frozen=True)
class Scene:
    """Meaning of a recording in a task.

    Attributes:
        kind: ``carry`` (grasp, carry, maybe release), ``push``, or ``reach`` (move to a goal).
        end: Displacement of the object to where it is carried or pushed; for ``reach``, the goal.
        releases: True if the robot releases the object there.
        has_goal: True if ``end`` leads to a goal of the scene, wherever the object is by then.
        grip_height: Height of the grip above the object's center, meters.
        tolerance: Largest horizontal distance from the end at which the object may be released, meters.
        clearance: Height above the end at which a held object passes over what is around it, meters.
        obstacle: Feature with the position of another object, relative to nothing; None if there is none.
        obstacle_height: Height of the tool above that position, meters.
        overhead: Steps for closing the fingers, and for placing and releasing the object.
    """

    kind: Literal["carry", "push", "reach"]
    end: Callable[[Features], Floats]
    releases: Callable[[Features], bool] = lambda features: False
    has_goal: bool = True
    grip_height: float = 0.0
    tolerance: float = 0.01
    clearance: float = 0.04
    obstacle: str | None = None
    obstacle_height: float = 0.09
    overhead: int = 24


SCENES: dict[str, Scene] = {
    "reach": Scene("reach", lambda features: features["goal/position"], overhead=6),
    "grasp": Scene("carry", lambda features: np.array([0.0, 0.0, LIFT]), has_goal=False, overhead=18),
    "pick_place": Scene(
        "carry", lambda features: features["goal/relative"], lambda features: features["goal/position"][2] <= ON_TABLE
    ),
    "stack": Scene(
        "carry", lambda features: features["goal/relative"], lambda features: True, tolerance=0.006, obstacle="base",
        overhead=32,
    ),
    "insert": Scene(
        "carry", lambda features: features["hole/relative"], lambda features: True, grip_height=0.025,
        tolerance=0.0025, clearance=0.05, overhead=36,
    ),
    "push": Scene("push", lambda features: features["goal/relative"], overhead=30),
}  # fmt: skip
"""Scenes by name of the task."""


def in_workspace(points: Floats) -> Floats:
    """Return points that are clipped to the workspace of the tool."""
    return np.clip(points, np.add(WORKSPACE_LOW, MARGIN), np.subtract(WORKSPACE_HIGH, MARGIN))


def above(points: Floats, center: Floats, tolerance: float, clearance: float) -> Floats:
    """Return points that are raised into a cone over a center: near it they may only come from above."""
    raised = points.copy()
    for index, point in enumerate(raised):
        distance = float(np.hypot(*(point[:2] - center[:2])))
        point[2] = max(point[2], center[2] + funnel(distance, tolerance, clearance))
        raised[index] = point
    return raised


def over(points: Floats, center: Floats, height: float, radius: float) -> Floats:
    """Return points that are raised above an obstacle, within a radius of its center."""
    raised = points.copy()
    near = np.hypot(*(points - center)[:, :2].T) < radius
    raised[near, 2] = np.maximum(raised[near, 2], center[2] + height)
    return raised

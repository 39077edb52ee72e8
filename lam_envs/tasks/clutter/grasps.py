"""Grasps of an object in a heap from above, with two parallel fingers, as pure geometry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.geometry import Motion, Vector3
from lam_envs.tasks.clutter.shapes import Points, Shape

FINGER_DEPTH, FINGER_THICKNESS = 0.02, 0.015
"""Edges of a finger along x and y of the hand, meters."""
TIP = 0.009
"""Distance of the end of the fingers below the tool, meters."""
PALM = 0.035
"""Height of the hand above the tool, meters."""
HAND_DEPTH, HAND_WIDTH = 0.06, 0.205
"""Edges of the hand along its x and y, meters: those of the widest gripper."""
CLEARANCE = 0.006
"""Distance of an open finger from the object while it descends, meters."""
MIN_CLEARANCE = 0.002
MARGIN = 0.002
"""Distance of the fingers from other objects, meters."""
LOWEST = 0.012
"""Lowest height of the tool, meters."""
CONTACT_DEPTH = 0.003
"""Depth of the part of the surface that a finger touches, meters."""
MAX_SLOPE = 0.4
"""Largest slope of the line between both contacts, and of the surface there, relative to the closing direction. The
friction of the pads holds more; but an object that slides or turns leaves the fingers."""
ALONG = (0.0, -0.007, 0.007, -0.014, 0.014, -0.021, 0.021)
"""Distances of grasps from the center of the object along the x axis of the hand, meters."""
MAX_OFFSET = 0.03
"""Distance of the line of the contacts from the center of mass that costs as much as that slope, meters."""
BLOCKED_SCALE = 0.01
"""Depth of other objects in the way of the fingers that costs as much as a bad grasp, meters."""
MIN_POINTS = 4
"""Smallest number of points of the surface between the fingers."""
HEIGHTS = (0.0, -0.01, 0.01, -0.02, 0.02)
"""Heights of grasps relative to the center of the object, meters."""


class Grasp(NamedTuple):
    """Position of the tool from which the fingers close."""

    position: Vector3
    """Meters."""
    width: float
    """Opening with which the fingers descend, meters."""
    cost: float
    """Lower is better; below 1 the contacts hold the object and no finger meets another object."""


def place(points: Points, motion: Motion, scale: float = 1.0) -> Points:
    """Return points of an object in world coordinates, meters."""
    return scale * points @ rotation_matrix(motion.orientation).T + motion.position


def rotation_matrix(orientation: Sequence[float]) -> Points:
    """Return the rotation matrix of a unit quaternion (x, y, z, w)."""
    x, y, z, w = orientation
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
            [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
            [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )


def find_grasps(
    surface: Points, normals: Points, center: Sequence[float], others: Points, max_width: float
) -> list[Grasp]:
    """Return grasps of an object, the best one first.

    The hand points down with yaw 0: its fingers close along y. For another yaw, rotate the points.

    Args:
        surface: Points on the surface of the object, world coordinates, meters, shape (n, 3).
        normals: Outward normals at the points, shape (n, 3).
        center: Its center of mass, meters.
        others: Points on the surfaces of the other objects, shape (m, 3).
        max_width: Largest opening of the gripper, meters.
    """
    grasps = _candidates(surface, normals, center, max_width)
    cost = grasps.cost_among(others)
    order = np.argsort(cost, kind="stable")
    rows = np.column_stack([grasps.positions, grasps.width, cost])[order].tolist()
    return [Grasp((row[0], row[1], row[2]), row[3], row[4]) for row in rows]


def best_costs(
    surface: Points, normals: Points, center: Sequence[float], others: Points, max_width: float
) -> tuple[float, float]:
    """Return the lowest costs of :func:`find_grasps` without and with the other objects; infinite without grasps."""
    grasps = _candidates(surface, normals, center, max_width)
    alone, among = grasps.cost_among(np.empty((0, 3))), grasps.cost_among(others)
    return float(alone.min(initial=np.inf)), float(among.min(initial=np.inf))


class _Candidates(NamedTuple):
    """Grasps of an object without regard to other objects."""

    positions: Points
    """Positions of the tool, shape (grasps, 3)."""
    width: npt.NDArray[np.float64]
    """Openings."""
    cost: npt.NDArray[np.float64]
    """Costs of the contacts."""
    top: npt.NDArray[np.float64]
    """Highest point of the object under the hand, meters."""

    def cost_among(self, others: Points) -> npt.NDArray[np.float64]:
        """Return the costs among points on the surfaces of other objects."""
        own = self.top - self.positions[:, 2] - PALM
        blocked = np.maximum(_blocked(self.positions, self.width, others), own)
        cost: npt.NDArray[np.float64] = self.cost + np.where(blocked > 0.0, 1.0 + blocked / BLOCKED_SCALE, 0.0)
        return cost


def _candidates(surface: Points, normals: Points, center: Sequence[float], max_width: float) -> _Candidates:
    heights = sorted({max(center[2] + change, LOWEST) for change in HEIGHTS})
    # One row for each combination of a distance and a height.
    x = np.repeat(center[0] + np.array(ALONG), len(heights))
    z = np.tile(heights, len(ALONG))

    # The part of the surface between the fingers, and the opening that it needs.
    between = (np.abs(surface[:, 0] - x[:, None]) <= FINGER_DEPTH / 2) & (surface[:, 2] >= z[:, None] - TIP)
    across = surface[:, 1]
    left = np.where(between, across, -np.inf).max(axis=1)
    right = np.where(between, across, np.inf).min(axis=1)
    thickness = left - right
    possible = (between.sum(axis=1) >= MIN_POINTS) & (thickness + 2 * MIN_CLEARANCE <= max_width)
    x, z, between, left, right, thickness = (part[possible] for part in (x, z, between, left, right, thickness))
    y, width = (left + right) / 2, np.minimum(thickness + 2 * CLEARANCE, max_width)

    # The contacts: their line and the surface there should be along y, and the line through the center of mass.
    by_left = between & (across >= left[:, None] - CONTACT_DEPTH)
    by_right = between & (across <= right[:, None] + CONTACT_DEPTH)
    one, other = _mean(surface, by_left), _mean(surface, by_right)
    slope = np.hypot(one[:, 0] - other[:, 0], one[:, 2] - other[:, 2]) / (thickness + CONTACT_DEPTH)
    for direction in (_mean(normals, by_left), _mean(normals, by_right)):
        slope = np.maximum(slope, np.hypot(direction[:, 0], direction[:, 2]) / np.abs(direction[:, 1]))
    middle = (one + other) / 2
    offset = np.hypot(middle[:, 0] - center[0], middle[:, 2] - center[2])
    cost = slope / MAX_SLOPE + offset / MAX_OFFSET
    cost = np.where(cost < 1.0, cost / 2, cost)

    top = np.where(between, surface[:, 2], -np.inf).max(axis=1)
    return _Candidates(np.stack([x, y, z], axis=1), width, cost, top)


def _mean(points: Points, chosen: npt.NDArray[np.bool_]) -> Points:
    """Return the mean of the points that each row chooses."""
    # A matrix product would depend on the processor.
    sums = np.stack([(chosen * coordinate).sum(axis=1) for coordinate in points.T], axis=1)
    mean: Points = sums / chosen.sum(axis=1, keepdims=True)
    return mean


def _blocked(positions: Points, width: npt.NDArray[np.float64], others: Points) -> npt.NDArray[np.float64]:
    """Return how far the fingers, or the hand, would enter other objects on their way down, meters; shape (grasps,).

    Args:
        positions: Positions of the tool, shape (grasps, 3).
        width: Openings, shape (grasps,).
        others: Points on the surfaces of other objects.
    """
    dx = np.abs(others[:, 0] - positions[:, :1])
    dy = np.abs(others[:, 1] - positions[:, 1:2])
    dz = others[:, 2] - positions[:, 2:]
    under_fingers = (dx <= FINGER_DEPTH / 2 + MARGIN) & (dy <= width[:, None] / 2 + FINGER_THICKNESS + MARGIN)
    under_hand = (dx <= HAND_DEPTH / 2 + MARGIN) & (dy <= HAND_WIDTH / 2 + MARGIN)
    by_fingers = np.where(under_fingers, dz + TIP + MARGIN, 0.0).max(axis=1, initial=0.0)
    by_hand = np.where(under_hand, dz - PALM, 0.0).max(axis=1, initial=0.0)
    deepest: npt.NDArray[np.float64] = np.maximum(by_fingers, by_hand)
    return deepest


def surfaces(shapes: Sequence[Shape], motions: Sequence[Motion], scale: float) -> list[Points]:
    """Return points on the surface of each object in world coordinates."""
    return [place(shape.points, motion, scale) for shape, motion in zip(shapes, motions, strict=True)]

"""Positions, orientations and velocities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
IDENTITY: Quaternion = (0.0, 0.0, 0.0, 1.0)
UNIT_TOLERANCE = 1e-3
"""Largest allowed difference of the length of a quaternion from 1."""


class Motion(NamedTuple):
    """Pose and velocity of a body in world coordinates."""

    position: Vector3
    """Meters."""
    orientation: Quaternion
    """Quaternion x, y, z, w."""
    velocity: Vector3
    """Meters per second."""
    angular_velocity: Vector3
    """Radians per second."""


class Frame(NamedTuple):
    """Position and orientation in world coordinates."""

    position: Vector3
    """Meters."""
    orientation: Quaternion
    """Quaternion x, y, z, w."""


def check_orientation(name: str, quaternion: Sequence[float]) -> None:
    """Check that an orientation is a unit quaternion.

    Args:
        name: Name of the orientation for the error message.
        quaternion: x, y, z, w.

    Raises:
        ValueError: The length of the quaternion is not 1.
    """
    length = math.sqrt(sum(number * number for number in quaternion))
    if abs(length - 1.0) > UNIT_TOLERANCE:
        raise ValueError(f"{name} is a quaternion of length {length:g}; expected length 1")


def z_axis(orientation: Quaternion) -> Vector3:
    """Return the third column of the rotation matrix of a unit quaternion (x, y, z, w)."""
    x, y, z, w = orientation
    return (2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y))


def rotation_6d(orientation: Quaternion) -> tuple[float, float, float, float, float, float]:
    """Return the first two columns of the rotation matrix of a unit quaternion (x, y, z, w).

    A continuous representation, unlike quaternions and angles (Zhou et al. 2019, arXiv 1812.07035, eq. 14).
    """
    x, y, z, w = orientation
    return (
        1.0 - 2.0 * (y * y + z * z),
        2.0 * (x * y + w * z),
        2.0 * (x * z - w * y),
        2.0 * (x * y - w * z),
        1.0 - 2.0 * (x * x + z * z),
        2.0 * (y * z + w * x),
    )

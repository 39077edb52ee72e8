"""What tasks with objects share: the features of an object, how it lies, and whether it is held or at rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lam_envs.bullet.geometry import Motion, Vector3, rotation_6d
from lam_envs.observation import Feature
from lam_envs.robots.state import ToolState
from lam_envs.tasks.one_goal import OneGoal
from lam_envs.tasks.task import Goals

SLIP_SPEED = 0.03
"""Fastest motion of an object relative to the hand that counts as not moving in it, meters per second."""
SLIP_TURN = 1.0
"""The same for turning, radians per second."""
STILL_SPEED = 0.03
"""Fastest motion that counts as being at rest, meters per second."""
LOST = -0.05
"""Below this height above its rest an object has left the table, meters."""
FAR = 2.0
"""Distances are cut off here, meters."""
FAST = 10.0
"""Speeds are cut off here, meters per second."""
HALFWAY = 0.1
"""Distance at which an approach is half done, meters."""
STILL: Vector3 = (0.0, 0.0, 0.0)

TOUCH = Feature("gripper/touch", 2, "1", "1 where a finger presses it, left and right", 0.5, 0.5, 0.5, noisy=False)


def object_features(noun: str, name: str = "object", *, turns: bool = True) -> tuple[Feature, ...]:
    """The features of one object.

    Args:
        noun: What people call it.
        name: What features call it.
        turns: Whether it matters how it is turned.
    """
    features = [
        Feature(f"{name}/position", 3, "m", f"center of the {noun}", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature(f"{name}/relative", 3, "m", f"{noun} minus tool position", 0.0, 0.1, 2.0),
        Feature(f"{name}/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
    ]
    if turns:
        features.insert(2, Feature(f"{name}/rotation", 6, "1", "first two columns of its rotation", 0.0, 1.0, 1.0))
        features.append(Feature(f"{name}/angular_velocity", 3, "rad/s", "its rate of turn", 0.0, 4.0, 40.0))
    return tuple(features)


def object_values(motion: Motion, tool: ToolState, *, turns: bool = True) -> list[float]:
    """Read the physical values of :func:`object_features`."""
    position, orientation, velocity, angular_velocity = motion
    relative = difference(position, tool.position)
    if not turns:
        return [*position, *relative, *velocity]
    return [*position, *relative, *rotation_6d(orientation), *velocity, *angular_velocity]


def resting_at(x: float, y: float, z: float, yaw: float = 0.0) -> Motion:
    """An object at rest with its center at a point, turned about the vertical."""
    return Motion((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)), STILL, STILL)


def sample_position(
    rng: np.random.Generator,
    low: Sequence[float],
    high: Sequence[float],
    others: Sequence[Sequence[float]] = (),
    apart: float = 0.0,
) -> tuple[float, float]:
    """Draw a place on the table, at least ``apart`` meters from each of the others."""
    while True:
        x, y = rng.uniform(low, high).tolist()
        if all(math.dist((x, y), other[:2]) >= apart for other in others):
            return (x, y)


def moves_with_hand(motion: Motion, tool: ToolState) -> bool:
    """Whether an object moves as if it were one body with the hand."""
    wx, wy, wz = tool.angular_velocity
    rx, ry, rz = difference(motion.position, tool.position)
    hand = (
        tool.velocity[0] + wy * rz - wz * ry,
        tool.velocity[1] + wz * rx - wx * rz,
        tool.velocity[2] + wx * ry - wy * rx,
    )
    return (
        math.dist(motion.velocity, hand) <= SLIP_SPEED
        and math.dist(motion.angular_velocity, tool.angular_velocity) <= SLIP_TURN
    )


def speed(motion: Motion) -> float:
    """How fast an object moves, meters per second, cut off at ``FAST``."""
    return min(math.hypot(*motion.velocity), FAST)


def distance(one: Vector3, other: Vector3) -> float:
    """Meters between two points, cut off at ``FAR``."""
    return min(math.dist(one, other), FAR)


def difference(one: Vector3, other: Vector3) -> Vector3:
    """The vector from the other point to the one."""
    return (one[0] - other[0], one[1] - other[1], one[2] - other[2])


def clipped(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> list[float]:
    """Keep an achieved goal inside its space."""
    return [
        least if value < least else most if value > most else value
        for value, least, most in zip(values, low, high, strict=True)
    ]


def nearness(meters: Any) -> Any:
    """1 at distance 0, one half at ``HALFWAY``, toward 0 beyond."""
    return HALFWAY / (HALFWAY + meters)


def length(goals: Goals | OneGoal, *axes: int) -> Any:
    """The length of a vector that some numbers of goals form, shape (...)."""
    squares: Any = 0.0
    if isinstance(goals, OneGoal):
        for axis in axes:
            squares += goals.numbers[axis] * goals.numbers[axis]
        # Both roots round correctly, so to the same bits.
        return math.sqrt(squares)
    for axis in axes:
        squares = squares + goals[..., axis] * goals[..., axis]
    return np.sqrt(squares)


def share(values: Any) -> Any:
    """Keep values, one or an array of them, in [0, 1]."""
    return min(max(values, 0.0), 1.0) if isinstance(values, float) else np.minimum(np.maximum(values, 0.0), 1.0)

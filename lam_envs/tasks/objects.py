"""Functions for tasks with objects: features, initial poses, holding, lifting, distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.geometry import Motion, Vector3, rotation_6d
from lam_envs.observation import Feature
from lam_envs.robots.state import ToolState
from lam_envs.tasks.goals.one_goal import OneGoal
from lam_envs.tasks.task import Flags, Goals

SLIP_SPEED = 0.03
"""Largest speed of an object relative to the hand that counts as held, meters per second."""
SLIP_TURN = 1.0
"""Largest angular velocity of an object relative to the hand that counts as held, radians per second."""
STILL_SPEED = 0.03
"""Largest speed that counts as being at rest, meters per second."""
LOST = -0.05
"""Height, relative to the height at rest, below which an object has fallen off the table, meters."""
FAR = 2.0
"""Upper bound of distances, meters: larger ones are clipped."""
FAST = 10.0
"""Upper bound of speeds, meters per second: larger ones are clipped."""
HALFWAY = 0.1
"""Distance at which :func:`nearness` is one half, meters."""
STILL: Vector3 = (0.0, 0.0, 0.0)

TOUCH = Feature("gripper/touch", 2, "1", "1 where a finger presses it, left and right", 0.5, 0.5, 0.5, noisy=False)


def object_features(noun: str, name: str = "object", *, with_rotation: bool = True) -> tuple[Feature, ...]:
    """Return the features of an object.

    Args:
        noun: Name of the object in descriptions.
        name: Name of the object in the names of features.
        with_rotation: True to include its orientation and angular velocity.
    """
    features = [
        Feature(f"{name}/position", 3, "m", f"center of the {noun}", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature(f"{name}/relative", 3, "m", f"{noun} minus tool position", 0.0, 0.1, 2.0),
        Feature(f"{name}/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
    ]
    if with_rotation:
        features.insert(2, Feature(f"{name}/rotation", 6, "1", "first two columns of its rotation", 0.0, 1.0, 1.0))
        features.append(Feature(f"{name}/angular_velocity", 3, "rad/s", "its angular velocity", 0.0, 4.0, 40.0))
    return tuple(features)


def object_values(motion: Motion, tool: ToolState, *, with_rotation: bool = True) -> list[float]:
    """Return the physical values of :func:`object_features`."""
    position, orientation, velocity, angular_velocity = motion
    relative = difference(position, tool.position)
    if not with_rotation:
        return [*position, *relative, *velocity]
    return [*position, *relative, *rotation_6d(orientation), *velocity, *angular_velocity]


def resting_at(x: float, y: float, z: float, yaw: float = 0.0) -> Motion:
    """Return the motion of an object at rest, with its center at a point and a yaw in radians."""
    return Motion((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)), STILL, STILL)


def sample_position(
    rng: np.random.Generator,
    low: Sequence[float],
    high: Sequence[float],
    others: Sequence[Sequence[float]] = (),
    min_distance: float = 0.0,
) -> tuple[float, float]:
    """Sample a position on the table, with a smallest distance from other positions.

    Args:
        rng: Random number generator.
        low: Lowest x and y, meters.
        high: Highest x and y, meters.
        others: The other positions.
        min_distance: Smallest distance from each of them, meters.
    """
    while True:
        x, y = rng.uniform(low, high).tolist()
        if all(math.dist((x, y), other[:2]) >= min_distance for other in others):
            return (x, y)


def moves_with_hand(motion: Motion, tool: ToolState) -> bool:
    """Return True if an object neither slides nor turns relative to the hand."""
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
    """Return the speed of an object, meters per second, at most ``FAST``."""
    return min(math.hypot(*motion.velocity), FAST)


def distance(one: Vector3, other: Vector3) -> float:
    """Return the distance between two points, meters, at most ``FAR``."""
    return min(math.dist(one, other), FAR)


def difference(one: Vector3, other: Vector3) -> Vector3:
    """Return the vector ``one - other``."""
    return (one[0] - other[0], one[1] - other[1], one[2] - other[2])


def clip(values: Sequence[float], low: Sequence[float], high: Sequence[float]) -> list[float]:
    """Return an achieved goal that is clipped to its space."""
    return [
        lowest if value < lowest else highest if value > highest else value
        for value, lowest, highest in zip(values, low, high, strict=True)
    ]


def nearness(distances: Any) -> Any:
    """Return 1 at distance 0, one half at ``HALFWAY``, and less beyond."""
    return HALFWAY / (HALFWAY + distances)


def norm(goals: Goals | OneGoal, *axes: int) -> Any:
    """Return the Euclidean norm of some elements of goals, shape (...)."""
    squares: Any = 0.0
    if isinstance(goals, OneGoal):
        for axis in axes:
            squares += goals.numbers[axis] * goals.numbers[axis]
        # Both square roots round correctly, so they give the same bits.
        return math.sqrt(squares)
    for axis in axes:
        squares = squares + goals[..., axis] * goals[..., axis]
    return np.sqrt(squares)


def clip_unit(values: Any) -> Any:
    """Return a value, or an array of values, that is clipped to [0, 1]."""
    return min(max(values, 0.0), 1.0) if isinstance(values, float) else np.minimum(np.maximum(values, 0.0), 1.0)


def lift_flags(achieved: Goals, desired: Goals, lost: float = LOST) -> dict[str, Flags]:
    """Return the flags of a task that lifts an object and holds it.

    A goal has the distance from the tool to the object (m), its height above where it lay (m), and 1 while it is
    held.

    Args:
        achieved: Achieved goals, shape (..., 3).
        desired: Desired goals, shape (..., 3).
        lost: Height below which the object is lost, meters.

    Returns:
        Flags by name, each of shape (...).
    """
    is_lifted = achieved[..., 1] >= desired[..., 1]
    is_held = achieved[..., 2] >= desired[..., 2]
    return {
        "is_success": is_lifted & is_held,
        "is_lifted": is_lifted,
        "is_held": is_held,
        "is_lost": achieved[..., 1] < lost,
    }


def lift_progress(achieved: Goals, lift: float, lost: float = LOST) -> npt.NDArray[np.float64] | np.float64:
    """Return the progress of a task that lifts an object and holds it.

    It is the sum of 0.4 for reaching the object, 0.2 for holding it, and 0.4 for the height while it is held; 0 once
    it is lost.

    Args:
        achieved: Achieved goals, shape (..., 3).
        lift: Height of full progress, meters.
        lost: Height below which the object is lost, meters.

    Returns:
        Progress from 0 to 1, shape (...).
    """
    rise, held = achieved[..., 1], achieved[..., 2]
    near = nearness(achieved[..., 0])
    height = clip_unit(rise / lift)
    progress: npt.NDArray[np.float64] | np.float64 = (rise >= lost) * (0.4 * near + 0.2 * held + 0.4 * held * height)
    return progress

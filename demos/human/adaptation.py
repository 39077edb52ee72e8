"""Adaptation of a person's path to other ends: a straight line plus the person's deviation from theirs.

A similarity transform would fail where the ends of a path are close together. The deviation does not: it is turned
with the horizontal direction of the line, and shrunk to what the robot and the time allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from demos.human.track import Floats

STEP = 0.018
"""Largest distance along each axis in a step, meters: a little less than controls allow, so that the tool follows."""
LEAST_CHORD = 0.05
"""Horizontal distance of two ends from which they have a direction, meters."""
SMALL = 0.003
"""Deviation, root mean square, below which a path counts as straight, meters."""
SAMPLES = 60
"""Samples of a path at equal distances along it."""

Limit = Callable[[Floats], Floats]
"""Function that moves the points of a path, shape (N, 3), to where the robot may go."""


def along(path: Floats, count: int = SAMPLES) -> Floats:
    """Return points at equal distances along a path, its first and last included."""
    lengths = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))))
    if lengths[-1] < 1e-9:
        return np.repeat(path[:1], count, axis=0)
    wanted = np.linspace(0.0, lengths[-1], count)
    return np.stack([np.interp(wanted, lengths, column) for column in path.T], axis=1)


def deviation_of(path: Floats) -> Floats:
    """Return the deviation of a path from the straight line between its ends, at equal distances along the path."""
    points = along(path)
    fractions = np.linspace(0.0, 1.0, len(points))[:, None]
    return np.asarray(points - points[0] - fractions * (points[-1] - points[0]))


def turn(person: Floats, robot: Floats) -> Floats:
    """Return the rotation about z from the horizontal direction of one line to that of another, shape (3, 3).

    Lines without a direction do not turn.
    """
    if min(math.hypot(*person[:2]), math.hypot(*robot[:2])) < LEAST_CHORD:
        return np.eye(3)
    angle = math.atan2(robot[1], robot[0]) - math.atan2(person[1], person[0])
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


class Segment:
    """Part of a person's path, adapted to other ends.

    Args:
        person: Path of the person, shape (N, 3).
        start: First point for the robot.
        end: Last point for the robot.
        limit: Moves points to where the robot may go.
    """

    def __init__(self, person: Floats, start: Floats, end: Floats, limit: Limit) -> None:
        rotation = turn(person[-1] - person[0], end - start)
        self.deviation = deviation_of(person) @ rotation.T
        """Deviation of the person, at equal distances, shape (SAMPLES, 3)."""
        self.line = start + np.linspace(0.0, 1.0, SAMPLES)[:, None] * (end - start)
        self.limit = limit
        self.person_steps = len(person)
        """Steps that the person took."""

    def path(self, keep: float) -> Floats:
        """Return the path with a fraction of the person's deviation, shape (SAMPLES, 3)."""
        return self.limit(self.line + keep * self.deviation)

    def steps(self, keep: float) -> int:
        """Return the number of steps that the path takes at full speed."""
        return math.ceil(float(np.abs(np.diff(self.path(keep), axis=0)).max(axis=1).sum()) / STEP)

    def kept(self, keep: float) -> float:
        """Return the fraction of the person's deviation that a path has after all limits, in [0, 1].

        It is the slope of the regression of the path's deviation on the person's; 1 if the person moved straight.
        """
        power = float((self.deviation**2).sum())
        if power < SAMPLES * SMALL**2:
            return 1.0
        actual = self.path(keep) - self.line
        return min(max(float((actual * self.deviation).sum()) / power, 0.0), 1.0)

    def timed(self, keep: float, steps: int) -> Floats:
        """Return the path as one point for each step, without the first."""
        path = self.path(keep)
        distances = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(path, axis=0)).max(axis=1))))
        wanted = np.linspace(0.0, distances[-1], max(steps, 1) + 1)[1:]
        return np.stack([np.interp(wanted, distances, column) for column in path.T], axis=1)


def fit_to_time(
    segments: list[Segment], available: int, keep: float | None = None, speed: float = 1.0
) -> tuple[float, list[int]]:
    """Return the largest fraction of the deviations for which segments fit into a time, and the steps of each.

    The time that remains slows the robot down, but not below ``speed``.

    Args:
        segments: Segments that follow one another.
        available: Number of steps for all of them.
        keep: Fraction to use in place of the largest one.
        speed: Desired speed, as a multiple of the person's.
    """
    if keep is None:
        low, keep = 0.0, 1.0
        if sum(segment.steps(keep) for segment in segments) > available:
            high = 1.0
            for _ in range(10):
                keep = (low + high) / 2
                if sum(segment.steps(keep) for segment in segments) > available:
                    high = keep
                else:
                    low = keep
            keep = low
    fastest = [segment.steps(keep) for segment in segments]
    wished = [
        max(round(segment.person_steps / speed) - steps, 0) for segment, steps in zip(segments, fastest, strict=True)
    ]
    left = max(available - sum(fastest), 0)
    share = min(left / sum(wished), 1.0) if sum(wished) else 0.0
    return keep, [steps + int(share * wish) for steps, wish in zip(fastest, wished, strict=True)]

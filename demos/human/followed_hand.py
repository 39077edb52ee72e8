"""One hand of a video, followed through its frames, although a detector's labels are wrong in some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from demos.human.track import Floats, Hand

RECENT = 0.25
"""Longest time for which a hand that is not detected is still expected where it was, seconds."""
SECOND_HAND = 0.05
"""Fraction of the frames with a hand in which a second hand may be an error of the detector."""


class Detection(NamedTuple):
    """Hand that a detector found in a frame."""

    hand: Hand
    """Label."""
    score: float
    """Certainty of the label, in (0, 1]."""
    points: Floats
    """Pixels, shape (21, 3)."""


class _Seen(NamedTuple):
    frame: int
    detection: Detection


def follow_hand(times: Sequence[float], frames: Sequence[Sequence[Detection]], hand: Hand) -> list[Detection | None]:
    """Return the detection of one hand in each frame; None where it is not seen.

    Detections that follow one another in position are one path. In a video of one hand the labels do not matter. Of
    two hands, the paths whose labels are mostly those of the given hand belong to it; of two such paths at the same
    time, the one with the higher sum of scores.

    Args:
        times: Increasing times of the frames, seconds.
        frames: Detections of each frame.
        hand: The hand to follow.
    """
    shows_one = sum(len(found) > 1 for found in frames) <= SECOND_HAND * sum(len(found) > 0 for found in frames)
    votes = []
    for path in _paths(times, frames):
        scores = [seen.detection.score * (1 if shows_one or seen.detection.hand == hand else -1) for seen in path]
        votes.append((sum(scores), path))
    chosen: list[Detection | None] = [None] * len(frames)
    for vote, path in sorted(votes, key=lambda voted: -voted[0]):
        if vote > 0 and all(chosen[seen.frame] is None for seen in path):
            for seen in path:
                chosen[seen.frame] = seen.detection
    return chosen


def _paths(times: Sequence[float], frames: Sequence[Sequence[Detection]]) -> list[list[_Seen]]:
    """Return the detections as paths, in which each one is near the one before in time and position."""
    paths: list[list[_Seen]] = []
    for frame, found in enumerate(frames):
        recent = [path for path in paths if times[frame] - times[path[-1].frame] <= RECENT]
        pairs = sorted(
            (_distance(path[-1].detection, detection), number, index)
            for number, path in enumerate(recent)
            for index, detection in enumerate(found)
        )
        continued: set[int] = set()
        placed: set[int] = set()
        for distance, number, index in pairs:
            if distance <= _size(found[index]) and number not in continued and index not in placed:
                recent[number].append(_Seen(frame, found[index]))
                continued.add(number)
                placed.add(index)
        paths += [[_Seen(frame, detection)] for index, detection in enumerate(found) if index not in placed]
    return paths


def _distance(one: Detection, other: Detection) -> float:
    """Return the distance between the middles of two hands, pixels."""
    return float(np.linalg.norm((one.points - other.points)[:, :2].mean(axis=0)))


def _size(detection: Detection) -> float:
    """Return the diagonal of the box around a hand, pixels: a hand moves less between two frames."""
    return float(np.linalg.norm(np.ptp(detection.points[:, :2], axis=0)))

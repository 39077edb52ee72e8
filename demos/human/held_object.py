"""Movement of the object that a hand holds, in recordings that track objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from demos.human.signals import fill_gaps, noise_of, smooth
from demos.human.track import GAP, Floats, HandTrack

MAX_UNSEEN = 0.25
"""Longest gap at an event, seconds: the fit of what is around it then errs by at most about half of it."""
MOVED = 0.03
"""Least movement of an object, meters."""
REST_TIME = 0.2
"""Shortest rest of an object before its first and after its last movement, seconds: with less, it may move before the
recording begins or after it ends."""
MOVING_SPEED = 0.04
"""Speed of an object that moves, meters per second."""
HOLD_DISTANCE = 0.5
"""Largest distance of a hand, or its wrist, from the middle of an object that it holds, meters."""
MIN_SHARE = 0.3
"""Least movement of a hand, as a fraction of the movement of the object that it holds."""
MAX_SLIP, SLIP_TOLERANCE = 0.5, 0.1
"""Largest change of the distance between a hand and the object that it holds, as a fraction of the object's movement,
and the change in meters that is always allowed: the hand may turn the object."""


class Movement(NamedTuple):
    """First and last movement of an object."""

    grasp: float | None
    """Time of the first movement, seconds; None if it is not known."""
    release: float | None
    """Time of the last movement; None if the recording does not show it."""
    uncertainty: float
    """Standard deviation of both, seconds."""
    reason: str
    """Explanation of a grasp that is not known."""
    lost: str
    """Explanation of a release that is not seen."""


def movement_of_held(track: HandTrack) -> Movement | str:
    """Return first and last movement of an object, or the reason why there are none, as text.

    It is the object that moves farthest among those that move together with the hand.
    """
    paths = {
        name: smooth(track.times, fill_gaps(track.times, positions), 0.04)
        for name, positions in track.objects.items()
        if np.isfinite(positions).any()
    }
    if not paths:
        return "no tracked object is seen; give --grasp"
    travels = {name: _travel(path) for name, path in paths.items()}
    order = sorted(travels, key=lambda name: -travels[name])
    if travels[order[0]] < MOVED:
        return (
            f"the object {order[0]!r} moves by only {1000 * travels[order[0]]:.2g} mm; give --grasp, or the length "
            "of a unit in meters (--unit)"
        )
    problems = []
    for name in order:
        if travels[name] >= MOVED:
            start, end, reach = _interval(track, name, paths[name])
            problem = _held_problem(track, name, paths[name], start, end)
            if not problem:
                return _movement_of(track, name, paths[name], start, end, reach)
            problems.append(problem)
    return f"{problems[0]}; choose the other hand (--hand), or give --grasp"


def _travel(path: Floats) -> float:
    """Return the largest distance of a path, shape (N, 3), from its first point."""
    return float(np.linalg.norm(path - path[0], axis=1).max())


def _interval(track: HandTrack, name: str, filled: Floats) -> tuple[int, int, float]:
    """Return first and last frame of the movement of an object, and the distance that counts as movement, meters."""
    noise = max(noise_of(track.objects[name][:, axis]) for axis in range(3))
    reach = max(0.004, 4 * noise)
    from_start = np.linalg.norm(filled - filled[0], axis=1) > reach
    from_end = np.linalg.norm(filled - filled[-1], axis=1) > reach
    # Where the distance crosses: the first frame is never far from itself.
    leaves = int(np.argmax(from_start))
    arrives = len(filled) - 1 - int(np.argmax(from_end[::-1]))
    # An object that jumps from one frame to the next arrives one frame before it leaves.
    start, end = sorted((leaves, arrives))
    return start, end, reach


def _held_problem(track: HandTrack, name: str, path: Floats, start: int, end: int) -> str:
    """Return the reason why the hand does not hold a moving object; empty if it does.

    A hand and what it holds are near one another, both move, and their distance hardly changes.
    """
    speed = np.linalg.norm(np.gradient(path, track.times, axis=0), axis=1)
    window = np.arange(len(path))
    seen = np.isfinite(track.pinch).all(axis=1) & np.isfinite(track.objects[name]).all(axis=1)
    seen &= (window >= start - 1) & (window <= end + 1)
    # The object may rest between two movements, while the hand is elsewhere.
    moving = seen & (speed > MOVING_SPEED)
    chosen = moving if moving.sum() >= 2 else seen
    if chosen.sum() < 2:
        return f"the hand is not seen together with the object {name!r} while that moves"
    hand, held = track.pinch[chosen], path[chosen]
    distances = np.linalg.norm(hand - held, axis=1)
    middle = float(np.median(distances))
    if middle > HOLD_DISTANCE:
        return f"the object {name!r} moves while the hand is {middle:.2f} m away"
    low, high = np.percentile(distances, [5, 95])
    travel = _travel(held)
    if _travel(hand) < MIN_SHARE * travel or high - low > max(MAX_SLIP * travel, SLIP_TOLERANCE):
        return f"the object {name!r} does not move together with the hand"
    return ""


def _movement_of(track: HandTrack, name: str, filled: Floats, start: int, end: int, reach: float) -> Movement:
    """Return the movement of an object between two frames."""
    seen = track.times[np.isfinite(track.objects[name]).all(axis=1)]
    speed = float(np.linalg.norm(np.gradient(filled, track.times, axis=0), axis=1)[start : end + 1].max())
    uncertainty = reach / max(speed, MOVING_SPEED)
    first, last = float(track.times[start]), float(track.times[end])
    release = last if seen[-1] - last >= REST_TIME else None
    hidden_from = None if release is not None else unseen_from(track, seen)
    lost = "" if hidden_from is None else f"the object {name!r} is not seen from {hidden_from:.2f} s on"
    if first - seen[0] < REST_TIME:
        reason = f"the object {name!r} moves from the first frames on; give --grasp"
        return Movement(None, release, uncertainty, reason, lost)
    return Movement(first, release, uncertainty, "", lost)


def unseen_from(track: HandTrack, seen: Floats) -> float | None:
    """Return the last of the times at which something is seen; None if that is about the end of the recording."""
    last = float(seen[-1])
    return last if track.times[-1] - last > max(MAX_UNSEEN, GAP / track.rate) else None

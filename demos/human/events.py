"""Events of a recording: when the hand grasps an object and when it releases it.

They come from the motion of a tracked object, or else from the distance between thumb and index finger. Where the
recording does not show them, the result says why, and names no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from demos.human.held_object import MAX_UNSEEN, Movement, movement_of_held, unseen_from
from demos.human.signals import fill_gaps, noise_of, runs, smooth
from demos.human.track import Flags, Floats, HandTrack

CLOSED_TIME = 0.25
"""Shortest time that a hand is seen to hold an object, seconds."""
OPEN_TIME = 0.15
"""Shortest opening between two grasps, seconds; a shorter one is noise."""
LOW, HIGH = 0.4, 0.6
"""Thresholds of closed and open, as fractions of the range of the aperture (hysteresis)."""
MIN_CONTRAST = {"image": 0.15, "camera": 0.012, "world": 0.012}
"""Smallest change of the aperture at a grasp: in images as a fraction of the palm's size, else in meters."""
MIN_SIGNIFICANCE = 6.0
"""Smallest change of the aperture, as a multiple of the noise after smoothing."""
SMOOTHING = 0.06
"""Standard deviation of the filter of the aperture, seconds."""
RAMP_WINDOW = 0.6
"""Time before and after a crossing of the thresholds in which the ramp is fitted, seconds."""
SHORTEST_RAMP, LONGEST_RAMP = 0.1, 0.7
"""Shortest and longest closing or opening, seconds."""
USUAL_RAMP, RAMP_SPREAD = 0.35, 0.12
"""Duration of most closings and openings, and its standard deviation, seconds: it decides where noise hides it."""
MAX_UNCERTAINTY = 0.11
"""Largest standard deviation of the time of an event, seconds."""
FULL_CONTRAST = 0.8
"""Change of the aperture in images, in palms, of a hand whose fingers are well visible. With less, as from the side,
the fit is less reliable than its own uncertainty says, and must be sharper (by the square)."""
DOMINANCE = 2.0
"""Factor by which the hand moves farther during the chosen grasp than during any other."""


@dataclass(frozen=True)
class Events:
    """Grasp and release in a recording.

    Attributes:
        grasp: Time at which the fingers have closed, seconds; None if unknown.
        release: Time at which they begin to open; None if unknown, or if they are seen to hold on to the end.
        method: ``object``, ``aperture``, ``given`` or ``none``: how times that are not given were found.
        uncertainty: Standard deviation of the times that were found, seconds; 0 if all are given.
        reason: Explanation of what is unknown; empty if nothing is.
    """

    grasp: float | None
    release: float | None
    method: str
    uncertainty: float = 0.0
    reason: str = ""


class _Edge(NamedTuple):
    time: float
    uncertainty: float


class _Fingers(NamedTuple):
    aperture: Floats
    known: Flags
    limit: float
    closed: list[tuple[int, int]]
    lost: str
    """Words that the hand is not seen at the end; empty if it is."""


def find_events(track: HandTrack, *, grasp: float | None = None, release: float | None = None) -> Events:
    """Return grasp and release of a recording.

    If one of them is given, the other one is found: the release after the given grasp, or the grasp before the given
    release.

    Args:
        track: The recording.
        grasp: Time of the grasp if it is known, seconds.
        release: Time of the release if it is known, seconds.

    Raises:
        ValueError: A given time is outside of the recording, or the release is not after the grasp.
    """
    for name, time in (("grasp", grasp), ("release", release)):
        if time is not None and not track.times[0] <= time <= track.times[-1]:
            raise ValueError(
                f"{name} at {time:g} s is outside of the recording, {track.times[0]:g} to {track.times[-1]:g} s"
            )
    if grasp is not None and release is not None:
        if release <= grasp:
            raise ValueError(f"release at {release:g} s is not after the grasp at {grasp:g} s")
        return Events(grasp, release, "given")
    if grasp is not None:
        return _release_after(track, grasp)
    found = _from_objects(track) if track.objects else None
    if found is None or found.grasp is None:
        by_hand = _from_aperture(track, release)
        if found is None or by_hand.grasp is not None:
            found = by_hand
    if release is None or found.grasp is None:
        return found
    if release <= found.grasp:
        raise ValueError(
            f"release at {release:g} s is not after the grasp found at {found.grasp:.2f} s: give --grasp as well, or "
            "a later --release"
        )
    return replace(found, release=release)


def _none(reason: str) -> Events:
    return Events(None, None, "none", reason=reason)


def _release_after(track: HandTrack, grasp: float) -> Events:
    """Return a given grasp with the first release after it; None and a reason where the recording shows none."""
    moved = movement_of_held(track) if track.objects else None
    lost = moved.lost if isinstance(moved, Movement) else ""
    if isinstance(moved, Movement) and not lost and (moved.release is None or moved.release > grasp):
        return Events(grasp, moved.release, "object", moved.uncertainty)
    fingers = _fingers(track)
    if isinstance(fingers, str):
        return Events(grasp, None, "given", reason=f"{lost or fingers}; give --release")
    end = next((end for _, end in fingers.closed if track.times[end] > grasp), None)
    if end is None:
        state = fingers.lost or "is not closed after the grasp"
        return Events(grasp, None, "given", reason=f"the hand {state}; give --release")
    if end == len(track.times) - 1:
        return Events(grasp, None, "given", reason=fingers.lost and f"the hand {fingers.lost}; give --release")
    edge = _fit_edge(track.times, fingers.aperture, fingers.known, end, fingers.limit, closing=False)
    if not isinstance(edge, str) and edge.time <= grasp:
        edge = "is not after the grasp"
    if isinstance(edge, str):
        reason = f"the opening at {track.times[end]:.2f} s {edge}; give --release"
        return Events(grasp, None, "given", reason=reason)
    return Events(grasp, edge.time, "aperture", edge.uncertainty)


def _from_objects(track: HandTrack) -> Events:
    """Return the events of the object that moves farthest: the hand holds it from its first to its last movement."""
    moved = movement_of_held(track)
    if isinstance(moved, str):
        return _none(moved)
    if moved.grasp is None:
        return _none(moved.reason)
    if moved.lost:
        return _none(f"{moved.lost}; give --release")
    return Events(moved.grasp, moved.release, "object", moved.uncertainty)


def _from_aperture(track: HandTrack, release: float | None) -> Events:
    """Return the events of the fingers; with a given release, the grasp before it."""
    fingers = _fingers(track)
    if isinstance(fingers, str):
        return _none(f"{fingers}; give --grasp")
    times, aperture, known, limit = track.times, fingers.aperture, fingers.known, fingers.limit
    complete = [(start, end) for start, end in fingers.closed if start > 0]
    if not complete:
        if fingers.lost and not fingers.closed:
            return _none(
                f"the hand {fingers.lost}, and closes for less than {CLOSED_TIME} s before; give --grasp and "
                "--release"
            )
        state = "is closed from the first frame on" if fingers.closed else "never closes"
        return _none(f"the hand {state}; give --grasp")
    # A given release selects the last grasp before it; if there is none, the first grasp is the one to compare with.
    before = [each for each in complete if release is not None and times[each[0]] < release]
    chosen = _farthest(track, complete) if release is None else before[-1] if before else complete[0]
    if chosen is None:
        listed = ", ".join(_times_of(track, fingers, interval) for interval in complete[:8])
        return _none(f"the hand closes several times: {listed}; give --grasp or --release")
    start, end = chosen
    grasp = _fit_edge(times, aperture, known, start, limit, closing=True)
    if isinstance(grasp, str):
        return _none(f"the closing at {times[start]:.2f} s {grasp}; give --grasp")
    if release is None and end == len(times) - 1 and fingers.lost:
        return _none(f"the hand {fingers.lost}; give --release")
    if release is not None or end == len(times) - 1:
        return Events(grasp.time, None, "aperture", grasp.uncertainty)
    opening = _fit_edge(times, aperture, known, end, limit, closing=False)
    if isinstance(opening, str):
        return _none(f"the opening at {times[end]:.2f} s {opening}; give --grasp and --release")
    if opening.time - grasp.time < CLOSED_TIME / 2:
        return _none(f"the hand is closed only from {grasp.time:.2f} to {opening.time:.2f} s; give --grasp")
    return Events(grasp.time, opening.time, "aperture", max(grasp.uncertainty, opening.uncertainty))


def _times_of(track: HandTrack, fingers: _Fingers, interval: tuple[int, int]) -> str:
    """Return a text with the times at which the hand is closed: fitted, or of the thresholds where none fits."""
    times, (start, end) = track.times, interval
    closing = _fit_edge(times, fingers.aperture, fingers.known, start, fingers.limit, closing=True)
    first = times[start] if isinstance(closing, str) else closing.time
    if end == len(times) - 1:
        return f"from {first:.2f} s on"
    opening = _fit_edge(times, fingers.aperture, fingers.known, end, fingers.limit, closing=False)
    return f"{first:.2f} to {times[end] if isinstance(opening, str) else opening.time:.2f} s"


def _fingers(track: HandTrack) -> _Fingers | str:
    """Return the aperture and when the hand is closed, or an error message."""
    if not track.has_fingers:
        return "the recording has no thumb and index finger, and no object that moves"
    times, aperture = track.times, track.aperture
    if track.frame == "image":
        if not track.has_palm:
            return "the palm (wrist and knuckles) is not seen"
        # In palms: the distance to the camera does not matter.
        aperture = aperture / smooth(times, fill_gaps(times, track.palm_size), 0.25)
    known = np.asarray(np.isfinite(aperture))
    filled = smooth(times, fill_gaps(times, aperture), SMOOTHING)
    low, high = np.percentile(filled, [5, 95])
    contrast = float(high - low)
    noise = noise_of(aperture)
    smoothed = noise / max(np.sqrt(SMOOTHING * track.rate * 3.5), 1.0)
    if contrast < max(MIN_CONTRAST[track.frame], MIN_SIGNIFICANCE * smoothed):
        unit = "palms" if track.frame == "image" else "m"
        return f"thumb and index finger hardly move apart ({contrast:.3f} {unit})"
    visible = min(contrast / FULL_CONTRAST, 1.0) if track.frame == "image" else 1.0
    closed = _closed_intervals(times, (filled - low) / contrast, known)
    hidden_from = unseen_from(track, times[known])
    lost = "" if hidden_from is None else f"is not seen from {hidden_from:.2f} s on"
    return _Fingers(aperture, known, MAX_UNCERTAINTY * visible**2, closed, lost)


def _closed_intervals(times: Floats, level: Floats, known: Flags) -> list[tuple[int, int]]:
    """Return first and last frame of each period in which the hand is closed, of a level in [0, 1]."""
    states = np.zeros(len(level), dtype=bool)
    state = bool(level[0] < (LOW + HIGH) / 2)
    for index, value in enumerate(level):
        state = value < (HIGH if state else LOW)
        states[index] = state
    intervals = runs(states)
    merged: list[tuple[int, int]] = []
    for start, end in intervals:
        if merged and times[start] - times[merged[-1][1]] < OPEN_TIME:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return [
        (start, end)
        for start, end in merged
        if _seen_time(times[start : end + 1][known[start : end + 1]]) >= CLOSED_TIME
    ]


def _seen_time(seen: Floats) -> float:
    """Return how long a hand is seen, of the times at which it is; short gaps count as seen."""
    steps = np.diff(seen)
    return float(steps[steps <= MAX_UNSEEN].sum())


def _farthest(track: HandTrack, intervals: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the interval in which the hand moves much farther than in the others; None if there is none."""
    if len(intervals) == 1:
        return intervals[0]
    axes = 2 if track.frame == "image" else 3
    path = smooth(track.times, fill_gaps(track.times, track.pinch[:, :axes]), 0.1)
    travels = [float(np.linalg.norm(path[start:end] - path[start], axis=1).max()) for start, end in intervals]
    order = sorted(range(len(intervals)), key=lambda index: -travels[index])
    return intervals[order[0]] if travels[order[0]] >= DOMINANCE * travels[order[1]] else None


def _fit_edge(
    times: Floats, aperture: Floats, known: Flags, crossing: int, limit: float, *, closing: bool
) -> _Edge | str:
    """Return the end of a closing, or the start of an opening, near a crossing of the thresholds.

    Two plateaus with a movement of least jerk between (Flash and Hogan 1985) are fitted to the observed apertures by
    least squares, with the usual duration of such movements as prior.

    Returns:
        The time and its standard deviation, or an error message.
    """
    center = times[crossing]
    near = known & (np.abs(times - center) <= RAMP_WINDOW)
    t, values = times[near], aperture[near]
    inner = times[known & (np.abs(times - center) <= 1.5 * RAMP_WINDOW)]
    if len(t) < 8:
        return "is hidden"
    if not closing:
        # The mirrored opening is a closing.
        t, values = (2 * center - t)[::-1], values[::-1]
    step = float(np.median(np.diff(times)))
    ends = center + np.arange(-RAMP_WINDOW + 2 * step, RAMP_WINDOW - 2 * step, step / 2)
    lengths = np.arange(max(2 * step, SHORTEST_RAMP), LONGEST_RAMP, 0.04)
    phase = np.clip(1.0 + (t - ends[:, None, None]) / lengths[:, None], 0.0, 1.0)
    residuals = _residuals(1.0 - phase**3 * (10 - 15 * phase + 6 * phase**2), values)
    variance = max(float(residuals.min()) / max(len(t) - 4, 1), 1e-12)
    costs = (residuals + variance * ((lengths - USUAL_RAMP) / RAMP_SPREAD) ** 2).min(axis=1)
    time = float(ends[costs.argmin()])
    # Times whose fit is nearly as good: two standard deviations.
    plausible = ends[costs <= costs.min() + 4.0 * variance]
    uncertainty = max(float(np.ptp(plausible)) / 4.0, step / 4.0)
    if uncertainty > limit:
        return f"is not sharp ({uncertainty:.2f} s)"
    result = time if closing else 2 * center - time
    for before, after in pairwise(inner):
        if after - before > MAX_UNSEEN and before <= result + 2 * uncertainty and after >= result - 2 * uncertainty:
            return f"is hidden from {before:.2f} to {after:.2f} s"
    return _Edge(float(result), uncertainty)


def _residuals(levels: Floats, values: Floats) -> Floats:
    """Return the sum of squares that a rising line of the values over each level leaves, shape (ends, lengths)."""
    centered = levels - levels.mean(axis=-1, keepdims=True)
    deviation = values - values.mean()
    spread = np.maximum((centered**2).sum(axis=-1), 1e-9)
    shared = np.maximum(centered @ deviation, 0.0)
    return np.asarray(deviation @ deviation - shared**2 / spread)

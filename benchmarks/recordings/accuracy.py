"""Accuracy of grasp and release in synthetic images, and refusal of recordings that show no hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from benchmarks.recordings.synthetic import FPS, MISSING, NOISE, VIEWS, Scene, carry_box, seen_by
from demos.human.events import Events, find_events
from demos.human.motion.hand_motion import HandMotion, make_motion
from demos.human.track import HandTrack

RECORDINGS = 100
"""Recordings of each row."""
FIRST_SEED = 50_000
"""The methods were tuned on other seeds."""
CLOSE = 5.0
"""Largest error of an event that counts as found, frames."""
CONTROLS = ("time shuffled", "random walk")
"""Recordings that show no motion of a hand."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy in one view.

    Attributes:
        view: Name of the view.
        recordings: Number of recordings.
        close: Recordings whose events are both within ``CLOSE`` frames.
        refused: Recordings in which no events are found, for a given reason.
        wrong: Seeds whose events are found elsewhere, without a warning.
        frames_median: Error of an event, frames: median; None if all recordings are refused.
        frames_p90: 90th percentile.
        millimeters_median: Error of the grip's position at an event, mm: median.
        millimeters_p90: 90th percentile.
    """

    view: str
    recordings: int
    close: int
    refused: int
    wrong: list[int]
    frames_median: float | None
    frames_p90: float | None
    millimeters_median: float | None
    millimeters_p90: float | None


@dataclass(frozen=True)
class Refusals:
    """Refusals of recordings that show no motion of a hand.

    Attributes:
        control: Entry of ``CONTROLS``.
        recordings: Number of recordings.
        refused: Recordings that are refused although grasp and release are given.
        refused_events: Recordings in which no events are found.
    """

    control: str
    recordings: int
    refused: int
    refused_events: int


def record(view: str, seed: int) -> tuple[Scene, HandTrack]:
    """Return a synthetic scene, and its recording with noise and gaps."""
    rng = np.random.default_rng(seed)
    scene = carry_box(rng)
    return scene, seen_by(VIEWS[view](), scene, rng, noise=NOISE, missing=MISSING)


def accuracy(view: str, first: int = FIRST_SEED, count: int = RECORDINGS) -> dict[str, object]:
    """Measure the accuracy in one view; return the fields of :class:`Accuracy`."""
    frames: list[float] = []
    millimeters: list[float] = []
    close, refused = 0, 0
    wrong: list[int] = []
    for seed in range(first, first + count):
        scene, track = record(view, seed)
        events = find_events(track)
        if events.grasp is None or events.release is None:
            refused += 1
            continue
        errors = [FPS * abs(events.grasp - scene.grasp), FPS * abs(events.release - scene.release)]
        frames += errors
        close += max(errors) <= CLOSE
        if max(errors) > CLOSE:
            wrong.append(seed)
        millimeters += position_errors(scene, make_motion(track, events, camera=VIEWS[view]()))
    figures = [_percentile(values, part) for values in (frames, millimeters) for part in (50, 90)]
    return asdict(Accuracy(view, count, close, refused, wrong, *figures))


def _percentile(values: list[float], part: float) -> float | None:
    return round(float(np.percentile(values, part)), 2) if values else None


def position_errors(scene: Scene, motion: HandMotion) -> list[float]:
    """Return the error of the grip's position at grasp and release, mm."""
    ends = [(motion.grasp, scene.start)]
    if motion.release is not None:
        ends.append((motion.release, scene.end))
    return [1000 * float(np.linalg.norm(motion.points[index] - position)) for index, position in ends]


def refusals(control: str, first: int = FIRST_SEED, count: int = RECORDINGS) -> dict[str, object]:
    """Measure how many recordings of a control are refused; return the fields of :class:`Refusals`."""
    refused, refused_events = 0, 0
    for seed in range(first, first + count):
        scene, track = record("front", seed)
        track = controlled(track, control, np.random.default_rng(seed))
        refused_events += find_events(track).grasp is None
        try:
            make_motion(track, Events(scene.grasp, scene.release, "given"), camera=VIEWS["front"]())
        except ValueError:
            refused += 1
    return asdict(Refusals(control, count, refused, refused_events))


def controlled(track: HandTrack, control: str, rng: np.random.Generator) -> HandTrack:
    """Return a recording whose frames are in random order, or whose hand moves at random."""
    if control == "time shuffled":
        order = rng.permutation(len(track.times))
        return replace(track, points=track.points[order], confidence=track.confidence[order])
    known = np.isfinite(track.pinch).all(axis=1)
    speeds = np.linalg.norm(np.diff(track.pinch[known, :2], axis=0), axis=1)
    steps = float(speeds.mean()) * rng.standard_normal((len(track.times), 1, 2)) / np.sqrt(2)
    walk = np.concatenate([np.cumsum(steps, axis=0), np.zeros((len(steps), 1, 1))], axis=2)
    # Only the position moves at random; the hand opens and closes as the person's.
    shape = track.points - track.pinch[:, None]
    start = track.pinch[known][0]
    return replace(track, points=np.where(track.confidence[:, :, None] > 0, start + walk + shape, np.nan))

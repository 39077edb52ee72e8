"""Motion of a person's grip in the frame of a table: what the robot imitates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from demos.human.calibration.camera import Camera, frame_of_up
from demos.human.events import Events
from demos.human.signals import fill_gaps, low_pass, smooth, smoothness_of
from demos.human.track import GAP, Floats, HandTrack
from demos.runtime.types import JsonObject

FORMAT = "lam-envs hand motion 1"
RATE = 20.0
"""Samples per second of a motion, that of the robot's control."""
BAND = 5.0
"""Frequency up to which the path is kept, Hz."""
LONGEST_APPROACH, LONGEST_RETREAT = 4.0, 2.0
"""Longest time before the grasp and after the release that is imitated, seconds."""
MAX_SAMPLES = 6000
MAX_SPEED = 100.0
"""Largest speed of an imitation, as a multiple of the person's."""
MIN_SMOOTHNESS = 0.55
"""Least correlation of successive velocities of a hand; of 100 random walks the highest had 0.50."""
MAX_HIDDEN = 0.5
"""Longest gap in the track of the hand between grasp and release, seconds: the path is a straight line there."""
MIN_APPROACH = 0.25
"""Shortest approach that is imitated, seconds: with less, most of the reach is not seen."""
MIN_TRAVEL = 0.02
"""Smallest movement of a hand, and before the grasp of an approach, meters."""
GRIP_HEIGHT = 0.02
"""Height of the grip above the table at grasp and release, meters: half of a cube."""
PALM_SMOOTHING = 0.15
"""Standard deviation of the filter of the palm's size, seconds."""


@dataclass(frozen=True)
class HandMotion:
    """Path of a grip over a table, from the start of the approach to the end of the retreat.

    The recording does not show the approach if the grasp is its first sample.

    Attributes:
        points: Positions at ``RATE``, meters, z up, shape (N, 3).
        grasp: Index of the grasp.
        release: Index of the release; None if the hand holds on to the end.
        smoothness: Correlation of successive velocities.
        source: Description of the recording.
        speed: Speed of the imitation, as a multiple of the person's, from 0.01 to 100. The robot does not exceed its
            own limits, so a large number means: as fast as it can. The path does not change.

    Raises:
        ValueError: A value is invalid.
    """

    points: Floats
    grasp: int
    release: int | None
    smoothness: float = 1.0
    source: str = ""
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        count = len(self.points)
        if self.points.shape != (count, 3) or not 2 <= count <= MAX_SAMPLES or not np.isfinite(self.points).all():
            raise ValueError(
                f"a motion of shape {self.points.shape}; expected (N, 3) finite numbers, N from 2 to {MAX_SAMPLES}"
            )
        if np.abs(self.points).max() > 1000:
            raise ValueError("positions of more than 1000 m; expected meters")
        if not 0 <= self.grasp < count or (self.release is not None and not self.grasp < self.release < count):
            raise ValueError(f"grasp {self.grasp} and release {self.release} of {count} samples")
        if not -1 <= self.smoothness <= 1:
            raise ValueError(f"smoothness is {self.smoothness}; expected a number from -1 to 1")
        if not 1 / MAX_SPEED <= self.speed <= MAX_SPEED:
            raise ValueError(f"speed is {self.speed:g}; expected a number from {1 / MAX_SPEED:g} to {MAX_SPEED:g}")

    @property
    def approach(self) -> Floats:
        """Path to the grasp."""
        return self.points[: self.grasp + 1]

    @property
    def carry(self) -> Floats:
        """Path from the grasp to the release, or to the end."""
        return self.points[self.grasp : None if self.release is None else self.release + 1]

    @property
    def retreat(self) -> Floats:
        """Path after the release; one point if there is none."""
        return self.points[-1 if self.release is None else self.release :]

    def as_json(self) -> JsonObject:
        """Return the motion as a JSON object, with positions in steps of 0.1 mm."""
        return {
            "format": FORMAT,
            "points": np.round(self.points, 4).tolist(),
            "grasp": self.grasp,
            "release": self.release,
            "smoothness": round(self.smoothness, 4),
            "source": self.source,
            **({} if self.speed == 1 else {"speed": self.speed}),
        }


def motion_of_json(content: Mapping[str, Any]) -> HandMotion:
    """Return the motion of a JSON object.

    Raises:
        ValueError: It is invalid.
    """
    if content.get("format") != FORMAT:
        raise ValueError(f"no hand motion: format is {content.get('format')!r}; expected {FORMAT!r}")
    grasp, release = content.get("grasp"), content.get("release")
    if not isinstance(grasp, int) or not (release is None or isinstance(release, int)):
        raise ValueError(f"grasp {grasp!r} and release {release!r}; expected whole numbers")
    try:
        points = np.array(content.get("points"), dtype=np.float64)
        smoothness, speed = float(content.get("smoothness", 1.0)), float(content.get("speed", 1.0))
    except (TypeError, ValueError) as error:
        raise ValueError(f"points, smoothness or speed: {error}") from None
    return HandMotion(points, grasp, release, smoothness, str(content.get("source", "")), speed)


def make_motion(
    track: HandTrack,
    events: Events,
    *,
    camera: Camera | None = None,
    frame: npt.ArrayLike | None = None,
    grip_height: float = GRIP_HEIGHT,
) -> HandMotion:
    """Return the motion of a recording in the frame of the table.

    The motion begins and ends where the hand is seen: it leaves out what is before a long gap in the approach, or
    after one in the retreat. Its source then names the part that is imitated.

    Args:
        track: The recording.
        events: Its grasp and release.
        camera: Camera of a recording in images; None for a metric recording.
        frame: Transform to the table's frame of a metric recording, shape (4, 4); from its direction up by default.
            None for a recording in images.
        grip_height: Height of the grip above the table at grasp and release, meters; for images.

    Raises:
        ValueError: An event or the calibration is missing, the calibration is of the other kind, the hand is hidden
            for long between grasp and release, or the recording is too long, or not the motion of a hand.
    """
    _check_calibration(track, camera, frame)
    if track.frame == "image" and not track.has_palm:
        raise ValueError(
            "the palm (wrist and knuckles) is not seen in any frame: in images its size gives the distance to the "
            "camera; expected points 0, 5, 9, 13 and 17 of the hand: record them, too"
        )
    if events.grasp is None:
        raise ValueError(f"no grasp found: {events.reason}")
    seen = _seen_times(track)
    _check_visible(track, seen, events.grasp, events.release)
    start = max(events.grasp - LONGEST_APPROACH, float(track.times[0]))
    last = float(seen[-1])
    end = last if events.release is None else max(min(events.release + LONGEST_RETREAT, last), events.release)
    if track.frame == "image":
        path = _path_in_images(track, events, _camera_of(track, camera), grip_height)
    else:
        path = _path_in_space(track, frame)
        inside = (track.times >= start) & (track.times <= end)
        travel = float(np.linalg.norm(np.ptp(path[inside], axis=0)))
        if travel < MIN_TRAVEL:
            raise ValueError(
                f"the {track.hand} hand moves by only {1000 * travel:.2g} mm; choose the other hand (--hand), or "
                "give the length of a unit in meters (--unit)"
            )
    start, end, note = _without_hidden(track, seen, events.grasp, events.release, start, end)
    smoothness = smoothness_of(track, start, end if events.release is None else events.release)
    if smoothness < MIN_SMOOTHNESS:
        raise ValueError(
            f"this is not the motion of a hand: its direction changes at random (smoothness {smoothness:.2f}, "
            f"expected at least {MIN_SMOOTHNESS}). The frames may be out of order, or the points very noisy"
        )
    path = low_pass(track.times, path, BAND)
    start = _departure(track.times, path, start, events.grasp)
    times = np.arange(start, end + 0.5 / RATE, 1.0 / RATE)
    if len(times) > MAX_SAMPLES:
        raise ValueError(
            f"the motion lasts {end - start:.0f} s, from {start:.2f} s to "
            f"{'the end, as no release is known' if events.release is None else f'{end:.2f} s'}; expected at most "
            f"{MAX_SAMPLES / RATE:.0f} s: give an earlier release (--release), or a later grasp (--grasp)"
        )
    points = np.stack([np.interp(times, track.times, column) for column in path.T], axis=1)
    grasp = min(round((events.grasp - start) * RATE), len(points) - 2)
    release = None
    if events.release is not None:
        release = min(max(round((events.release - start) * RATE), grasp + 1), len(points) - 1)
    return HandMotion(
        points, grasp, release, smoothness, f"{track.source}; {track.hand} hand, events: {events.method}{note}"
    )


def _seen_times(track: HandTrack) -> Floats:
    """Return the times at which the grip is seen, and in images the palm, which gives its depth."""
    known = np.isfinite(track.pinch).all(axis=1)
    if track.frame == "image":
        known &= np.isfinite(track.palm_size)
    return np.asarray(track.times[known])


def _check_calibration(track: HandTrack, camera: Camera | None, frame: npt.ArrayLike | None) -> None:
    """Refuse the calibration of another kind of recording.

    Raises:
        ValueError: A metric recording has a camera, or one in images has a frame.
    """
    if track.frame != "image" and camera is not None:
        raise ValueError(
            "the recording is in meters and a camera is given; expected a camera only for recordings in pixels: "
            "leave out --camera"
        )
    if track.frame == "image" and frame is not None:
        raise ValueError(
            "the recording is in pixels and the frame of its table is given; expected a camera, which defines the "
            "table: leave out --table, and give --camera"
        )


def _longest_gap(track: HandTrack) -> float:
    """Return the longest gap that is filled, seconds."""
    return max(MAX_HIDDEN, GAP / track.rate)


def _without_hidden(
    track: HandTrack, seen: Floats, grasp: float, release: float | None, start: float, end: float
) -> tuple[float, float, str]:
    """Return start and end of the motion without what is beyond a long gap, and a note about it for the source."""
    first, last = start, end
    edges = np.concatenate((track.times[:1], seen))
    for before, after in pairwise(edges.tolist()):
        if after - before > _longest_gap(track):
            if before < grasp:
                first = max(first, min(after, grasp))
            elif release is not None and after > release:
                last = min(last, max(before, release))
    if grasp - first < MIN_APPROACH:
        return grasp, last, ", without an approach"
    if (first, last) == (start, end):
        return start, end, ""
    return first, last, f", imitated from {first:.2f} to {last:.2f} s, where the hand is seen"


def _check_visible(track: HandTrack, seen: Floats, grasp: float, release: float | None) -> None:
    """Check that the hand is not hidden for long between grasp and release.

    Raises:
        ValueError: The hand is hidden for longer than :data:`MAX_HIDDEN`, or not seen after the grasp.
    """
    if not len(seen) or seen[-1] <= grasp:
        raise ValueError(
            f"the hand is not seen after the grasp at {grasp:.2f} s; expected the whole hand in view: record again, "
            "or give an earlier grasp (--grasp)"
        )
    # A hand that holds on may leave the view at the end.
    last = track.times[:0] if release is None else track.times[-1:]
    edges = np.concatenate((track.times[:1], seen, last))
    starts = np.maximum(edges[:-1], grasp)
    ends = edges[1:] if release is None else np.minimum(edges[1:], release)
    long = ends - starts > _longest_gap(track)
    if long.any():
        hidden = np.stack([edges[:-1], edges[1:]], axis=1)[long]
        listed = ", ".join(f"{before:.2f} to {after:.2f} s" for before, after in hidden[:8])
        raise ValueError(
            f"between grasp and release the hand is hidden from {listed}; expected at most {MAX_HIDDEN} s at a time: "
            "record again with the whole hand in view, or give other times (--grasp, --release)"
        )


def _camera_of(track: HandTrack, camera: Camera | None) -> Camera:
    """Return the camera of a recording in images.

    Raises:
        ValueError: It is missing, or has images of another size.
    """
    if camera is None:
        raise ValueError("the recording is in pixels; give its camera (python -m demos human calibrate)")
    if track.image_size not in (None, camera.image_size):
        raise ValueError(
            f"the camera has images of {_size(camera.image_size)} pixels, and the recording of "
            f"{_size(track.image_size)}; expected one size: calibrate on a frame of the recording"
        )
    return camera


def _size(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size or ()))


def _departure(times: Floats, path: Floats, start: float, grasp: float) -> float:
    """Return the time at which the hand leaves for the grasp: the last one at which it is where it started."""
    before = np.flatnonzero((times >= start) & (times <= grasp))
    if len(before) < 2:
        return start
    moved = np.linalg.norm(path[before] - path[before[0]], axis=1)
    near = before[moved <= MIN_TRAVEL]
    return float(times[near[-1]]) if moved.max() > 2 * MIN_TRAVEL else start


def _path_in_space(track: HandTrack, frame: npt.ArrayLike | None) -> Floats:
    if frame is None and track.up is None:
        raise ValueError("the up axis is unknown: pass --up y, or three points of the table with --table")
    transform = frame_of_up(track.up) if frame is None and track.up is not None else np.array(frame, dtype=np.float64)
    path = fill_gaps(track.times, track.pinch)
    return np.asarray(path @ transform[:3, :3].T + transform[:3, 3])


def _path_in_images(track: HandTrack, events: Events, camera: Camera, grip_height: float) -> Floats:
    """Return the path of the grip in the table's frame.

    At grasp and release the ray of the grip meets the plane of the grip's height. Between them the size of the palm
    gives the depth; both ends fix its scale, which depends on how the hand is turned.
    """
    times = track.times
    pixels = smooth(times, fill_gaps(times, track.pinch[:, :2]), 0.05)
    palm = smooth(times, fill_gaps(times, track.palm_size), PALM_SMOOTHING)
    scales = []
    ends = [time for time in (events.grasp, events.release) if time is not None]
    for time in ends:
        pixel = np.array([[np.interp(time, times, column) for column in pixels.T]])
        depth = float(camera.depth_at_height(pixel, grip_height)[0])
        if not math.isfinite(depth):
            raise ValueError(f"at {time:.2f} s the hand is not above the table; check the calibration")
        scales.append(depth * float(np.interp(time, times, palm)))
    scale = np.exp(np.interp(times, ends, np.log(scales)))
    return camera.at_depth(pixels, scale / palm)

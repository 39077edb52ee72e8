"""Hand track: the 21 points of a hand over time, in the order of OpenPose and MediaPipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Frame = Literal["image", "camera", "world"]
Hand = Literal["left", "right"]
HANDS: tuple[Hand, ...] = ("left", "right")
Vector = tuple[float, float, float]

POINTS = 21
"""Points of a hand."""
WRIST = 0
THUMB_TIP, INDEX_TIP = 4, 8
PALM = (0, 5, 9, 13, 17)
"""Wrist and knuckles, whose distances barely change."""
MIN_PALM = 1e-6
"""Smallest size of a palm, meters or pixels: below it all its points are one, up to rounding."""
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
POINT_NAMES = ("wrist", *(f"{finger}_{number}" for finger in FINGERS for number in (1, 2, 3, "tip")))
"""Names of the points in their order."""
MAX_FRAMES = 500_000
"""Most frames of a track: 2 hours at 60 frames per second."""
GAP = 1.5
"""Time between two frames, in frames of the median rate, from which frames are missing."""


@dataclass(frozen=True)
class HandTrack:
    """Points of one hand over time, and the positions of tracked objects.

    Attributes:
        times: Increasing times in seconds, shape (T,).
        points: Positions in the order of ``POINT_NAMES``, shape (T, 21, 3); NaN: missing. In the frame ``image``
            x and y are pixels from the upper left corner, and z is 0 or a relative depth. In the frames
            ``camera`` (as the device defines it) and ``world`` they are meters.
        confidence: Confidence of each point, in [0, 1], shape (T, 21); 0 where a point is missing.
        frame: ``image``, ``camera`` or ``world``.
        hand: ``left`` or ``right``.
        objects: Positions of tracked objects by name, shape (T, 3), in the same frame.
        up: Unit vector that points up in the frame; None if unknown.
        image_size: Width and height of the images, pixels; None if unknown.
        source: Description of the recording's origin.

    Raises:
        ValueError: A shape or a value is invalid.
    """

    times: Floats
    points: Floats
    confidence: Floats
    frame: Frame
    hand: Hand
    objects: Mapping[str, Floats] = field(default_factory=dict)
    up: Vector | None = None
    image_size: tuple[int, int] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        """Check shapes and values."""
        count = len(self.times)
        if self.times.ndim != 1 or not 2 <= count <= MAX_FRAMES:
            raise ValueError(f"times have the shape {self.times.shape}; expected (T,), T from 2 to {MAX_FRAMES:,}")
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            bad = int(np.argmin(np.diff(self.times))) + 1 if np.isfinite(self.times).all() else "?"
            raise ValueError(f"times do not increase at frame {bad}; expected increasing seconds")
        for name, array, shape in (
            ("points", self.points, (count, POINTS, 3)),
            ("confidence", self.confidence, (count, POINTS)),
            *((f"object {name!r}", array, (count, 3)) for name, array in self.objects.items()),
        ):
            if array.shape != shape:
                raise ValueError(f"{name} have the shape {array.shape}; expected {shape}")
            if np.isinf(array).any():
                raise ValueError(f"{name} have infinite values; expected finite ones, or NaN where missing")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise ValueError("confidence is outside of [0, 1]")
        missing = np.isnan(self.points).any(axis=2)
        if (missing != (self.confidence == 0)).any():
            raise ValueError("confidence is not 0 exactly where a point is missing")
        if self.frame not in get_args(Frame) or self.hand not in get_args(Hand):
            raise ValueError(
                f"frame is {self.frame!r} and hand {self.hand!r}; expected {get_args(Frame)} and {get_args(Hand)}"
            )
        if self.up is not None and not math.isclose(math.hypot(*self.up), 1.0, abs_tol=1e-6):
            raise ValueError(f"up is {self.up}; expected a unit vector")
        if self.image_size is not None and not all(0 < size <= 100_000 for size in self.image_size):
            raise ValueError(f"image_size is {self.image_size}; expected a width and a height in pixels")

    @property
    def seen(self) -> Flags:
        """Frames in which at least one point is seen, shape (T,)."""
        return np.asarray(np.any(self.confidence > 0, axis=1))

    @property
    def rate(self) -> float:
        """Frames per second."""
        return float(1.0 / np.median(np.diff(self.times)))

    @property
    def gaps(self) -> list[tuple[float, float]]:
        """Start and end, in seconds, of the periods in which no point is seen or frames are missing."""
        seen = self.times[self.seen]
        if not len(seen):
            return [(float(self.times[0]), float(self.times[-1]))]
        period = 1.0 / self.rate
        first, last = float(self.times[0]), float(self.times[-1])
        # A single missing frame at an end is a gap too.
        edges = np.concatenate(([first - period], seen, [last + period]))
        return [
            (max(float(start), first), min(float(end), last))
            for start, end in pairwise(edges)
            if end - start > GAP * period
        ]

    @property
    def has_fingers(self) -> bool:
        """True if the tips of thumb and index finger are seen together in some frames."""
        return bool(np.isfinite(self.aperture).sum() >= 2)

    @property
    def aperture(self) -> Floats:
        """Distance between the tips of thumb and index finger, shape (T,), meters or pixels; NaN where missing.

        In images only x and y count.
        """
        axes = 2 if self.frame == "image" else 3
        tips = self.points[:, [THUMB_TIP, INDEX_TIP], :axes]
        return np.asarray(np.linalg.norm(tips[:, 0] - tips[:, 1], axis=1))

    @property
    def palm_size(self) -> Floats:
        """Root mean square distance between wrist and knuckles, shape (T,), meters or pixels.

        NaN where a point is missing, or where all are in one place.
        """
        axes = 2 if self.frame == "image" else 3
        palm = self.points[:, list(PALM), :axes]
        size = np.sqrt(2.0 * palm.var(axis=1).sum(axis=1) * len(PALM) / (len(PALM) - 1))
        return np.where(size > MIN_PALM, size, np.nan)

    @property
    def has_palm(self) -> bool:
        """True if the palm's size is known in some frames."""
        return bool(np.isfinite(self.palm_size).any())

    @property
    def pinch(self) -> Floats:
        """Position of the grip, shape (T, 3): between the tips of thumb and index finger.

        Recordings without these two have the mean of the finger points instead, or else the wrist.
        """
        if self.has_fingers:
            return np.asarray(self.points[:, [THUMB_TIP, INDEX_TIP]].mean(axis=1))
        fingers = self.points[:, 1:]
        if np.isfinite(fingers).any():
            present = np.asarray(np.isfinite(fingers).all(axis=2))
            # A mean of other points in other frames would jump: use the points that most frames have.
            often = present.sum(axis=0) >= 0.8 * present.any(axis=1).sum()
            return np.asarray(fingers[:, often].mean(axis=1))
        return self.points[:, WRIST]

    def cut(self, start: float, end: float) -> HandTrack:
        """Return the part between two times, seconds.

        Raises:
            ValueError: Fewer than 2 frames are in it.
        """
        part = (self.times >= start) & (self.times <= end)
        return replace(
            self,
            times=self.times[part],
            points=self.points[part],
            confidence=self.confidence[part],
            objects={name: positions[part] for name, positions in self.objects.items()},
        )


def make_track(
    times: npt.ArrayLike,
    points: npt.ArrayLike,
    frame: Frame,
    hand: Hand,
    *,
    confidence: npt.ArrayLike | None = None,
    objects: Mapping[str, Floats] | None = None,
    up: Vector | None = None,
    image_size: tuple[int, int] | None = None,
    source: str = "",
) -> HandTrack:
    """Return a track of arrays of any numeric type; points are missing where a coordinate is NaN or confidence is 0.

    Args:
        times: Seconds, shape (T,).
        points: Shape (T, 21, 2) or (T, 21, 3).
        frame: Frame of the points.
        hand: Hand that they belong to.
        confidence: Shape (T,) or (T, 21), clipped to [0, 1]; 1 by default.
        objects: Positions of objects by name, shape (T, 3).
        up: Unit vector that points up; None if unknown.
        image_size: Width and height, pixels; None if unknown.
        source: Description of the recording's origin.

    Raises:
        ValueError: A shape or a value is invalid.
    """
    seconds = np.array(times, dtype=np.float64)
    positions = np.array(points, dtype=np.float64)
    if positions.ndim != 3 or positions.shape[1] != POINTS or positions.shape[2] not in (2, 3):
        raise ValueError(f"points have the shape {positions.shape}; expected (T, {POINTS}, 2) or (T, {POINTS}, 3)")
    if positions.shape[2] == 2:
        positions = np.concatenate([positions, np.zeros((*positions.shape[:2], 1))], axis=2)
    certain = np.ones(positions.shape[:2]) if confidence is None else np.array(confidence, dtype=np.float64)
    if certain.ndim == 1:
        certain = np.repeat(certain[:, None], POINTS, axis=1)
    if certain.shape != positions.shape[:2]:
        raise ValueError(f"confidence has the shape {certain.shape}; expected {positions.shape[:2]}")
    certain = np.clip(np.nan_to_num(certain), 0.0, 1.0)
    missing = np.isnan(positions).any(axis=2) | (certain == 0)
    positions[missing] = np.nan
    certain[missing] = 0.0
    return HandTrack(seconds, positions, certain, frame, hand, dict(objects or {}), up, image_size, source)

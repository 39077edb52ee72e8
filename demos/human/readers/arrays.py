"""Plain arrays of hand points: NPY, NPZ and CSV, of shape (T, points, 2 or 3) or (T, 2 or 3 times points)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from demos.human.point_orders import POINT_ORDERS, reorder
from demos.human.readers.key_points import is_normalized
from demos.human.readers.reader import MAX_TEXT_BYTES, ReadOptions, Recording, parse_table, read_npy
from demos.human.track import HANDS, MAX_FRAMES, Floats, Hand, HandTrack, make_track

NPY_MAGIC = b"\x93NUMPY"
TIME_NAMES = ("time", "times", "timestamp", "timestamps", "t")
POINT_NAMES = ("points", "keypoints", "landmarks", "joints", "positions", "hand", "xyz")
CONFIDENCE_NAMES = ("confidence", "scores", "score", "confidences")
FARTHEST = 10.0
"""Largest coordinate of meters; arrays of pixels have larger ones."""
COLUMNS = (42, 50, 63, 75)
"""Columns of 21 or 25 points with 2 or 3 coordinates."""


class NpyReader:
    """NPY file of one array."""

    name = "NPY array"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.head.startswith(NPY_MAGIC)

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        with recording.checking("array"):
            return [make_hand(recording, read_npy(recording.content), options, "NPY")]


class NpzReader:
    """NPZ file with an array of points: under the name of a hand, under a common name, or as the only one."""

    name = "NPZ arrays"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return bool(recording.array_names)

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        names = recording.array_names
        wanted: dict[Hand | None, str] = {
            hand: name for hand in HANDS for name in names if _belongs_to_hand(name, hand)
        }
        if wanted and options.hand not in (None, *wanted):
            recording.fail(
                "",
                f"the file has only the array {', '.join(wanted.values())}, and --hand is {options.hand}; expected "
                "the same hand: leave out --hand, or rename the array",
            )
        if not wanted:
            single = [name for name in names if name.lower() in POINT_NAMES or len(names) == 1]
            if not single:
                recording.fail(
                    "",
                    f"the arrays {', '.join(names)[:120]}; expected one of {', '.join(POINT_NAMES)}, or one of "
                    "these names with left_ or right_ in front",
                )
            wanted = {options.hand: single[0]}
        confidence_names = [f"{prefix}{name}" for prefix in ("", "left_", "right_") for name in CONFIDENCE_NAMES]
        extra = [name for name in names if name.lower() in (*TIME_NAMES, *confidence_names, "fps")]
        arrays = recording.arrays([*dict.fromkeys([*wanted.values(), *extra])])
        times = _first_array(arrays, TIME_NAMES)
        fps = float(arrays["fps"].ravel()[0]) if "fps" in arrays and arrays["fps"].size else None
        tracks = []
        for hand, name in wanted.items():
            with recording.checking(f"array {name}"):
                certain = _first_array(arrays, [*(f"{hand}_{each}" for each in CONFIDENCE_NAMES), *CONFIDENCE_NAMES])
                tracks.append(
                    make_hand(
                        recording, arrays[name], options, "NPZ", times=times, certain=certain, fps=fps, hand=hand
                    )
                )
        return tracks


def _belongs_to_hand(name: str, hand: Hand) -> bool:
    """Return True for ``left``, ``left_hand``, ``left_points``, ``left_hand_points`` and the like."""
    rest = name.lower().removeprefix(hand).removeprefix("_hand").removeprefix("_")
    return name.lower().startswith(hand) and rest in ("", *POINT_NAMES)


def _first_array(arrays: dict[str, npt.NDArray[Any]], known: Sequence[str]) -> npt.NDArray[Any] | None:
    """Return the array with the first of the known names, in any case; None if there is none."""
    by_name = {name.lower(): array for name, array in arrays.items()}
    return next((by_name[name] for name in known if name in by_name), None)


class CsvReader:
    """CSV file of points: 42, 63 or 75 columns, and optionally one for the time, with or without a header."""

    name = "CSV table of points"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        if recording.is_folder or b"\0" in recording.head or b"\n" not in recording.head:
            return False
        if recording.path.stat().st_size > MAX_TEXT_BYTES:
            return False
        lines = recording.head.decode("utf-8-sig", errors="replace").splitlines()
        return bool(lines) and len(lines[0].split(_delimiter(lines[0]))) in {
            *COLUMNS,
            *(size + 1 for size in COLUMNS),
        }

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        lines = recording.text.splitlines()
        delimiter = _delimiter(lines[0])
        titles = next(csv.reader(lines[:1], delimiter=delimiter))
        has_header = any(title.strip() and not _is_number(title) for title in titles)
        table = parse_table(
            recording,
            lines[has_header:],
            1 + has_header,
            lambda line: next(csv.reader([line], delimiter=delimiter), []),
            len(titles),
        )
        times = None
        if len(titles) not in COLUMNS:
            first = not has_header or titles[0].strip().lower() in TIME_NAMES
            if not first and titles[-1].strip().lower() not in TIME_NAMES:
                recording.fail(
                    "line 1",
                    f"{len(titles)} columns from {titles[0][:40]!r} to {titles[-1][:40]!r}; expected the time in the "
                    f"first or the last one, named {', '.join(TIME_NAMES)}: rename the column, or remove it",
                )
            times = table[:, 0 if first else -1]
            table = table[:, 1:] if first else table[:, :-1]
        with recording.checking("table"):
            return [make_hand(recording, table, options, "CSV", times=times)]


def _delimiter(line: str) -> str:
    return max(",;\t ", key=line.count)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def make_hand(
    recording: Recording,
    array: npt.NDArray[Any],
    options: ReadOptions,
    form: str,
    *,
    times: npt.NDArray[Any] | None = None,
    certain: npt.NDArray[Any] | None = None,
    fps: float | None = None,
    hand: Hand | None = None,
) -> HandTrack:
    """Return the track of an array of points.

    Args:
        recording: Recording that the array is from.
        array: Points, shape (T, points, 2 or 3) or (T, points times 2 or 3).
        options: What the recording does not say.
        form: Name of the format.
        times: Seconds of the frames; None if unknown.
        certain: Confidence; None if unknown.
        fps: Frames per second of the recording; None if unknown.
        hand: Hand of the points; None if the recording does not say.

    Raises:
        ValueError: The shape or a value is invalid, or the recording does not say what it must.
    """
    points = _shaped(array, options.order)
    order = options.order or ("webxr" if points.shape[1] == 25 else "mediapipe")
    points = reorder(points, order)
    hand = hand or options.hand
    if hand is None:
        recording.fail("", "the file does not specify which hand it is; give it (--hand right)")
    # Zeros stand for missing points in most of these files.
    points[(points == 0).all(axis=2)] = np.nan
    largest = np.abs(points).max(axis=(1, 2), where=np.isfinite(points), initial=0.0)
    largest = largest[largest > 0] if largest.any() else largest
    is_image = points.shape[2] == 2 or (float(np.median(largest)) > FARTHEST and options.unit is None)
    if not is_image and options.image_size is not None:
        recording.fail(
            "",
            f"points with x, y and z up to {np.median(largest):.2g} are read as meters, and --image-size is given: "
            "leave it out, or save only x and y if the points are normalized",
        )
    if is_image and is_normalized(largest):
        if options.image_size is None:
            recording.fail("", "normalized coordinates; give the size of the images (--image-size 1280x720)")
        points = points * np.array(options.image_size, dtype=np.float64)
    elif not is_image:
        points = points * (options.unit or 1.0)
    timed = times is not None and options.fps is None
    seconds = np.asarray(times, dtype=np.float64) if timed else options.frame_times(len(points), fps)
    return make_track(
        seconds,
        points,
        "image" if is_image else "world",
        hand,
        confidence=certain,
        image_size=options.image_size if is_image else None,
        source=f"{form}, order {order}{'' if timed else options.rate_note(fps)}",
    )


def _shaped(array: npt.NDArray[Any], order: str | None) -> Floats:
    """Return points with shape (T, points, dimensions).

    Raises:
        ValueError: The shape is another one.
    """
    if array.dtype.kind not in "biuf" or not 2 <= len(np.atleast_1d(array)) <= MAX_FRAMES:
        raise ValueError(f"an array {array.dtype} {array.shape}; expected numbers of 2 to {MAX_FRAMES:,} frames")
    sizes = {POINT_ORDERS[order].size} if order in POINT_ORDERS else {size for size, _ in POINT_ORDERS.values()}
    if array.ndim == 2:
        for size in sorted(sizes):
            for dimensions in (3, 2):
                if array.shape[1] == size * dimensions:
                    array = array.reshape(len(array), size, dimensions)
    if array.ndim != 3 or array.shape[1] not in sizes or array.shape[2] not in (2, 3):
        raise ValueError(f"an array of shape {array.shape}; expected (T, 21, 2 or 3), or 25 points in WebXR's order")
    return array.astype(np.float64)

"""Recordings of headsets and glasses: Apple Vision Pro (VisionProTeleop), EgoDex, Project Aria."""

from __future__ import annotations

import csv
from typing import Any, cast

import h5py
import numpy as np
import numpy.typing as npt

from demos.human.point_orders import reorder
from demos.human.readers.reader import MAX_BYTES, ReadOptions, Recording, parse_table
from demos.human.track import HANDS, MAX_FRAMES, POINTS, Floats, HandTrack, Vector, make_track

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
Z_UP: Vector = (0.0, 0.0, 1.0)
Y_UP: Vector = (0.0, 1.0, 0.0)
EGODEX_FPS = 30.0
EGODEX_FINGERS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")
EGODEX_JOINTS = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")


class VisionProReader:
    """NPZ of VisionProTeleop's stream: ``right_wrist`` (T, 4, 4) and ``right_fingers`` (T, 25, 4, 4) in the wrist."""

    name = "Apple Vision Pro NPZ"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return any(f"{hand}_{part}" in recording.array_names for hand in HANDS for part in ("wrist", "fingers"))

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        names = recording.array_names
        arrays = recording.arrays(
            [
                name
                for name in names
                if name in ("times", "timestamps", "time") or name.endswith(("_wrist", "_fingers"))
            ]
        )
        times = next((arrays[name] for name in ("times", "timestamps", "time") if name in arrays), None)
        result = []
        for hand in HANDS:
            if f"{hand}_wrist" not in arrays and f"{hand}_fingers" not in arrays:
                continue
            with recording.checking(f"{hand} hand"):
                wrist = _poses(arrays[f"{hand}_wrist"], 1)
                fingers = _poses(arrays[f"{hand}_fingers"], 25)
                positions = np.einsum("tij,tpj->tpi", wrist[:, 0], fingers[:, :, :, 3])[:, :, :3]
                timed = times is not None and options.fps is None
                seconds = np.asarray(times, dtype=np.float64) if timed else options.frame_times(len(positions))
                result.append(
                    make_track(
                        seconds - seconds[:1],
                        reorder(positions, "webxr"),
                        "world",
                        hand,
                        up=Z_UP,
                        source=f"Apple Vision Pro{'' if timed else options.rate_note()}",
                    )
                )
        return result


def _poses(array: npt.NDArray[Any], count: int) -> Floats:
    """Return homogeneous transforms, shape (T, count, 4, 4).

    Raises:
        ValueError: The shape is another one.
    """
    values = array.astype(np.float64)
    if values.ndim == 3 and count == 1:
        values = values[:, None]
    if values.ndim != 4 or values.shape[1:] != (count, 4, 4) or not 2 <= len(values) <= MAX_FRAMES:
        raise ValueError(f"transforms of shape {array.shape}; expected (T, {count}, 4, 4)")
    return values


class EgoDexReader:
    """HDF5 of EgoDex: a transform (T, 4, 4) of each joint in ARKit's world, and optionally confidences."""

    name = "EgoDex HDF5"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.head.startswith(HDF5_MAGIC)

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        with recording.checking("HDF5", OSError, RuntimeError), h5py.File(recording.path, "r") as file:
            return self._read(recording, file, options)

    def _read(self, recording: Recording, file: h5py.File, options: ReadOptions) -> list[HandTrack]:
        transforms = _group(file, "transforms")
        if transforms is None:
            recording.fail("transforms", "no such group; expected a file of EgoDex")
        confidences = _group(file, "confidences")
        result = []
        for hand in HANDS:
            names = {0: f"{hand}Hand"}
            for finger, part in enumerate(EGODEX_FINGERS):
                for joint, suffix in enumerate(EGODEX_JOINTS):
                    names[1 + 4 * finger + joint] = f"{hand}{part}{suffix}"
            if names[0] not in transforms:
                continue
            count = len(_array(recording, transforms, names[0], (4, 4)))
            points = np.full((count, POINTS, 3), np.nan)
            certain = np.ones((count, POINTS))
            for index, name in names.items():
                poses = _array(recording, transforms, name, (4, 4))
                if len(poses) != count:
                    recording.fail(f"transforms/{name}", f"{len(poses)} frames; expected {count}")
                points[:, index] = poses[:, :3, 3]
                if confidences is not None and name in confidences:
                    certain[:, index] = _array(recording, confidences, name, ())
            result.append(
                make_track(
                    options.frame_times(count, EGODEX_FPS),
                    points,
                    "world",
                    hand,
                    confidence=certain,
                    up=Y_UP,
                    source="EgoDex",
                )
            )
        if not result:
            recording.fail("transforms", "neither leftHand nor rightHand")
        return result


def _group(file: h5py.File, name: str) -> h5py.Group | None:
    """Return a group of the file itself; None if there is none. Links to other files are not followed."""
    link = file.get(name, getlink=True)
    found = file[name] if isinstance(link, h5py.HardLink) else None
    return found if isinstance(found, h5py.Group) else None


def _array(recording: Recording, group: h5py.Group, name: str, shape: tuple[int, ...]) -> Floats:
    place = f"{str(group.name)[1:]}/{name}"
    link = group.get(name, getlink=True)
    data = group[name] if isinstance(link, h5py.HardLink) else None
    # External storage and virtual datasets name other files.
    if not isinstance(data, h5py.Dataset) or data.external is not None or data.is_virtual:
        recording.fail(place, "no array of this file")
    if data.dtype.kind not in "biuf" or data.shape[1:] != shape or not 2 <= len(data) <= MAX_FRAMES:
        recording.fail(place, f"{data.dtype} {data.shape}; expected numbers of shape (T, {str(shape)[1:-1]})")
    if data.nbytes > MAX_BYTES:
        recording.fail(place, f"{data.nbytes:,} bytes; expected at most {MAX_BYTES:,}")
    return np.asarray(data[...], dtype=np.float64)


class AriaReader:
    """CSV of Project Aria's machine perception services: 21 landmarks of each hand, or wrist and palm."""

    name = "Aria hand tracking CSV"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.head.startswith(b"tracking_timestamp_us,") and b"_device" in recording.head

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        lines = recording.text.splitlines()
        titles = lines[0].strip().split(",")
        if len(set(titles)) < len(titles):
            recording.fail("line 1", "duplicate columns")
        table = parse_table(recording, lines[1:], 2, lambda line: next(csv.reader([line]), []), len(titles))
        columns = {title: table[:, index] for index, title in enumerate(titles)}
        stamps = columns["tracking_timestamp_us"]
        times = (stamps - stamps[0]) * 1e-6 if options.fps is None else options.frame_times(len(stamps))
        result = []
        for hand in HANDS:
            names = [f"{hand}_landmark_{number}" for number in range(POINTS)]
            if f"tx_{names[0]}_device" not in columns:
                names = [f"{hand}_wrist"]
            if f"tx_{names[0]}_device" not in columns:
                continue
            with recording.checking("line 1"):
                listed = np.stack(
                    [np.stack([columns[f"t{axis}_{name}_device"] for axis in "xyz"], axis=1) for name in names],
                    axis=1,
                )
                certain = columns[f"{hand}_tracking_confidence"]
            points = np.full((len(times), POINTS, 3), np.nan)
            if len(names) == POINTS:
                points = reorder(listed, "aria")
            else:
                points[:, :1] = listed
            with recording.checking(f"{hand} hand"):
                # A confidence of -1 means that the hand was not seen.
                track = make_track(
                    times, points, "camera", cast(Any, hand), confidence=np.maximum(certain, 0.0), source="Aria"
                )
            if track.seen.any():
                result.append(track)
        if not result:
            recording.fail("", "no hand is seen in any frame")
        return result

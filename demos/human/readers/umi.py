"""UMI: replay buffers (zarr 2) of hand-held grippers, and trajectories of their cameras."""

from __future__ import annotations

import csv
import json
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from demos.human.readers.grippers import MAX_EPISODES, gripper_track
from demos.human.readers.reader import MAX_BYTES, ReadOptions, Recording, parse_json, parse_table
from demos.human.track import POINTS, Floats, Hand, HandTrack, make_track

UMI_FPS = 60000 / 1001
"""Frames per second of the camera of UMI."""
ROBOTS: dict[str, Hand] = {"robot0": "right", "robot1": "left"}
"""Hand of each gripper: UMI numbers them from right to left."""
FLOAT_BYTES = 8
"""Bytes of a number in memory."""
CODECS = ("blosc", "zlib", "zstd", "lz4", "gzip")


class UmiReader:
    """UMI: a replay buffer (zarr 2, as a folder or ``.zarr.zip``), or ``camera_trajectory.csv`` without a gripper."""

    name = "UMI gripper"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        if recording.is_folder:
            return (recording.path / "data" / "robot0_eef_pos" / ".zarray").is_file()
        if recording.head.startswith(b"frame_idx,timestamp"):
            return True
        return recording.head[:4] == b"PK\x03\x04" and b"robot0_eef_pos/" in _central_names(recording)

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        if recording.head.startswith(b"frame_idx,timestamp"):
            return [_umi_csv(recording, options)]
        with recording.checking("zarr", OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
            if recording.is_folder:
                root = recording.path.resolve()
                return _umi_buffer(recording, options, lambda name: _inside(root, name))
            with zipfile.ZipFile(recording.path) as archive:
                return _umi_buffer(recording, options, lambda name: _member(archive, name))


def _central_names(recording: Recording) -> bytes:
    """Return the end of a ZIP file, which lists its members."""
    with recording.path.open("rb") as file:
        file.seek(max(0, recording.path.stat().st_size - 2**20))
        return file.read()


def _inside(root: Path, name: str) -> bytes:
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"{name} leads out of the folder")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{name} has more than {MAX_BYTES:,} bytes")
    return path.read_bytes()


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise ValueError(f"{name} has more than {MAX_BYTES:,} bytes")
    return archive.read(name)


def _umi_buffer(recording: Recording, options: ReadOptions, read: Callable[[str], bytes]) -> list[HandTrack]:
    store = ZarrStore(recording, read)
    robots = {robot: hand for robot, hand in ROBOTS.items() if store.has(f"data/{robot}_eef_pos")}
    ends = store.array("meta/episode_ends").ravel().astype(np.int64)
    tracks = []
    for robot, hand in robots.items():
        store = ZarrStore(recording, read)
        position = store.array(f"data/{robot}_eef_pos")
        rotation = store.array(f"data/{robot}_eef_rot_axis_angle")
        width = store.array(f"data/{robot}_gripper_width").ravel()
        count = len(position)
        if position.shape != (count, 3) or rotation.shape != (count, 3) or width.shape != (count,):
            recording.fail("zarr", f"arrays of shapes {position.shape}, {rotation.shape}, {width.shape}")
        if not 0 < len(ends) <= MAX_EPISODES or (np.diff(ends, prepend=0) < 2).any() or ends[-1] != count:
            recording.fail(
                "meta/episode_ends", f"expected up to {MAX_EPISODES} increasing numbers that end with {count}"
            )
        axes = _finger_axes(rotation)
        name = f"UMI {robot}" if len(robots) > 1 else "UMI"
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            part = slice(start, end)
            times = options.frame_times(int(end - start), UMI_FPS)
            source = f"{name}, episode {number}{store.note}"
            tracks.append(gripper_track(times, position[part], width[part], axes[part], source, hand=hand))
    return tracks


def _finger_axes(rotations: Floats) -> Floats:
    """Return the x axis of the gripper's frame, along which UMI's fingers move, for rotation vectors (T, 3)."""
    angle = np.linalg.norm(rotations, axis=1, keepdims=True)
    unit = rotations / np.maximum(angle, 1e-12)
    x = np.array([1.0, 0.0, 0.0])
    turned = x * np.cos(angle) + np.cross(unit, x) * np.sin(angle) + unit * unit[:, :1] * (1 - np.cos(angle))
    return np.asarray(turned)


class ZarrStore:
    """Arrays of numbers in a zarr 2 store.

    Args:
        recording: Recording that the store is in, for errors.
        read: Returns the content of a file of the store; raises KeyError or FileNotFoundError if there is none.
    """

    def __init__(self, recording: Recording, read: Callable[[str], bytes]) -> None:
        self._recording, self._read = recording, read
        self._filled = 0

    @property
    def note(self) -> str:
        """Words about missing chunks for the description of the source."""
        if not self._filled:
            return ""
        return f", {self._filled} missing {'chunk' if self._filled == 1 else 'chunks'} filled"

    def has(self, name: str) -> bool:
        """Return True if there is an array of that name."""
        try:
            self._read(f"{name}/.zarray")
        except (KeyError, FileNotFoundError):
            return False
        return True

    def array(self, name: str) -> Floats:
        """Return an array of one or two dimensions; missing chunks have its fill value, as zarr defines."""
        recording = self._recording
        place = f"{name}/.zarray"
        with recording.checking(place, OSError):
            header = parse_json(self._read(place).decode(), recording.path, place)
            shape, chunks, dtype = header["shape"], header["chunks"], np.dtype(str(header["dtype"]))
            compressor, separator = header.get("compressor"), header.get("dimension_separator", ".")
        if (
            dtype.kind not in "biuf"
            or not 1 <= len(shape) <= 2
            or len(chunks) != len(shape)
            or not all(isinstance(size, int) and 0 < size <= 50_000_000 for size in [*shape, *chunks])
            or math.prod(shape) * FLOAT_BYTES > MAX_BYTES
            or math.prod(chunks) * dtype.itemsize > MAX_BYTES
            or header.get("filters")
            or header.get("order", "C") != "C"
            or separator not in (".", "/")
        ):
            recording.fail(name, f"an unsupported array: {json.dumps(header)}")
        counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
        if math.prod(counts) > 100_000:
            recording.fail(name, f"{math.prod(counts):,} chunks")
        array = np.zeros(shape)
        for index in np.ndindex(*counts):
            place = f"{name}/{separator.join(map(str, index))}"
            target = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, chunks, strict=True))
            block = array[target]
            with recording.checking(place, OSError, RuntimeError):
                try:
                    stored = self._read(place)
                except (KeyError, FileNotFoundError):
                    array[target] = _fill_value(header)
                    self._filled += 1
                    continue
                content = _decompress(stored, compressor, math.prod(chunks) * dtype.itemsize)
                values = np.frombuffer(content, dtype).reshape(chunks)
            array[target] = values[tuple(slice(size) for size in block.shape)]
        return array


def _fill_value(header: dict[str, Any]) -> float:
    """Return the number that missing chunks have; zarr writes NaN and infinities as text.

    Raises:
        ValueError: The array defines none.
    """
    value = header.get("fill_value")
    if value is None:
        raise ValueError("the chunk is missing, and the array has no fill_value")
    return float(value)


def _decompress(content: bytes, compressor: Any, size: int) -> bytes:
    """Return the bytes of a chunk.

    Raises:
        ModuleNotFoundError: numcodecs is missing.
        ValueError: The codec is unknown, or the content is damaged.
    """
    if compressor is None:
        return content
    if not isinstance(compressor, dict) or compressor.get("id") not in CODECS:
        raise ValueError(f"the compressor {str(compressor)[:60]}; expected one of {', '.join(CODECS)}")
    try:
        import numcodecs
    except ImportError:
        raise ModuleNotFoundError(
            "UMI's compressed arrays need additional packages: pip install 'lam-envs[human]'", name="numcodecs"
        ) from None
    buffer = np.zeros(size, dtype=np.uint8)
    numcodecs.get_codec(dict(compressor)).decode(content, out=buffer)
    return buffer.tobytes()


def _umi_csv(recording: Recording, options: ReadOptions) -> HandTrack:
    lines = recording.text.splitlines()
    titles = next(csv.reader(lines[:1]))
    replaced = [
        re.sub(r"\btrue\b", "1", re.sub(r"\bfalse\b", "0", line, flags=re.I), flags=re.I) for line in lines[1:]
    ]
    table = parse_table(recording, replaced, 2, lambda line: next(csv.reader([line]), []), len(titles))
    columns = {title.strip(): table[:, index] for index, title in enumerate(titles)}
    with recording.checking("line 1"):
        points = np.full((len(table), POINTS, 3), np.nan)
        points[:, 0] = np.stack([columns[axis] for axis in "xyz"], axis=1)
        seen = 1.0 - columns.get("is_lost", np.zeros(len(table)))
        timed = options.fps is None
        times = columns["timestamp"] - columns["timestamp"][0] if timed else options.frame_times(len(table))
        return make_track(
            times,
            points,
            "world",
            options.hand or "right",
            confidence=seen,
            up=(0.0, 0.0, 1.0),
            source="UMI camera trajectory",
        )

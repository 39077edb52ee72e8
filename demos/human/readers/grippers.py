"""Recordings of grippers that people moved: UMI, LeRobot, and logs of a simulated Panda."""

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

from demos.human.readers.reader import MAX_BYTES, ReadOptions, Recording, parse_json, parse_table
from demos.human.track import INDEX_TIP, MAX_FRAMES, POINTS, THUMB_TIP, Floats, HandTrack, make_track

MAX_EPISODES = 1000
UMI_FPS = 60000 / 1001
"""Frames per second of the camera of UMI."""
CODECS = ("blosc", "zlib", "zstd", "lz4", "gzip")
PANDA_FPS = 100.0
PANDA_SIZE = 16
"""Numbers of a position: 7 joints, 2 fingers, position and quaternion of the object."""
PANDA_LINKS = (
    (0.0, 0.333, 0.0), (0.0, 0.0, -math.pi / 2), (0.0, 0.316, math.pi / 2), (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2), (0.0, 0.0, math.pi / 2), (0.088, 0.0, math.pi / 2),
)  # fmt: skip
"""a (m), d (m) and alpha of each joint of the Panda: modified Denavit-Hartenberg parameters (Franka's manual)."""
PANDA_TOOL = 0.107 + 0.1034
"""Distance from the last joint to the point between the fingertips, meters."""


def gripper_track(
    times: Floats,
    positions: Floats,
    widths: Floats,
    axes: Floats | None,
    source: str,
    objects: dict[str, Floats] | None = None,
) -> HandTrack:
    """Return the track of a gripper: its fingertips are thumb and index finger.

    Args:
        times: Seconds, shape (T,).
        positions: Points between the fingertips, meters, shape (T, 3).
        widths: Openings, meters, shape (T,).
        axes: Unit vectors from one finger to the other, shape (T, 3); y by default.
        source: Description of the origin.
        objects: Positions of objects by name.

    Raises:
        ValueError: A shape or a value is invalid.
    """
    points = np.full((len(times), POINTS, 3), np.nan)
    half = np.asarray(widths)[:, None] / 2 * (np.array([0.0, 1.0, 0.0]) if axes is None else axes)
    points[:, THUMB_TIP], points[:, INDEX_TIP] = positions - half, positions + half
    return make_track(times, points, "world", "right", up=(0.0, 0.0, 1.0), source=source, objects=objects)


class PandaLogReader:
    """NPZ log of a simulated Panda: ``qpos``, shape (T, 16), as in VisionProTeleop's MuJoCo demonstrations."""

    name = "log of a Panda"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return "qpos" in recording.array_names

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        qpos = recording.arrays(["qpos"])["qpos"]
        if qpos.dtype.kind != "f" or qpos.shape[1:] != (PANDA_SIZE,) or not 2 <= len(qpos) <= MAX_FRAMES:
            recording.fail("array qpos", f"{qpos.dtype} {qpos.shape}; expected numbers of shape (T, {PANDA_SIZE})")
        qpos = qpos.astype(np.float64)
        if not np.isfinite(qpos).all():
            recording.fail("array qpos", "numbers that are not finite")
        position, axis = _panda_tool(qpos[:, :7])
        times = options.frame_times(len(qpos), PANDA_FPS)
        with recording.checking("array qpos"):
            widths = np.maximum(qpos[:, 7] + qpos[:, 8], 0.0)
            return [gripper_track(times, position, widths, axis, "Panda log", {"object": qpos[:, 9:12]})]


def _panda_tool(joints: Floats) -> tuple[Floats, Floats]:
    """Return the position between the fingertips and the axis of the fingers, each of shape (T, 3)."""
    pose = np.broadcast_to(np.eye(4), (len(joints), 4, 4))
    for index, (a, d, alpha) in enumerate(PANDA_LINKS):
        link = np.zeros((len(joints), 4, 4))
        cos, sin = np.cos(joints[:, index]), np.sin(joints[:, index])
        ca, sa = math.cos(alpha), math.sin(alpha)
        link[:, 0, 0], link[:, 0, 1], link[:, 0, 3] = cos, -sin, a
        link[:, 1, 0], link[:, 1, 1], link[:, 1, 2], link[:, 1, 3] = sin * ca, cos * ca, -sa, -d * sa
        link[:, 2, 0], link[:, 2, 1], link[:, 2, 2], link[:, 2, 3] = sin * sa, cos * sa, ca, d * ca
        link[:, 3, 3] = 1.0
        pose = pose @ link
    # The hand is turned by -45 degrees on the flange; its fingers move along its y axis.
    axis = (pose[:, :3, 0] + pose[:, :3, 1]) / math.sqrt(2.0)
    return pose[:, :3, 3] + PANDA_TOOL * pose[:, :3, 2], axis


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
            return [_umi_csv(recording)]
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
    position = _zarr(recording, read, "data/robot0_eef_pos")
    rotation = _zarr(recording, read, "data/robot0_eef_rot_axis_angle")
    width = _zarr(recording, read, "data/robot0_gripper_width").ravel()
    ends = _zarr(recording, read, "meta/episode_ends").ravel().astype(np.int64)
    count = len(position)
    if position.shape != (count, 3) or rotation.shape != (count, 3) or width.shape != (count,):
        recording.fail("zarr", f"arrays of shapes {position.shape}, {rotation.shape}, {width.shape}")
    if not 0 < len(ends) <= MAX_EPISODES or (np.diff(ends, prepend=0) < 2).any() or ends[-1] != count:
        recording.fail("meta/episode_ends", f"expected up to {MAX_EPISODES} increasing numbers that end with {count}")
    axes = _rotated_y(rotation)
    tracks = []
    for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        part = slice(start, end)
        source = f"UMI, episode {number}"
        times = options.frame_times(int(end - start), UMI_FPS)
        tracks.append(gripper_track(times, position[part], width[part], axes[part], source))
    return tracks


def _rotated_y(rotations: Floats) -> Floats:
    """Return the x axis of the gripper's frame, along which UMI's fingers move, for rotation vectors (T, 3)."""
    angle = np.linalg.norm(rotations, axis=1, keepdims=True)
    unit = rotations / np.maximum(angle, 1e-12)
    x = np.array([1.0, 0.0, 0.0])
    turned = x * np.cos(angle) + np.cross(unit, x) * np.sin(angle) + unit * unit[:, :1] * (1 - np.cos(angle))
    return np.asarray(turned)


def _zarr(recording: Recording, read: Callable[[str], bytes], name: str) -> Floats:
    """Return an array of a zarr 2 store."""
    header = parse_json(read(f"{name}/.zarray").decode(), recording.path)
    shape, chunks, dtype = header["shape"], header["chunks"], np.dtype(str(header["dtype"]))
    compressor = header.get("compressor")
    if (
        dtype.kind not in "biuf"
        or not 1 <= len(shape) <= 2
        or len(chunks) != len(shape)
        or not all(isinstance(size, int) and 0 < size <= 50_000_000 for size in [*shape, *chunks])
        or math.prod(shape) * dtype.itemsize > MAX_BYTES
        or math.prod(chunks) * dtype.itemsize > MAX_BYTES
        or header.get("filters")
        or header.get("order", "C") != "C"
    ):
        recording.fail(name, f"an unsupported array: {json.dumps(header)}")
    counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    if math.prod(counts) > 100_000:
        recording.fail(name, f"{math.prod(counts):,} chunks")
    array = np.zeros(shape)
    for index in np.ndindex(*counts):
        with recording.checking(f"{name}/{'.'.join(map(str, index))}", OSError, RuntimeError):
            content = _decompress(
                read(f"{name}/{'.'.join(map(str, index))}"), compressor, math.prod(chunks) * dtype.itemsize
            )
            values = np.frombuffer(content, dtype).reshape(chunks)
        target = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(index, chunks, strict=True))
        block = array[target]
        array[target] = values[tuple(slice(size) for size in block.shape)]
    return array


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


def _umi_csv(recording: Recording) -> HandTrack:
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
        times = columns["timestamp"] - columns["timestamp"][0]
        return make_track(
            times, points, "world", "right", confidence=seen, up=(0.0, 0.0, 1.0), source="UMI camera trajectory"
        )


class LeRobotReader:
    """LeRobot dataset whose state or action has the position of a gripper, under names such as x, y, z, gripper."""

    name = "LeRobot gripper"

    def accepts(self, recording: Recording) -> bool:
        """See :class:`Reader`."""
        return recording.is_folder and (recording.path / "meta" / "info.json").is_file()

    def read(self, recording: Recording, options: ReadOptions) -> list[HandTrack]:
        """See :class:`Reader`."""
        info = Recording(recording.path / "meta" / "info.json").json
        with recording.checking("meta/info.json"):
            if not isinstance(info, dict) or not isinstance(info.get("features"), dict):
                raise ValueError("expected an object with features")
            fps = float(info["fps"])
            column, indices, gripper = _gripper_columns(info["features"])
        root = recording.path.resolve()
        files = sorted((root / "data").rglob("*.parquet"))[:MAX_EPISODES]
        episodes: dict[int, list[Floats]] = {}
        for file in files:
            place = file.relative_to(root).as_posix()
            if not file.resolve().is_relative_to(root):
                recording.fail(place, "leads out of the folder")
            for episode, rows in _parquet_rows(recording, place, file, column).items():
                episodes.setdefault(episode, []).append(rows)
        if not episodes:
            recording.fail("data", "no parquet file with frames")
        tracks = []
        for episode, parts in sorted(episodes.items())[:MAX_EPISODES]:
            with recording.checking(f"episode {episode}"):
                rows = np.concatenate(parts)
                width = rows[:, gripper] if gripper is not None else np.zeros(len(rows))
                times = options.frame_times(len(rows), fps)
                source = f"LeRobot {column}, episode {episode}"
                tracks.append(gripper_track(times, rows[:, indices] * (options.unit or 1.0), width, None, source))
        return tracks


def _gripper_columns(features: dict[str, Any]) -> tuple[str, list[int], int | None]:
    """Return the feature with a gripper's position, the indices of x, y and z, and that of the opening.

    Raises:
        ValueError: There is none.
    """
    for feature in ("observation.state", "action", *sorted(features)):
        names = features.get(feature, {}).get("names") if isinstance(features.get(feature), dict) else None
        if isinstance(names, dict):
            names = next((value for value in names.values() if isinstance(value, list)), None)
        if not isinstance(names, list):
            continue
        plain = [str(name).lower() for name in names]
        found = [
            [index for index, name in enumerate(plain) if re.fullmatch(rf"(.*[ /._])?{axis}", name)] for axis in "xyz"
        ]
        if all(found):
            width = next((i for i, name in enumerate(plain) if re.search("gripper.*width|width|gripper", name)), None)
            return feature, [indices[0] for indices in found], width
    raise ValueError("no feature has the names x, y and z of a gripper's position; joint angles alone do not suffice")


def _parquet_rows(recording: Recording, place: str, file: Path, column: str) -> dict[int, Floats]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with recording.checking(place, pa.ArrowException, OSError):
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows > MAX_FRAMES:
            raise ValueError(f"more than {MAX_FRAMES:,} frames")
        table = parquet.read([column, "episode_index"])
        rows = np.array(table[column].to_pylist(), dtype=np.float64)
        episodes = np.array(table["episode_index"].to_pylist(), dtype=np.int64)
    return {int(episode): rows[episodes == episode] for episode in np.unique(episodes)}

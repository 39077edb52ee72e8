"""Plain NumPy: one ``.npz`` of arrays, read with ``numpy.load(path, allow_pickle=False)``.

The arrays of all episodes are concatenated; for N steps of M episodes:

- ``episode_ends``: int64, shape (M,); episode i has the steps from ``episode_ends[i - 1]`` (or 0) to
  ``episode_ends[i]``.
- ``actions``, ``rewards``, ``terminations``, ``truncations``: shape (N, ...).
- ``observations``, or ``observations/<key>`` for dicts, and ``infos/<key>``: shape (N + M, ...); episode i has one
  row more than steps, and begins at ``episode_ends[i - 1] + i``.
- ``rate``: float64, shape (1,); steps per second. Absent if it is unknown.
- ``metadata``: uint8; JSON in UTF-8 with the provenance, and seed and checksum of each episode. Optional.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from gymnasium import spaces

from demos.datasets.episode import Episode
from demos.datasets.metadata import HIGHEST_RATE
from demos.datasets.tree import tree_leaves, tree_nest
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, split_done
from demos.formats.provenance import parse_provenance, provenance_text
from demos.formats.source import Column, Source
from demos.formats.spaces import infer_action_space, infer_space
from demos.runtime.types import Array, Space

ENDS, RATE, METADATA = "episode_ends", "rate", "metadata"
STEPS = ("actions", "rewards", "terminations", "truncations")
"""Arrays with one row for each step; others have one row more for each episode."""
LARGEST_RATIO = 1100
"""Largest compression factor of ZIP files."""


def _write(source: Source, path: Path) -> list[str]:
    """Write the arrays to temporary files, then to the archive, so that each episode is read once."""
    folder = path.with_name(f"{path.name}.arrays")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        _write_arrays(source, folder)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for number, name in enumerate(source.columns):
                archive.write(folder / str(number), f"{name}.npy")
            metadata = {
                "provenance": provenance_text(source),
                "seeds": [identity.seed for identity in source.seeds_and_digests],
                "sha256": [identity.sha256 for identity in source.seeds_and_digests],
            }
            text = np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8)
            arrays: dict[str, Array] = {ENDS: np.cumsum(source.lengths, dtype=np.int64), METADATA: text}
            if source.rate is not None:
                arrays[RATE] = np.array([source.rate])
            for name, values in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
    finally:
        shutil.rmtree(folder)
    return []


def _write_arrays(source: Source, folder: Path) -> None:
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for number, (name, column) in enumerate(source.columns.items()):
            files[name] = stack.enter_context((folder / str(number)).open("wb"))
            rows = source.steps + (0 if _is_stepwise(name) else len(source.lengths))
            header = {"descr": column.dtype, "fortran_order": False, "shape": (rows, *column.shape)}
            np.lib.format.write_array_header_1_0(files[name], header)
        for episode in source.episodes():
            for part in ("observations", *STEPS, "infos"):
                for name, values in tree_leaves(getattr(episode, part), part):
                    files[name].write(np.ascontiguousarray(values).tobytes())


def _is_stepwise(name: str) -> bool:
    return name.partition("/")[0] in STEPS


class _Rows:
    """Reader of the rows of one array of an archive, in their order.

    Args:
        archive: Opened archive.
        name: Name of the array.

    Raises:
        ValueError: It is not an array of numbers, or its size is wrong.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        info = archive.getinfo(f"{name}.npy")
        self._file = archive.open(info)
        self._name = name
        version = np.lib.format.read_magic(self._file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has the NPY version {version}; expected 1.0 or 2.0")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, fortran, self.dtype = read(self._file)
        if (
            self.dtype.kind not in "biuf"
            or self.dtype.itemsize > 8
            or not self.shape
            or (fortran and len(self.shape) > 1)
        ):
            raise ValueError(
                f"{name} is {self.dtype} {self.shape}; expected numbers in C order (np.ascontiguousarray)"
            )
        row = [int(size) for size in self.shape[1:]]
        self._bytes = int(np.prod(row, dtype=object)) * self.dtype.itemsize
        if min(self.shape) < 0 or self._bytes * self.shape[0] + self._file.tell() != info.file_size:
            raise ValueError(
                f"{name} claims the shape {self.shape} in {info.file_size} bytes; expected a matching size"
            )
        if info.file_size > LARGEST_RATIO * (info.compress_size + 1):
            raise ValueError(f"{name} claims {info.file_size} bytes in {info.compress_size}; expected a smaller size")

    @property
    def column(self) -> Column:
        """Type and shape of the array."""
        return Column(self.dtype.str, self.shape[1:])

    def take(self, rows: int) -> Array:
        """Return the next rows, shape (rows, ...)."""
        content = self._file.read(rows * self._bytes)
        if len(content) != rows * self._bytes:
            raise ValueError(f"{self._name} ends before its last row")
        return np.frombuffer(bytearray(content), self.dtype).reshape(rows, *self.shape[1:])

    def close(self) -> None:
        """Close the array, not the archive."""
        self._file.close()


def _whole(archive: zipfile.ZipFile, name: str) -> Array:
    rows = _Rows(archive, name)
    try:
        return rows.take(rows.shape[0])
    finally:
        rows.close()


@contextmanager
def _read(path: Path) -> Iterator[ImportedDataset]:
    with zipfile.ZipFile(path) as archive, ExitStack() as stack:
        stored = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in stored]
        wrong = [name for name in names if not _is_array_name(name)]
        if wrong or len(set(names)) != len(names):
            raise ValueError(
                f"it holds {wrong or names}; expected observations, actions, rewards, ... and infos/<key>"
            )
        if sum(entry.compress_size for entry in stored) > path.stat().st_size:
            raise ValueError("its arrays claim to be larger than the file")
        lengths = _lengths(_whole(archive, ENDS))
        metadata = json.loads(bytes(_whole(archive, METADATA))) if METADATA in names else None
        rate = None
        parts = [name for name in names if name not in (ENDS, RATE, METADATA)]
        arrays = {name: _Rows(archive, name) for name in parts}
        for rows in arrays.values():
            stack.callback(rows.close)
        _check_lengths(arrays, lengths)
        if metadata is not None:
            provenance = parse_provenance(metadata["provenance"])
            seeds, digests = metadata["seeds"], metadata["sha256"]
            if len(seeds) != len(lengths) or len(digests) != len(lengths):
                raise ValueError(
                    f"metadata hold {len(seeds)} episodes, and {ENDS} {len(lengths)}; expected equal numbers"
                )
            observations, actions = provenance.observation_space, provenance.action_space
        else:
            provenance, seeds, digests = None, [None] * len(lengths), [None] * len(lengths)
            rate = _rate(_whole(archive, RATE)) if RATE in names else None
            observations = _infer_spaces(arrays, "observations")
            actions = infer_action_space([_whole(archive, "actions")])
        episodes = (
            ImportedEpisode(_episode(arrays, steps, seed), digest)
            for steps, seed, digest in zip(lengths, seeds, digests, strict=True)
        )
        notes = {} if "rewards" in arrays else {"rewards": "zeros"}
        yield ImportedDataset(observations, actions, provenance, len(lengths), episodes, notes, rate)


def _is_array_name(name: str) -> bool:
    part, slash, path = name.partition("/")
    if slash:
        return part in ("observations", "infos") and all(key not in ("", ".", "..") for key in path.split("/"))
    return name in ("observations", *STEPS, ENDS, RATE, METADATA)


def _rate(values: Array) -> float:
    """Return the steps per second.

    Raises:
        ValueError: The value is not one positive number.
    """
    if values.shape != (1,) or not 0 < values[0] <= HIGHEST_RATE:
        raise ValueError(f"{RATE} is {values[:3]}; expected one positive number, at most {HIGHEST_RATE:g}")
    return float(values[0])


def _lengths(last: Array) -> list[int]:
    """Return the number of steps of each episode."""
    if last.ndim != 1 or last.dtype.kind not in "iu" or not len(last):
        raise ValueError(f"{ENDS} is {last.dtype} {last.shape}; expected one integer for each episode")
    lengths = np.diff(last.astype(np.int64), prepend=0)
    if lengths.min() < 1:
        raise ValueError(f"{ENDS} does not increase; expected increasing numbers")
    return [int(length) for length in lengths]


def _check_lengths(arrays: dict[str, _Rows], lengths: list[int]) -> None:
    for name in ("observations", "actions"):
        if name not in {array.partition("/")[0] for array in arrays}:
            raise ValueError(f"it lacks {name}")
    for name, rows in arrays.items():
        expected = sum(lengths) + (0 if _is_stepwise(name) else len(lengths))
        if rows.shape[0] != expected:
            raise ValueError(f"{name} has {rows.shape[0]} rows; expected {expected}")


def _infer_spaces(arrays: dict[str, _Rows], part: str) -> Space:
    """Return the space that the types of the arrays of a part imply."""

    def space(inner: Any) -> Space:
        if isinstance(inner, dict):
            return spaces.Dict({name: space(value) for name, value in inner.items()})
        return infer_space(np.empty((0, *inner.shape), inner.dtype))

    parts = tree_nest({name: rows.column for name, rows in arrays.items() if name.partition("/")[0] == part})
    return space(parts[part])


def _episode(arrays: dict[str, _Rows], steps: int, seed: int | None) -> Episode:
    rows_by_name = {name: rows.take(steps + (0 if _is_stepwise(name) else 1)) for name, rows in arrays.items()}
    parts = tree_nest(rows_by_name)
    # Without flags, episodes count as truncated.
    terminations, truncations = split_done(False, steps)
    return Episode(
        seed=None if seed is None else int(seed),
        observations=parts["observations"],
        actions=parts["actions"],
        rewards=parts.get("rewards", np.zeros(steps)),
        terminations=parts.get("terminations", terminations).astype(bool),
        truncations=parts.get("truncations", truncations).astype(bool),
        infos=parts.get("infos", {}),
    )


FORMAT = Format("an .npz of episode_ends, observations, actions, ... (see demos.formats.npz)", _write, _read)

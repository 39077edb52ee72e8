"""Interface of formats of other libraries, and functions that several formats share."""

from __future__ import annotations

import importlib
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from demos.datasets.episode import Episode
from demos.formats.provenance import Provenance
from demos.formats.source import Source
from demos.runtime.access import access_error
from demos.runtime.types import Array, Space

DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions of libraries for damaged files, besides ValueError."""


class ImportedEpisode(NamedTuple):
    """Episode from a file."""

    episode: Episode
    sha256: str | None
    """Checksum of the episode when it was exported; None if unknown."""


@dataclass(frozen=True)
class ImportedDataset:
    """Opened file or folder of another library.

    Attributes:
        observation_space: Observation space of the episodes.
        action_space: Action space of the episodes.
        provenance: Provenance that our export wrote; None if there is none.
        total: Number of episodes.
        episodes: Iterator of the episodes.
        notes: Substitutes for data that the file does not hold, for the history.
        rate: Steps per second of the episodes; None if the file does not record it, or its provenance does.
    """

    observation_space: Space
    action_space: Space
    provenance: Provenance | None
    total: int
    episodes: Iterator[ImportedEpisode]
    notes: dict[str, str] = field(default_factory=dict)
    rate: float | None = None


@dataclass(frozen=True)
class Format:
    """Format of another library.

    Attributes:
        title: Description for messages.
        write: Writes a dataset to a new path; returns descriptions of the data that the format cannot store.
        read: Context manager that opens a file or folder.
        marker: File that every folder of the format has; None if the format is one file.
    """

    title: str
    write: Callable[[Source, Path], list[str]]
    read: Callable[[Path], AbstractContextManager[ImportedDataset]]
    marker: str | None = None


@contextmanager
def atomic_output(target: Path, marker: str | None, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path to write to; it is renamed to the target when the block ends.

    Args:
        target: File or folder.
        marker: File that a folder must contain to be replaced; None for files.
        overwrite: Replace an existing target.

    Raises:
        FileExistsError: The target exists, and must not be replaced or has another format.
    """
    target = target.absolute()
    if os.path.lexists(target):
        if not overwrite:
            raise FileExistsError(f"{target} exists; choose another path, or overwrite it")
        if target.is_dir() if marker is None else not (target / marker).is_file():
            raise FileExistsError(
                f"{target} is {'a folder' if marker is None else f'not a folder with {marker}'} and is not replaced; "
                "choose another path"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    writing, replaced = (target.with_name(f".{target.name}.{os.getpid()}.{name}") for name in ("writing", "replaced"))
    try:
        _remove(writing)
        yield writing
        if marker is not None and target.exists():
            os.replace(target, replaced)
        os.replace(writing, target)
    finally:
        _remove(writing)
        _remove(replaced)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def errors_naming_file(path: Path, title: str) -> Iterator[None]:
    """Turn errors of reading a file within the block into errors that name the file.

    Raises:
        OSError: The file is locked or not readable.
        ValueError: The file is damaged or has another format.
    """
    try:
        yield
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}. Expected {title}.") from error
    except DAMAGED as error:
        if (locked := access_error(error, path)) is not None:
            raise locked from error
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is damaged or incomplete ({reason}). Expected {title}.") from error


def read_all(episodes: Iterator[ImportedEpisode], path: Path, title: str) -> Iterator[ImportedEpisode]:
    """Yield the episodes of a file; errors are those of :func:`errors_naming_file`."""
    while True:
        with errors_naming_file(path, title):
            try:
                imported = next(episodes)
            except StopIteration:
                return
        yield imported


def import_optional(module: str, package: str) -> ModuleType:
    """Import an optional library.

    Raises:
        ModuleNotFoundError: The library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this format needs {package}: pip install 'lam-envs[demos]'", name=error.name
        ) from error


def split_done(done: bool, steps: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the terminations and truncations of an episode with a single flag of its end.

    Args:
        done: True if the last step terminated the episode; else it was truncated.
        steps: Number of steps.
    """
    terminations, truncations = np.zeros((2, steps), dtype=bool)
    terminations[-1], truncations[-1] = done, not done
    return terminations, truncations


def end_flags(flags: Mapping[str, Array], steps: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the terminations and truncations of an episode with any of the flags of its end.

    An episode that ends by neither is truncated.

    Args:
        flags: Flags of each step by name: ``terminated``, ``truncated``, and ``done`` for both.
        steps: Number of steps.
    """
    last = {name: bool(values.reshape(steps)[-1]) for name, values in flags.items()}
    truncated = last.get("truncated", False)
    terminations, truncations = split_done(last.get("terminated", last.get("done", False) and not truncated), steps)
    truncations[-1] |= truncated
    return terminations, truncations


def with_last(values: Array, last: Array | None = None) -> Array:
    """Return T + 1 rows from T rows: append the last one, or repeat the one before if it is unknown."""
    return np.concatenate([values, values[-1:] if last is None else last[None]])

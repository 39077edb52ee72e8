"""What a foreign format is to this package, and what reading and writing all of them share."""

from __future__ import annotations

import importlib
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from demos.datasets.episode import Episode
from demos.formats.provenance import Provenance
from demos.formats.source import Source
from demos.runtime.access import access_error

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
"""What libraries raise at files that are not what they should be, ValueError aside."""


class ImportedEpisode(NamedTuple):
    """An episode that was read."""

    episode: Episode
    sha256: str | None
    """What its checksum was when it was exported; None where the file does not tell."""


@dataclass(frozen=True)
class ImportedDataset:
    """A foreign file that is being read.

    Attributes:
        observation_space: Of the episodes.
        action_space: Of the episodes.
        provenance: What our export wrote beside them, if it did.
        total: How many episodes there are.
        episodes: The episodes, one at a time.
        notes: What had to be supplied because the file does not tell it, for the history.
        rate: Steps per second of the episodes; None if the file does not record it, or its provenance does.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    provenance: Provenance | None
    total: int
    episodes: Iterator[ImportedEpisode]
    notes: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None


@dataclass(frozen=True)
class Format:
    """How a format is written and read.

    Attributes:
        title: For people.
        write: Writes a dataset under a path that is free; returns what the format cannot hold.
        read: Opens a file or folder.
        marker: A file that every folder of the format has; None if the format is one file.
    """

    title: str
    write: Callable[[Source, Path], list[str]]
    read: Callable[[Path], AbstractContextManager[ImportedDataset]]
    marker: str | None = None


@contextmanager
def atomic_output(target: Path, marker: str | None, *, overwrite: bool) -> Iterator[Path]:
    """Yield a hidden path beside a target; what is written there takes the target's name when the block ends.

    Args:
        target: A file or folder.
        marker: What a folder must hold to be replaced; None if files are written.
        overwrite: Replace what is there.

    Raises:
        FileExistsError: Something is there, and is not to be replaced or is something else.
    """
    target = target.absolute()
    if os.path.lexists(target):
        if not overwrite:
            raise FileExistsError(f"{target} exists: give another path, or overwrite it")
        if target.is_dir() if marker is None else not (target / marker).is_file():
            raise FileExistsError(f"{target} is no dataset of this format: it is not replaced")
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
def reading(path: Path, title: str) -> Iterator[None]:
    """Turn whatever goes wrong within the block into one kind of error.

    Raises:
        OSError: The file is locked or may not be read, which is not damage.
        ValueError: Names the file and what was expected.
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
    """Yield what was read; errors on the way are those of :func:`reading`."""
    while True:
        with reading(path, title):
            try:
                imported = next(episodes)
            except StopIteration:
                return
        yield imported


def optional(module: str, package: str) -> Any:
    """Import a library that not every installation has.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this format needs {package}: pip install 'lam-envs[demos]'", name=error.name
        ) from error


def ends(done: bool, steps: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the terminations and truncations of an episode of which only one flag is known.

    Args:
        done: Whether its last step ended it; if not, it was cut off there.
        steps: How many it has.
    """
    terminations, truncations = np.zeros((2, steps), dtype=bool)
    terminations[-1], truncations[-1] = done, not done
    return terminations, truncations


def with_last(values: npt.NDArray[Any], last: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """Return T + 1 moments of T: with the last one, or if it is unknown with the one before it again."""
    return np.concatenate([values, values[-1:] if last is None else last[None]])

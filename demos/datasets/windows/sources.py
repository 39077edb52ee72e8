"""Arrays of episodes: mapped from a file, or decoded when they are needed."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import h5py
import minari
import numpy as np
import numpy.typing as npt

from demos.datasets.data_file import open_data
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.runtime.types import Array, Arrays

RELEASE_BYTES = 256 * 2**20
"""Bytes read after which the mapped pages are released, so that they do not count as memory of the process."""
CACHE_BYTES = 64 * 2**20
"""Size of the cache of episodes that cannot be mapped (compressed, JPEG)."""


class MappedFile:
    """Memory-mapped arrays, each contiguous in the file.

    Args:
        path: Data file of a dataset, or its frame cache.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_data(path)
        with path.open("rb") as raw:
            self._map = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
        self._views: dict[str, dict[int, Array]] = {}
        self._read = 0

    def groups(self, episodes: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        """Return the positions of the windows of a batch that are read together: all of them."""
        return [np.arange(len(episodes))]

    def views(self, name: str, episodes: Iterable[int]) -> dict[int, Array]:
        """Return an array of some episodes, and possibly of others, by episode."""
        known = self._views.setdefault(name, {})
        for episode in episodes:
            if episode not in known:
                try:
                    known[episode] = self._view(self._file[f"episode_{episode}/{name}"])
                except KeyError as error:
                    raise ValueError(
                        f"{self._file.filename} is damaged: it has no {name} of episode {episode}. Delete it if it "
                        "is a frame cache; else check the dataset by: python -m demos check"
                    ) from error
            # Whole episodes, because the system maps more pages than those that are read.
            self._read += known[episode].nbytes
        return known

    def _view(self, part: h5py.Dataset) -> Array:
        offset = _offset(part)
        if offset is None:
            # A third party wrote this episode.
            return np.asarray(part[()])
        flat = np.frombuffer(self._map, dtype=part.dtype, count=int(np.prod(part.shape)), offset=offset)
        return flat.reshape(part.shape)

    def release(self) -> None:
        """Release the mapped pages after much was read."""
        # A small file never takes more memory than its size.
        if min(self._read, len(self._map)) > RELEASE_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0

    def close(self) -> None:
        """Close the file."""
        self._views.clear()
        self._file.close()


class DecodedEpisodes:
    """Small cache of episodes that must be read completely.

    Args:
        dataset: Minari dataset.
    """

    def __init__(self, dataset: minari.MinariDataset) -> None:
        self._dataset = dataset
        self._episodes: OrderedDict[int, Arrays] = OrderedDict()
        self._bytes = 0
        self._largest = 1

    def groups(self, episodes: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        """Return the positions of the windows of a batch that are read together: those that fit in the cache."""
        # Cached episodes first, before others replace them.
        numbers = sorted(np.unique(episodes).tolist(), key=lambda number: number not in self._episodes)
        self._episode(numbers[0])
        at_once = max(1, CACHE_BYTES // self._largest)
        parts = (numbers[start : start + at_once] for start in range(0, len(numbers), at_once))
        return [np.flatnonzero(np.isin(episodes, part)) for part in parts]

    def views(self, name: str, episodes: Iterable[int]) -> dict[int, Array]:
        """Return an array of some episodes by episode."""
        return {episode: self._episode(episode)[name] for episode in episodes}

    def _episode(self, number: int) -> Arrays:
        if number not in self._episodes:
            episode = next(episodes_of(self._dataset, [number]))
            parts = {"observations": episode.observations, "actions": episode.actions}
            self._episodes[number] = dict(tree_leaves(parts))
            size = sum(part.nbytes for part in self._episodes[number].values())
            self._bytes += size
            self._largest = max(self._largest, size)
        self._episodes.move_to_end(number)
        return self._episodes[number]

    def release(self) -> None:
        """Delete the episodes that were used longest ago from a full cache."""
        while self._bytes > CACHE_BYTES and len(self._episodes) > 1:
            _, oldest = self._episodes.popitem(last=False)
            self._bytes -= sum(part.nbytes for part in oldest.values())

    def close(self) -> None:
        """Empty the cache."""
        self._episodes.clear()


def is_mappable(episode: h5py.Group) -> bool:
    """Return True if all observations and actions of an episode can be mapped from its file.

    Args:
        episode: Group of the episode in a data file.
    """
    parts: list[h5py.Group | h5py.Dataset] = [episode["observations"], episode["actions"]]
    while parts:
        part = parts.pop()
        if isinstance(part, h5py.Group):
            parts.extend(part.values())
        elif _offset(part) is None:
            return False
    return True


def _offset(part: h5py.Dataset) -> int | None:
    """Return the offset of an array in its file; None if it is not contiguous or not of plain numbers."""
    if not isinstance(part, h5py.Dataset) or part.dtype.kind not in "biuf" or part.chunks is not None:
        return None
    offset = part.id.get_offset()
    return None if offset is None else int(offset)

"""Checksums of recorded episodes: they tell equal datasets from others, and sound episodes from damaged ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np

DIGEST = "sha256"
"""Name of the attribute of an episode that holds its digest."""
NOT_CONTENT = ("id", DIGEST)
"""Attributes that say where an episode stands, and not what it is."""


def episode_digest(episode: h5py.Group) -> str:
    """Returns a SHA-256 of all that an episode holds: names, types, shapes, values and attributes.

    Where it stands in its file does not count: the same episode in another dataset has the same digest.

    Args:
        episode: The group of an HDF5 file of Minari.
    """
    digest = hashlib.sha256()
    for name in sorted(set(episode.attrs) - set(NOT_CONTENT)):
        digest.update(f"{name}={episode.attrs[name]!r}\0".encode())
    for name, part in _arrays("", episode):
        digest.update(f"{name} {part.dtype} {part.shape}\0".encode())
        _add(digest, part[()])
    return digest.hexdigest()


def _add(digest: Any, values: Any) -> None:
    if isinstance(values, np.ndarray) and values.dtype != object:
        digest.update(np.ascontiguousarray(values).tobytes())
    else:
        # Texts, and compressed pictures of different lengths.
        for value in np.atleast_1d(np.asarray(values, dtype=object)):
            content = value if isinstance(value, bytes) else np.asarray(value).tobytes()
            digest.update(f"{len(content)}\0".encode() + content)


def _arrays(name: str, part: Any) -> Iterator[tuple[str, h5py.Dataset]]:
    for key in sorted(part):
        inner = part[key]
        if isinstance(inner, h5py.Group):
            yield from _arrays(f"{name}{key}/", inner)
        else:
            yield f"{name}{key}", inner


def sign(data_file: Path) -> None:
    """Writes into every episode of a file its digest."""
    with h5py.File(data_file, "a") as file:
        for episode in file.values():
            episode.attrs[DIGEST] = episode_digest(episode)


def checksum(dataset: minari.MinariDataset) -> str:
    """Returns a SHA-256 of a dataset's episodes in their order: equal datasets have equal ones.

    Raises:
        ValueError: An episode is not signed, because something else than this package wrote the dataset.
    """
    digest = hashlib.sha256()
    for metadata in dataset.storage.get_episode_metadata(dataset.episode_indices):
        if not isinstance(metadata.get(DIGEST), str):
            raise ValueError(f"episode {metadata.get('id')} of dataset {dataset.id} has no checksum")
        digest.update(metadata[DIGEST].encode())
    return digest.hexdigest()

"""Checksums of episodes, datasets and files, by which equal content and damage are recognized."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import h5py
import minari
import numpy as np
from minari.dataset.minari_storage import METADATA_FILE_NAME

from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import DIGEST, INSTRUCTION
from demos.datasets.metadata import require_dataset
from demos.runtime.files import write_atomically
from demos.runtime.types import Array, Metadata

OTHER_ATTRIBUTES = ("id", DIGEST, INSTRUCTION)
"""Attributes of an episode that do not count as content. The instruction follows from seed, options and environment,
and episodes of earlier versions lack it."""
FILE_DIGESTS = "lam_envs_seal"
"""Metadata key of the digests of the files of a dataset."""


def episode_digest(episode: h5py.Group) -> str:
    """Return the SHA-256 of an episode: names, types, shapes, values and attributes.

    The same episode in another dataset has the same digest.

    Args:
        episode: Group of the episode in an HDF5 file of Minari.
    """
    return content_digest(episode.attrs, episode)


def content_digest(attributes: Mapping[str, object], parts: h5py.Group | Mapping[str, object]) -> str:
    """Return the digest that an episode with these attributes and parts has in a file.

    Args:
        attributes: Attributes by name.
        parts: Arrays or groups of arrays by name, from a file or from memory.
    """
    digest = hashlib.sha256()
    for name in sorted(set(attributes) - set(OTHER_ATTRIBUTES)):
        # A repr would depend on the version of NumPy and shorten long arrays.
        value = np.asarray(attributes[name])
        digest.update(f"{name}={value.dtype} {value.shape}\0".encode())
        _add(digest, value)
    for name, part in _arrays("", parts):
        digest.update(f"{name} {part.dtype} {part.shape}\0".encode())
        _add(digest, part[()])
    return digest.hexdigest()


def _add(digest: hashlib._Hash, values: object) -> None:
    if isinstance(values, np.ndarray) and values.dtype != object:
        digest.update(np.ascontiguousarray(values).tobytes())
    else:
        # Texts, and compressed images of different lengths.
        for value in np.atleast_1d(np.asarray(values, dtype=object)):
            content = value if isinstance(value, bytes) else np.asarray(value).tobytes()
            digest.update(f"{len(content)}\0".encode() + content)


def _arrays(name: str, part: h5py.Group | Mapping[str, object]) -> Iterator[tuple[str, h5py.Dataset | Array]]:
    for key in sorted(part):
        inner = part[key]
        if isinstance(inner, (h5py.Group, dict)):
            yield from _arrays(f"{name}{key}/", inner)
        else:
            yield f"{name}{key}", inner


def checksum(dataset: minari.MinariDataset) -> str:
    """Return the SHA-256 of the episodes of a dataset, in their order.

    Episodes that this package wrote store their digest; others are read completely.
    """
    require_dataset(dataset)
    with open_data(dataset.storage.data_path / DATA_FILE) as file:
        return checksum_of([digest_of(file[f"episode_{index}"]) for index in dataset.episode_indices])


def checksum_of(digests: Iterable[str]) -> str:
    """Return the checksum of a dataset from the digests of its episodes, in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def digest_of(episode: h5py.Group) -> str:
    """Return the stored digest of an episode, or compute it if none is stored.

    Args:
        episode: Group of the episode in an HDF5 file of Minari.
    """
    stored_digest = episode.attrs.get(DIGEST)
    return stored_digest if isinstance(stored_digest, str) else episode_digest(episode)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def metadata_digest(metadata: Metadata) -> str:
    """Return the SHA-256 of a dataset's metadata, without that digest itself."""
    digests = metadata.get(FILE_DIGESTS)
    if isinstance(digests, dict):
        metadata = {
            **metadata,
            FILE_DIGESTS: {name: value for name, value in digests.items() if name != METADATA_FILE_NAME},
        }
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


def write_file_digests(folder: Path) -> None:
    """Write the digests of the files of a finished dataset into its metadata.

    Args:
        folder: Folder of the dataset's files.
    """
    path = folder / METADATA_FILE_NAME
    metadata = json.loads(path.read_text())
    metadata[FILE_DIGESTS] = {DATA_FILE: file_digest(folder / DATA_FILE)}
    metadata[FILE_DIGESTS][METADATA_FILE_NAME] = metadata_digest(metadata)
    write_atomically(path, json.dumps(metadata))

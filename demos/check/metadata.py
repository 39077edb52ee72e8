"""Check the metadata of a dataset, and the digests of its files."""

from __future__ import annotations

import json
from pathlib import Path

from minari.dataset.minari_storage import METADATA_FILE_NAME

from demos.datasets.checksum import FILE_DIGESTS, file_digest, metadata_digest
from demos.datasets.data_file import DATA_FILE
from demos.datasets.loading import validate_id
from demos.datasets.metadata import HISTORY, PLAN, SCHEMA
from demos.runtime.access import access_error
from demos.runtime.types import Metadata

OURS = "lam_envs_"
"""Prefix of the metadata keys of this package."""
REQUIRED: dict[str, type] = {
    "dataset_id": str,
    "minari_version": str,
    "data_format": str,
    "observation_space": str,
    "action_space": str,
    "total_episodes": int,
    "total_steps": int,
}
OPTIONAL: dict[str, type] = {
    "env_spec": str,
    "jpeg_encoding": bool,
    PLAN: dict,
    HISTORY: list,
    SCHEMA: dict,
    FILE_DIGESTS: dict,
}


def read_metadata(folder: Path) -> tuple[Metadata, list[str]]:
    """Return the metadata, empty if they are unreadable, and their faults.

    Args:
        folder: Folder of the dataset's files.

    Raises:
        OSError: The file is locked or not readable.
    """
    path = folder / METADATA_FILE_NAME
    if not path.is_file():
        return {}, ["is missing"]
    try:
        metadata = json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError) as error:
        if (locked := access_error(error, path)) is not None:
            raise locked from error
        return {}, [f"is not valid JSON: {error}"]
    if not isinstance(metadata, dict):
        return {}, [f"is a {type(metadata).__name__}, expected a JSON object"]
    return metadata, _faults(metadata)


def _faults(metadata: Metadata) -> list[str]:
    faults = [f"lacks {name!r}" for name in REQUIRED if name not in metadata]
    for name, kind in {**REQUIRED, **OPTIONAL}.items():
        # A bool is an int in Python.
        if name in metadata and type(metadata[name]) is not kind:
            faults.append(f"{name} is a {type(metadata[name]).__name__}, expected a {kind.__name__}")
        elif kind is int and metadata.get(name, 0) < 0:
            faults.append(f"{name} is {metadata[name]}, expected at least 0")
    if isinstance(metadata.get("dataset_id"), str):
        try:
            validate_id(metadata["dataset_id"])
        except ValueError as error:
            faults.append(str(error))
    if metadata.get("data_format", "hdf5") != "hdf5":
        faults.append(f"data_format is {metadata['data_format']!r}, expected 'hdf5'")
    return faults


def metadata_digest_fault(folder: Path, metadata: Metadata) -> str | None:
    """Return the difference of the metadata from their digest, or None."""
    digests = metadata.get(FILE_DIGESTS)
    if not isinstance(digests, dict):
        is_collected = any(name.startswith(OURS) for name in metadata)
        return (
            f"lacks the file digests {FILE_DIGESTS!r}, which every dataset of this package has"
            if is_collected
            else None
        )
    expected, actual = digests.get(METADATA_FILE_NAME), metadata_digest(metadata)
    if actual != expected:
        return f"was changed after it was written: its SHA-256 is {actual}, expected {expected}"
    # Equal content may be written in another way; this package writes it as json does.
    if (folder / METADATA_FILE_NAME).read_bytes() != json.dumps(metadata).encode():
        return "was changed after it was written: it has the same content with other formatting"
    return None


def data_digest_fault(folder: Path, metadata: Metadata) -> str | None:
    """Return the difference of the data file from its digest, or None."""
    digests = metadata.get(FILE_DIGESTS)
    if not isinstance(digests, dict):
        return None
    expected, actual = digests.get(DATA_FILE), file_digest(folder / DATA_FILE)
    return None if actual == expected else f"its SHA-256 is {actual}, expected {expected}"

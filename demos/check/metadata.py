"""What the metadata of a dataset must be, and whether its files are still those that were sealed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minari.dataset.minari_storage import METADATA_FILE_NAME

from demos.datasets.checksum import SEAL, file_digest, metadata_digest
from demos.datasets.data_file import DATA_FILE
from demos.datasets.loading import validate_id
from demos.datasets.metadata import HISTORY, PLAN, SCHEMA
from demos.runtime.access import access_error

OURS = "lam_envs_"
"""What the keys begin with that only this package writes."""
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
    SEAL: dict,
}


def read_metadata(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the metadata, empty where they are unreadable, and what is wrong with them.

    Args:
        folder: Of the dataset's files.

    Raises:
        OSError: The file may not be read.
    """
    path = folder / METADATA_FILE_NAME
    if not path.is_file():
        return {}, ["is missing"]
    try:
        metadata = json.loads(path.read_bytes().decode())
    except (OSError, ValueError, RecursionError) as error:
        if (locked := access_error(error, path)) is not None:
            raise locked from error
        return {}, [f"is no JSON: {error}"]
    if not isinstance(metadata, dict):
        return {}, [f"is a {type(metadata).__name__}, expected a JSON object"]
    return metadata, _faults(metadata)


def _faults(metadata: dict[str, Any]) -> list[str]:
    faults = [f"lacks {name!r}" for name in REQUIRED if name not in metadata]
    for name, kind in {**REQUIRED, **OPTIONAL}.items():
        # A truth is a whole number to Python.
        if name in metadata and type(metadata[name]) is not kind:
            faults.append(f"{name} is a {type(metadata[name]).__name__}, expected a {kind.__name__}")
        elif kind is int and metadata.get(name, 0) < 0:
            faults.append(f"{name} is {metadata[name]}, expected none below 0")
    if isinstance(metadata.get("dataset_id"), str):
        try:
            validate_id(metadata["dataset_id"])
        except ValueError as error:
            faults.append(str(error))
    if metadata.get("data_format", "hdf5") != "hdf5":
        faults.append(f"data_format is {metadata['data_format']!r}, expected 'hdf5'")
    return faults


def broken_metadata_seal(folder: Path, metadata: dict[str, Any]) -> str | None:
    """Return how the metadata are not what was sealed, or None."""
    sealed = metadata.get(SEAL)
    if not isinstance(sealed, dict):
        ours = any(name.startswith(OURS) for name in metadata)
        return f"lacks its seal {SEAL!r}, which every dataset of this package has" if ours else None
    expected, found = sealed.get(METADATA_FILE_NAME), metadata_digest(metadata)
    if found != expected:
        return f"was changed since it was sealed: its SHA-256 is {found}, expected {expected}"
    # The same content can be written otherwise; a sealed file is written as json writes it.
    if (folder / METADATA_FILE_NAME).read_bytes() != json.dumps(metadata).encode():
        return "was changed since it was sealed: it says the same in other letters"
    return None


def broken_data_seal(folder: Path, metadata: dict[str, Any]) -> str | None:
    """Return how the data file is not what was sealed, or None."""
    sealed = metadata.get(SEAL)
    if not isinstance(sealed, dict):
        return None
    expected, found = sealed.get(DATA_FILE), file_digest(folder / DATA_FILE)
    return None if found == expected else f"its SHA-256 is {found}, expected {expected}"

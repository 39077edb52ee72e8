"""Export of what was recorded, as one file that a browser downloads."""

from __future__ import annotations

import shutil
from pathlib import Path

import minari

from demos.formats import FORMATS, export_dataset
from lam_envs.validation import check_name

MINARI = "minari"
"""Name for a copy of the dataset itself."""
SUFFIXES = {"robomimic": ".hdf5", "npz": ".npz"}
"""Suffixes of formats that are one file; the others become an archive."""


def export_names() -> tuple[str, ...]:
    """Return the names of all formats."""
    return (MINARI, *FORMATS)


def export_file(dataset: minari.MinariDataset, name: str, folder: Path) -> tuple[Path, list[str]]:
    """Write a dataset as one file.

    Args:
        dataset: The dataset.
        name: One of :func:`export_names`.
        folder: Empty folder to write to.

    Returns:
        The file, and lines that describe the data that the format cannot store.

    Raises:
        ValueError: The format is unknown or cannot hold the episodes.
    """
    check_name("format", name, export_names())
    out = folder / f"{dataset.id.rpartition('/')[2]}{SUFFIXES.get(name, '')}"
    losses: list[str] = []
    if name == MINARI:
        shutil.copytree(dataset.storage.data_path, out / "data")
    else:
        losses = export_dataset(dataset, name, out)
    if out.is_dir():
        out = Path(shutil.make_archive(str(out), "zip", folder, out.name))
    return out, losses

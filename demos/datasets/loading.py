"""Find, list and open datasets.

Datasets are plain Minari datasets, so ``minari.load_dataset`` and every tool built on it read them too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import minari
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage

from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.metadata import PLAN, is_collected
from demos.runtime.access import access_error
from demos.runtime.types import Metadata
from lam_envs.registration import is_lam_env

MOST_SHOWN = 10
"""Ids that an error shows."""
DERIVED_ID = re.compile(
    r"lam/(?P<env>\w+)-(?P<demonstrator>expert|noisy|novice|random|mixed)(-(?P<strategy>left|right|high|all))?"
    r"(?P<failures>-failures)?(?P<jpeg>-jpeg)?-(?P<episodes>[1-9][0-9]*)-seed(?P<seed>[0-9]+)-v0"
)
"""Ids that are derived from the settings of a collection without keywords of the environment."""
FLAGS = {"failures": "--keep-failures", "jpeg": "--jpeg"}
"""Options of a collection, by part of a derived id."""
PLAIN_ID = re.compile(r"([^\W_][\w-]+/)*[^\W_][\w-]*-v[0-9]+")
"""Ids whose parts look neither like options nor like hidden files."""


def datasets_root(root: str | Path | None = None) -> Path:
    """Return the folder of all datasets: the argument, or Minari's own (``MINARI_DATASETS_PATH``).

    Raises:
        NotADirectoryError: The path is a file.
    """
    chosen = root or os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    # Minari does not support relative folders.
    folder = Path(chosen).absolute()
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; expected the folder of all datasets")
    return folder


def validate_id(dataset_id: str) -> str:
    """Return a dataset id if it names a folder below the root.

    Raises:
        ValueError: The id is not of the form ``(namespace/)name-v0``.
    """
    plain = DATASET_ID_RE.fullmatch(dataset_id) and PLAIN_ID.fullmatch(dataset_id)
    # The files of a dataset are in a folder named data.
    if not plain or "data" in dataset_id.split("/"):
        raise ValueError(
            f"malformed dataset id {dataset_id!r}; expected (namespace/)name-v0 of letters, digits, '-' and '_', "
            "each with a letter or digit first, a namespace of two or more, and none called data"
        )
    return dataset_id


def dataset_folder(dataset_id: str, root: str | Path | None = None) -> Path:
    """Return the folder of a dataset's files, which may not exist."""
    return datasets_root(root) / validate_id(dataset_id) / "data"


def load(dataset: str | Path, root: str | Path | None = None) -> minari.MinariDataset:
    """Open a dataset.

    Args:
        dataset: Id or folder of a dataset.
        root: Folder of all datasets; Minari's own by default.

    Raises:
        FileNotFoundError: There is no such dataset; the message lists the existing ones.
        OSError: The files are locked or not readable.
        ValueError: The files are damaged or incomplete, or have an unsupported format or version.
    """
    folder = find(dataset, root)
    try:
        metadata = json.loads((folder / METADATA_FILE_NAME).read_text())
        problem = _format_problem(metadata)
        if problem is None:
            _check_complete(folder, metadata)
            opened = minari.MinariDataset(MinariStorage.read(folder))
    except Exception as error:  # Damaged files may cause any exception in h5py and Minari.
        if (locked := access_error(error, folder)) is not None:
            raise locked from error
        raise ValueError(
            f"the dataset at {folder} is damaged or incomplete ({error}). python -m demos check lists the "
            "damage, and --repair NEW-ID copies the undamaged episodes; or collect it again."
        ) from error
    if problem is not None:
        raise ValueError(f"the dataset at {folder} {problem}")
    return opened


def holds_dataset(folder: Path) -> bool:
    """Return True if a folder holds a file of a dataset, even a damaged one."""
    return any((folder / file).exists() for file in (METADATA_FILE_NAME, DATA_FILE))


def find(dataset: str | Path, root: str | Path | None = None) -> Path:
    """Return the folder of a dataset's files, which may be damaged or incomplete.

    Args:
        dataset: Id or folder of a dataset.
        root: Folder of all datasets; Minari's own by default.

    Raises:
        FileNotFoundError: There is no such dataset; the message lists the existing ones.
    """
    path = Path(dataset).absolute()
    for folder in (path, path / "data"):
        if holds_dataset(folder):
            return folder
    named = None
    with contextlib.suppress(ValueError):
        named = dataset_folder(str(dataset), root)
    if named is None or not named.is_dir():
        existing = [name for name, _ in installed(root)]
        shown = [*existing[:MOST_SHOWN], *([f"{len(existing) - MOST_SHOWN} more"] * (len(existing) > MOST_SHOWN))]
        raise FileNotFoundError(
            f"no dataset {str(dataset)!r} in {datasets_root(root)} (existing: {', '.join(shown) or 'none'}). "
            f"{_advice(str(dataset), root)}"
        )
    return named


def _advice(dataset: str, root: str | Path | None) -> str:
    """Return the command that collects a dataset of a derived id, or else the one that lists the datasets."""
    place = "" if root is None else f" --root {shlex.quote(str(root))}"
    match = DERIVED_ID.fullmatch(dataset)
    if match is None or not is_lam_env(f"{match['env']}-v0"):
        return f"List all: python -m demos list{place}"
    options = [
        f"--{name} {match[name]}" for name in ("demonstrator", "strategy") if match[name] not in (None, "expert")
    ]
    options += [option for name, option in FLAGS.items() if match[name]]
    words = ["python -m demos collect", f"{match['env']}-v0", *options, "--episodes", match["episodes"]]
    return f"Collect it: {' '.join(words)} --seed {match['seed']}{place}"


def _format_problem(metadata: Metadata) -> str | None:
    """Return why a Minari dataset cannot be read, and what to do; None if it can be read."""
    data_format, version = metadata.get("data_format", "hdf5"), metadata.get("minari_version")
    if data_format != "hdf5":
        return f"has the format {data_format!r}; expected 'hdf5': write it again with data_format='hdf5'"
    if isinstance(version, str) and version not in minari.supported_dataset_versions:
        return (
            f"was written by Minari {version}, and Minari {minari.__version__} does not read that; expected one of "
            f"{', '.join(sorted(minari.supported_dataset_versions))}"
        )
    return None


def _check_complete(folder: Path, metadata: Metadata) -> None:
    for key in ("dataset_id", "minari_version", "observation_space", "action_space", "total_episodes"):
        if key not in metadata:
            raise ValueError(f"{METADATA_FILE_NAME} lacks {key!r}")
    episodes, collected = metadata["total_episodes"], is_collected(metadata)
    with open_data(folder / DATA_FILE) as file:
        # A damaged number of episodes may be huge.
        if len(file) != episodes or set(file) != {f"episode_{number}" for number in range(episodes)}:
            raise ValueError(f"it holds {len(file.keys())} of {episodes} episodes, or other names")
        linked = file.id.links.visit(lambda name, link: None if link.type == h5py.h5l.TYPE_HARD else name, info=True)
        if linked is not None:
            raise ValueError(f"{linked.decode(errors='replace')} is a link; expected data in this file")
        for name, group in file.items():
            steps = int(group.attrs["total_steps"])
            if int(group.attrs.get("seed", 0)) < 0:
                raise ValueError(f"{name} has a negative seed")
            _check_lengths(name, group, steps, infos_required=collected)
            if collected and is_lam_env(metadata[PLAN].get("env_id")) and "is_success" not in group["infos"]:
                raise ValueError(f"{name} does not record success")


def _check_lengths(name: str, group: h5py.Group, steps: int, *, infos_required: bool) -> None:
    lengths = dict.fromkeys(("actions", "rewards", "terminations", "truncations"), steps)
    lengths |= dict.fromkeys(("observations", "infos"), steps + 1)
    for part, length in lengths.items():
        # Minari does not require infos, and allows any shapes.
        if part == "infos" and part not in group and not infos_required:
            continue
        for key, array in _leaves(part, group[part]):
            shape = array.shape[:1] if isinstance(array, h5py.Dataset) else None
            if shape != (length,) and (part != "infos" or infos_required):
                raise ValueError(f"{name} has {steps} steps, and {key} has the shape {shape}; expected {length} rows")
            if array.external or array.is_virtual:
                raise ValueError(f"{key} of {name} is stored in another file; expected data in this file")


def _leaves(name: str, part: h5py.Group | h5py.Dataset) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield each array of a group with its path."""
    if isinstance(part, h5py.Group):
        for key, inner in part.items():
            yield from _leaves(f"{name}/{key}", inner)
    else:
        yield name, part


def installed(root: str | Path | None = None) -> Iterator[tuple[str, Metadata]]:
    """Yield id and metadata of every dataset, sorted by id; damaged ones with a warning and without metadata."""
    base = datasets_root(root)
    for folder in sorted(base.glob("**/data")):
        relative = folder.parent.relative_to(base)
        if any(part.startswith(".") for part in relative.parts):
            continue
        if not holds_dataset(folder):
            continue
        try:
            metadata = json.loads((folder / METADATA_FILE_NAME).read_text())
            if not isinstance(metadata, dict):
                raise ValueError(f"{METADATA_FILE_NAME} is not a JSON object")
        except (OSError, ValueError, RecursionError) as error:
            fault = access_error(error, folder) or f"the dataset at {folder} is damaged: {error}"
            warnings.warn(str(fault), stacklevel=2)
            metadata = {}
        yield relative.as_posix(), metadata

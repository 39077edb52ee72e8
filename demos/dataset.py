"""Where datasets are, what they say about themselves, and the environment they came from.

Datasets are plain Minari datasets, so ``minari.load_dataset`` and every tool built on it read them too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage

import lam_envs
from demos.episode import episodes_of
from lam_envs.registration import is_ours
from lam_envs.simulation import CONTROL_HZ

PLAN = "lam_envs_plan"
"""Key of the metadata that hold what :func:`demos.collect` was asked for."""
HISTORY = "lam_envs_history"
"""Key of the metadata that list what was done to the episodes since they were collected, first things first."""
FORM = "lam_envs_form"
"""Key of the metadata that hold the rate and the features of a dataset whose environment no longer tells them."""
TOLD_APART = ("step", "replays", "executes", "of")
"""Keys of a step of the history that are no settings."""
PLAIN_ID = re.compile(r"([^\W_][\w-]+/)*[^\W_][\w-]*-v[0-9]+")
"""Ids of which every part is a name that no tool takes for an option or a hidden file."""
DATA_FILE = "main_data.hdf5"
HIGHEST_RATE = 10_000.0
"""Steps per second: beyond it an episode would only fill the memory."""
SMALLEST_CACHE, LARGEST_CACHE = 2**18, 2**20
"""Bytes of descriptions of arrays that are kept; by default HDF5 keeps 32 times as much, and takes more."""


def datasets_root(root: str | Path | None = None) -> Path:
    """Returns the folder of all datasets: the one given, or Minari's own (``MINARI_DATASETS_PATH``).

    Raises:
        NotADirectoryError: There is a file in its place.
    """
    chosen = root or os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    # Minari misplaces files of relative folders.
    folder = Path(chosen).absolute()
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; expected the folder of all datasets")
    return folder


def checked_id(dataset_id: str) -> str:
    """Returns a dataset id that names a folder below the root and no other place.

    Raises:
        ValueError: It is not of the form ``(namespace/)name-v0``.
    """
    plain = DATASET_ID_RE.fullmatch(dataset_id) and PLAIN_ID.fullmatch(dataset_id)
    # The files of a dataset are in a folder of that name.
    if not plain or "data" in dataset_id.split("/"):
        raise ValueError(
            f"malformed dataset id {dataset_id!r}; expected (namespace/)name-v0 of letters, digits, '-' and '_', "
            "each with a letter or digit first, a namespace of two or more, and none called data"
        )
    return dataset_id


def dataset_folder(dataset_id: str, root: str | Path | None = None) -> Path:
    """Returns where a dataset's files are, or would be."""
    return datasets_root(root) / checked_id(dataset_id) / "data"


def load(dataset: str | Path, root: str | Path | None = None) -> minari.MinariDataset:
    """Opens a dataset.

    Args:
        dataset: An id, or the folder of one.
        root: The folder of all datasets; by default Minari's own.

    Raises:
        FileNotFoundError: There is no such dataset; says which there are.
        ValueError: The files are damaged, incomplete or not a dataset.
    """
    folder = find(dataset, root)
    try:
        metadata = json.loads((folder / METADATA_FILE_NAME).read_text())
        _check_complete(folder, metadata)
        opened = minari.MinariDataset(MinariStorage.read(folder))
    except Exception as error:  # A damaged file may have h5py and Minari raise anything.
        raise ValueError(
            f"the dataset at {folder} is damaged or incomplete ({error}). python -m demos check tells what is sound "
            "in it, and --repair keeps that; or make it anew."
        ) from error
    return opened


def holds_dataset(folder: Path) -> bool:
    """Whether a folder holds the files of a dataset, be they damaged, or only one of the two."""
    return any((folder / file).exists() for file in (METADATA_FILE_NAME, DATA_FILE))


def find(dataset: str | Path, root: str | Path | None = None) -> Path:
    """Returns the folder of a dataset's files, which may be damaged or incomplete.

    Args:
        dataset: An id, or the folder of one.
        root: The folder of all datasets; by default Minari's own.

    Raises:
        FileNotFoundError: There is no such dataset; says which there are.
    """
    given = Path(dataset).absolute()
    for folder in (given, given / "data"):
        if holds_dataset(folder):
            return folder
    named = None
    with contextlib.suppress(ValueError):
        named = dataset_folder(str(dataset), root)
    if named is None or not named.is_dir():
        there = ", ".join(name for name, _ in installed(root)) or "none"
        raise FileNotFoundError(
            f"no dataset {str(dataset)!r} in {datasets_root(root)} (there: {there}). "
            "Collect one: python -m demos collect LamGrasp-v0 --episodes 100 --seed 0"
        )
    return named


def open_data(path: Path) -> h5py.File:
    """Opens a data file for reading; what HDF5 keeps of its descriptions does not grow with the episodes read.

    Args:
        path: Of the file.
    """
    file = h5py.File(path, "r")
    cache = file.id.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = SMALLEST_CACHE
    cache.max_size = LARGEST_CACHE
    file.id.set_mdc_config(cache)
    return file


def _check_complete(folder: Path, metadata: Mapping[str, Any]) -> None:
    for key in ("dataset_id", "minari_version", "observation_space", "action_space", "total_episodes"):
        if key not in metadata:
            raise ValueError(f"{METADATA_FILE_NAME} lacks {key!r}")
    episodes = metadata["total_episodes"]
    with open_data(folder / DATA_FILE) as file:
        # A damaged number may be too large to count to.
        if len(file) != episodes or set(file) != {f"episode_{number}" for number in range(episodes)}:
            raise ValueError(f"{len(file.keys())} of {episodes} episodes, or other names")
        elsewhere = file.id.links.visit(
            lambda name, link: None if link.type == h5py.h5l.TYPE_HARD else name, info=True
        )
        if elsewhere is not None:
            raise ValueError(f"{elsewhere.decode(errors='replace')} is a link, expected it to be there itself")
        for name, group in file.items():
            steps = int(group.attrs["total_steps"])
            if int(group.attrs.get("seed", 0)) < 0:
                raise ValueError(f"{name} has a negative seed")
            _check_lengths(name, group, steps)
            if is_ours(metadata.get(PLAN, {}).get("env_id")) and "is_success" not in group["infos"]:
                raise ValueError(f"{name} does not say whether it succeeded")


def _check_lengths(name: str, group: h5py.Group, steps: int) -> None:
    lengths = dict.fromkeys(("actions", "rewards", "terminations", "truncations"), steps)
    # Minari's datasets need no infos.
    lengths |= dict.fromkeys(("observations", *["infos"] * ("infos" in group)), steps + 1)
    for part, length in lengths.items():
        for key, array in _leaves(part, group[part]):
            found = array.shape[:1] if isinstance(array, h5py.Dataset) else None
            if found != (length,):
                raise ValueError(f"{name} has {steps} steps, and {key} of shape {found}")
            if array.external or array.is_virtual:
                raise ValueError(f"{key} of {name} lies in another file")


def _leaves(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """Everything in a group that is no group, with its way."""
    if isinstance(part, h5py.Group):
        for key, inner in part.items():
            yield from _leaves(f"{name}/{key}", inner)
    else:
        yield name, part


def installed(root: str | Path | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the id and metadata of every dataset, sorted by id; damaged ones with a warning and no metadata."""
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
                raise ValueError(f"{METADATA_FILE_NAME} is no JSON object")
        except (OSError, ValueError, RecursionError) as error:
            warnings.warn(f"the dataset at {folder} is damaged: {error}", stacklevel=2)
            metadata = {}
        yield relative.as_posix(), metadata


def plan_of(dataset: minari.MinariDataset) -> dict[str, Any]:
    """Returns what the dataset was collected with: ``env_id``, ``env_kwargs``, ``seed``, versions and so on.

    Raises:
        ValueError: The dataset was not collected by :func:`demos.collect`.
    """
    plan = dataset.storage.metadata.get(PLAN)
    if not isinstance(plan, dict) or not isinstance(plan.get("env_id"), str):
        raise ValueError(f"dataset {dataset.id} does not say which lam_envs environment it comes from")
    return plan


def history_of(dataset: minari.MinariDataset) -> list[dict[str, Any]]:
    """Returns what was done to the episodes since they were collected, first things first.

    Returns:
        For each step its name (``step``), whether the actions still give the episodes if they did before
        (``replays``), whether the episodes were executed anew (``executes``), the id of the dataset that it was done
        to (``of``), and its settings.
    """
    history = dataset.storage.read_raw_metadata(dataset.storage.data_path).get(HISTORY, [])
    return [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []


def changes_of(dataset: minari.MinariDataset) -> list[str]:
    """Returns the names of the steps because of which actions no longer give their episodes; none if they do."""
    changes: list[str] = []
    for step in history_of(dataset):
        if step.get("executes"):
            changes = []
        elif not step.get("replays"):
            changes.append(str(step.get("step")))
    return changes


def make_env(dataset: minari.MinariDataset, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes the environment that a dataset was collected in.

    Only registered ids of lam_envs are made, those of one's own tasks included: a dataset names no code to import.

    Args:
        dataset: A dataset of :func:`demos.collect`.
        kwargs: What to set besides, such as ``render_mode``.

    Raises:
        ValueError: The dataset names no environment of lam_envs.
    """
    plan = plan_of(dataset)
    if not is_ours(plan["env_id"]):
        raise ValueError(
            f"dataset {dataset.id} was collected in {plan['env_id']!r}; known: {', '.join(lam_envs.ENV_IDS)}"
        )
    return gym.make(plan["env_id"], **{**plan.get("env_kwargs", {}), **kwargs})


def rate_of(dataset: minari.MinariDataset) -> float | None:
    """Returns the steps per second of a dataset's episodes, which preprocessing may have changed.

    Returns:
        The rate that the metadata hold, or else that of the environment; None if neither is known.

    Raises:
        ValueError: The metadata hold a rate that is no positive number.
    """
    metadata = dataset.storage.read_raw_metadata(dataset.storage.data_path)
    if FORM in metadata:
        saved = metadata[FORM]
        return checked_rate(saved.get("rate") if isinstance(saved, dict) else saved)
    return environment_rate(dataset)


def environment_rate(dataset: minari.MinariDataset) -> float | None:
    """Returns the steps per second of the environment that a dataset comes from; None if it is none of lam_envs."""
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError:
        env_id = None if dataset.env_spec is None else dataset.env_spec.id
    return float(CONTROL_HZ) if is_ours(env_id) else None


def checked_rate(rate: Any) -> float | None:
    """Returns a rate that was read, None if it is unknown.

    Raises:
        ValueError: It is no positive number.
    """
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 < rate <= HIGHEST_RATE:
        raise ValueError(
            f"the metadata of the dataset are damaged: the rate is {rate!r}; "
            f"expected a positive number of steps per second, at most {HIGHEST_RATE:g}"
        )
    return float(rate)


def episode_seeds(dataset: minari.MinariDataset) -> list[int]:
    """Returns the seed that each episode was reset with.

    Raises:
        ValueError: An episode has none.
    """
    seeds: list[int] = []
    for metadata in dataset.storage.get_episode_metadata(dataset.episode_indices):
        if metadata.get("seed") is None:
            raise ValueError(f"episode {metadata.get('id')} of dataset {dataset.id} has no seed")
        seeds.append(int(metadata["seed"]))
    return seeds


def describe(dataset: minari.MinariDataset) -> dict[str, Any]:
    """Returns what one wants to know of a dataset first.

    Returns:
        Id, environment, keywords, seed, episodes, steps, steps per second,
        success rate at the last step, mean return, size in MB, folder,
        and the versions that made it.
    """
    plan = dataset.storage.metadata.get(PLAN)
    plan = plan if isinstance(plan, dict) else {}
    spec = dataset.spec.env_spec
    returns: list[float] = []
    successes = 0
    for episode in episodes_of(dataset):
        returns.append(episode.total_return)
        successes += bool(episode.success)
    episodes = len(returns)
    return {
        "id": dataset.id,
        "environment": plan.get("env_id") or (spec.id if spec is not None else "unknown"),
        "keywords": plan.get("env_kwargs", {}),
        "seed": plan.get("seed"),
        "episodes": episodes,
        "steps": dataset.total_steps,
        "steps per second": rate_of(dataset) or "unknown",
        "success rate": successes / episodes if episodes else 0.0,
        "mean return": sum(returns) / episodes if episodes else 0.0,
        "history": "; ".join(_told(step) for step in history_of(dataset)) or "as collected",
        "attempts that failed and are left out": dataset.storage.metadata.get("lam_envs_dropped", 0),
        "size in MB": float(dataset.storage.get_size()),
        "folder": str(dataset.storage.data_path),
        "versions": plan.get("versions", {}),
        "libraries": plan.get("libraries", {}),
    }


def _told(step: Mapping[str, Any]) -> str:
    """A step of the history in words."""
    settings = ", ".join(f"{name} {value}" for name, value in step.items() if name not in TOLD_APART)
    return f"{step.get('step')}{f' ({settings})' if settings else ''} of {step.get('of')}"

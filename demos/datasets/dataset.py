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
from gymnasium.envs.registration import EnvSpec, registry
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage, is_image_space

import lam_envs
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import episodes_of
from demos.runtime.access import access_error
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import is_ours

PLAN = "lam_envs_plan"
"""Key of the metadata that hold what :func:`demos.collect` was asked for."""
WITH_OTHERS = "with_others"
"""Key of the plan of a merged dataset: True if not all episodes were collected by this package."""
HISTORY = "lam_envs_history"
"""Key of the metadata that list what was done to the episodes since they were collected, first things first."""
FORM = "lam_envs_form"
"""Key of the metadata that hold the rate and the features of a dataset that differ from its environment's."""
TOLD_APART = ("step", "replays", "executes", "of")
"""Keys of a step of the history that are no settings."""
PLAIN_ID = re.compile(r"([^\W_][\w-]+/)*[^\W_][\w-]*-v[0-9]+")
"""Ids of which every part is a name that no tool takes for an option or a hidden file."""
HIGHEST_RATE = 10_000.0
"""Largest rate, steps per second: episodes of higher rates would only fill the memory."""
DRAWING = ("render_mode", "render_width", "render_height", "camera")
"""Keywords of environments that change how :meth:`render` draws, and do not change episodes."""
PLAIN_TEXT = re.compile(r"[\w -]*")
"""Texts that name no file and nothing to import."""


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
        OSError: The files are locked or may not be read, which is not damage.
        ValueError: The files are damaged, incomplete, not a dataset, or of an unsupported format or version.
    """
    folder = find(dataset, root)
    try:
        metadata = json.loads((folder / METADATA_FILE_NAME).read_text())
        unread = _unread_format(metadata)
        if unread is None:
            _check_complete(folder, metadata)
            opened = minari.MinariDataset(MinariStorage.read(folder))
    except Exception as error:  # A damaged file may have h5py and Minari raise anything.
        if (locked := access_error(error, folder)) is not None:
            raise locked from error
        raise ValueError(
            f"the dataset at {folder} is damaged or incomplete ({error}). python -m demos check tells what is sound "
            "in it, and --repair keeps that; or make it anew."
        ) from error
    if unread is not None:
        raise ValueError(f"the dataset at {folder} {unread}")
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


def _unread_format(metadata: Mapping[str, Any]) -> str | None:
    """Return why a sound dataset of Minari cannot be read, and what to do; None if it can be read."""
    data_format, version = metadata.get("data_format", "hdf5"), metadata.get("minari_version")
    if data_format != "hdf5":
        return f"is stored as {data_format!r}; expected 'hdf5': write it again with data_format='hdf5'"
    if isinstance(version, str) and version not in minari.supported_dataset_versions:
        return (
            f"was written by Minari {version}, and Minari {minari.__version__} does not read that; expected one of "
            f"{', '.join(sorted(minari.supported_dataset_versions))}"
        )
    return None


def _check_complete(folder: Path, metadata: Mapping[str, Any]) -> None:
    for key in ("dataset_id", "minari_version", "observation_space", "action_space", "total_episodes"):
        if key not in metadata:
            raise ValueError(f"{METADATA_FILE_NAME} lacks {key!r}")
    episodes, collected = metadata["total_episodes"], is_collected(metadata)
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
            _check_lengths(name, group, steps, recorded_here=collected)
            if collected and is_ours(metadata[PLAN].get("env_id")) and "is_success" not in group["infos"]:
                raise ValueError(f"{name} does not say whether it succeeded")


def _check_lengths(name: str, group: h5py.Group, steps: int, *, recorded_here: bool) -> None:
    lengths = dict.fromkeys(("actions", "rewards", "terminations", "truncations"), steps)
    lengths |= dict.fromkeys(("observations", "infos"), steps + 1)
    for part, length in lengths.items():
        # Minari does not require infos, and they may be anything.
        if part == "infos" and part not in group and not recorded_here:
            continue
        for key, array in _leaves(part, group[part]):
            found = array.shape[:1] if isinstance(array, h5py.Dataset) else None
            if found != (length,) and (part != "infos" or recorded_here):
                raise ValueError(f"{name} has {steps} steps, and {key} of shape {found}; expected {length} moments")
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
            fault = access_error(error, folder) or f"the dataset at {folder} is damaged: {error}"
            warnings.warn(str(fault), stacklevel=2)
            metadata = {}
        yield relative.as_posix(), metadata


def is_collected(metadata: Mapping[str, Any]) -> bool:
    """Return whether :func:`demos.collect` recorded all episodes of a dataset.

    Datasets that Minari or an import wrote may lack seeds, infos and the flag of success.

    Args:
        metadata: Metadata of the dataset.
    """
    plan = metadata.get(PLAN)
    return isinstance(plan, dict) and "qualities" in plan and not plan.get(WITH_OTHERS)


def plan_of(dataset: minari.MinariDataset) -> dict[str, Any]:
    """Returns what the dataset was collected with: ``env_id``, ``env_kwargs``, ``seed``, versions and so on.

    Of a dataset that was not collected by :func:`demos.collect`, only ``env_id`` and ``env_kwargs`` are known, from
    its ``env_spec``.

    Raises:
        ValueError: The dataset does not record which environment it comes from.
    """
    plan = dataset.storage.metadata.get(PLAN)
    if plan is None and dataset.env_spec is not None:
        plan = {"env_id": dataset.env_spec.id, "env_kwargs": _given_kwargs(dataset.env_spec)}
    if not isinstance(plan, dict) or not isinstance(plan.get("env_id"), str):
        raise ValueError(
            f"dataset {dataset.id} does not record which environment it comes from: it has no env_spec. Write it "
            "again with env=..., as minari.create_dataset_from_buffers takes it"
        )
    return plan


def _given_kwargs(spec: EnvSpec) -> dict[str, Any]:
    """Return the keywords of ``gym.make`` that made an environment, without those of its rendering."""
    known = registry.get(spec.id)
    registered = {} if known is None else known.kwargs
    given = {
        name: value
        for name, value in spec.kwargs.items()
        if name not in DRAWING and not (name in registered and registered[name] == value)
    }
    if known is not None and spec.max_episode_steps not in (None, known.max_episode_steps):
        given["max_episode_steps"] = spec.max_episode_steps
    return given


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

    Only registered ids are made, your own included, by their registration here: a dataset cannot name code to
    import.

    Args:
        dataset: Any dataset of Minari.
        kwargs: What to set besides, such as ``render_mode``.

    Raises:
        ValueError: The dataset names no environment, or one that is not registered or cannot be made.
    """
    plan = plan_of(dataset)
    env_id, given = plan["env_id"], plan.get("env_kwargs") or {}
    if env_id not in registry:
        raise ValueError(
            f"dataset {dataset.id} was collected in {env_id!r}, which is not registered: import the package of the "
            f"environment first. Known: {', '.join(lam_envs.ENV_IDS)}"
        )
    if not isinstance(given, dict):
        raise ValueError(f"dataset {dataset.id} has env_kwargs {given!r}; expected keywords by name")
    if not is_ours(env_id) and not _is_plain(given):
        raise ValueError(
            f"dataset {dataset.id} was collected in {env_id!r} with {given}; for environments outside of lam_envs, "
            "expected numbers and plain names: other values could name files, or code to run"
        )
    return gym.make(env_id, **{**given, **kwargs})


def _is_plain(value: Any) -> bool:
    """Return whether a value of JSON holds only numbers, and texts that name no file and no code."""
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or PLAIN_TEXT.fullmatch(value) is not None


def stores_jpeg(dataset: minari.MinariDataset) -> bool:
    """Return whether a dataset holds images that are stored as JPEG, which loses detail.

    Minari notes ``jpeg_encoding`` by default, also of datasets without images.
    """
    images = holds_images(dataset.observation_space) or holds_images(dataset.action_space)
    return bool(dataset.storage.jpeg_encoding) and images


def holds_images(space: gym.Space[Any]) -> bool:
    """Return whether a space has parts that Minari takes for images."""
    if isinstance(space, gym.spaces.Dict):
        return any(map(holds_images, space.spaces.values()))
    if isinstance(space, gym.spaces.Tuple):
        return any(map(holds_images, space.spaces))
    return bool(is_image_space(space))


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
    """Returns the steps per second of the environment that a dataset comes from; None outside of lam_envs."""
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
            raise ValueError(
                f"episode {metadata.get('id')} of dataset {dataset.id} has no seed: its actions cannot be "
                "re-executed from its start. If states were recorded, replay these: python -m demos replay --states"
            )
        seeds.append(int(metadata["seed"]))
    return seeds


def describe(dataset: minari.MinariDataset) -> dict[str, Any]:
    """Returns what one wants to know of a dataset first.

    Returns:
        Id, environment, keywords, seed, episodes, steps, steps per second, success rate at the last step of the
        episodes that record it (None if none does), mean return, size in MB, folder, and the versions that made it.
    """
    try:
        plan = plan_of(dataset)
    except ValueError:
        plan = {}
    returns: list[float] = []
    successes: list[bool] = []
    for episode in episodes_of(dataset):
        returns.append(episode.total_return)
        if episode.success is not None:
            successes.append(episode.success)
    episodes = len(returns)
    return {
        "id": dataset.id,
        "environment": plan.get("env_id", "unknown"),
        "keywords": plan.get("env_kwargs", {}),
        "seed": plan.get("seed"),
        "episodes": episodes,
        "steps": dataset.total_steps,
        "steps per second": rate_of(dataset) or "unknown",
        "success rate": sum(successes) / len(successes) if successes else None,
        "mean return": sum(returns) / episodes if episodes else 0.0,
        "history": "; ".join(_told(step) for step in history_of(dataset)) or "as collected",
        "attempts that failed and are left out": dataset.storage.metadata.get("lam_envs_dropped", 0),
        "size in MB": float(dataset.storage.get_size()),
        "folder": str(dataset.storage.data_path),
        "versions": plan.get("versions", {}),
        "libraries": plan.get("libraries", {}),
    }


def libraries_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions of libraries of a plan; plans of older code have them among their versions.

    Args:
        plan: Of :func:`plan_of`.
    """
    found = plan.get("libraries") or plan.get("versions")
    return found if isinstance(found, dict) else {}


def _told(step: Mapping[str, Any]) -> str:
    """A step of the history in words."""
    settings = ", ".join(f"{name} {value}" for name, value in step.items() if name not in TOLD_APART)
    return f"{step.get('step')}{f' ({settings})' if settings else ''} of {step.get('of')}"

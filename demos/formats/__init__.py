"""Datasets of other libraries: robomimic, LeRobot, imitation, and plain NumPy.

An export writes beside the episodes where they come from, wherever a format leaves room for that; an import of such
a file gives the dataset again, and says in the history whether every episode is what it was. Imports run nothing that
a file names: no pickle, no class, no path.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from rich.progress import track

from demos.datasets.episode import DIGEST, Episode
from demos.datasets.loading import dataset_folder, load
from demos.datasets.metadata import HISTORY, PLAN
from demos.datasets.writing import DatasetWriter, dataset_writer
from demos.formats import imitation, lerobot, npz, robomimic
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, atomic_output, read_all, reading
from demos.formats.source import source_of
from demos.formats.spaces import fitted, leaf_spaces
from demos.preprocess.schema import DatasetSchema, schema_of_env
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import is_lam_env
from lam_envs.validation import check_name

FORMATS: dict[str, Format] = {
    "robomimic": robomimic.FORMAT,
    "lerobot": lerobot.FORMAT,
    "imitation": imitation.FORMAT,
    "npz": npz.FORMAT,
}
"""The formats by name."""

__all__ = ["FORMATS", "Format", "export_dataset", "import_dataset"]


def export_dataset(
    dataset: minari.MinariDataset,
    format: str,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Write a dataset for another library, whole or not at all, in memory for a few episodes.

    Args:
        dataset: Any of Minari's, with spaces of numbers.
        format: A name of :data:`FORMATS`.
        out: The file or folder to write.
        overwrite: Replace a file, or a folder of that format.
        progress: Show a bar.

    Returns:
        What the format cannot hold, a line each; an import does not bring that back.

    Raises:
        FileExistsError: There is something under that name.
        ModuleNotFoundError: The format needs a library that is not installed.
        ValueError: An unknown format, one that has no place for such observations or actions, or a path within the
            dataset.
    """
    chosen = FORMATS[check_name("format", format, FORMATS)]
    if Path(out).resolve().is_relative_to(dataset.storage.data_path.resolve()):
        raise ValueError(f"{out} is within the dataset that is exported; give another path")
    with atomic_output(Path(out), chosen.marker, overwrite=overwrite) as path:
        source = source_of(dataset, progress=progress)
        return [*source.losses, *chosen.write(source, path)]


def import_dataset(
    path: str | Path,
    format: str,
    dataset_id: str,
    *,
    root: str | Path | None = None,
    env_id: str | None = None,
    env_kwargs: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Make a dataset of a file or folder of another library.

    Args:
        path: What to read. It need not be trusted.
        format: A name of :data:`FORMATS`.
        dataset_id: Name of the new dataset.
        root: The folder of all datasets; by default Minari's own.
        env_id: The environment that the episodes come from. What :func:`export_dataset` wrote tells it by itself.
        env_kwargs: Keywords for ``gym.make``.
        overwrite: Replace a dataset of that name.
        progress: Show a bar.

    Returns:
        The dataset. Its history says ``import``, and whether all came back as it was exported (``replays``).

    Raises:
        FileExistsError: There is such a dataset.
        FileNotFoundError: There is nothing to read.
        ModuleNotFoundError: The format needs a library that is not installed.
        ValueError: The file is not of the format, is damaged, or does not fit the environment.
    """
    chosen = FORMATS[check_name("format", format, FORMATS)]
    if env_id is None and env_kwargs:
        raise ValueError(f"env_kwargs are {env_kwargs}, and env_id is not given; give both or none")
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no {source}; expected {chosen.title}")
    with _Opening(source, chosen) as opened:
        opened, spec, plan = _placed(opened, source, env_id, env_kwargs or {})
        came = opened.provenance
        metadata = {**(came.metadata if came is not None else {}), **({PLAN: plan} if plan else {})}
        metadata |= _rate_metadata(opened, plan)
        step = {"step": "import", "format": format, **opened.notes}
        with dataset_writer(
            dataset_id,
            opened.observation_space,
            opened.action_space,
            spec,
            metadata,
            root=root,
            overwrite=overwrite,
        ) as writer:
            intact = _copy(opened, writer, source, progress=progress)
            origin = came.dataset_id if came is not None else source.name
            step |= {"replays": intact and (bool(plan) or spec is not None), "of": origin}
            metadata[HISTORY] = [*metadata.get(HISTORY, []), step]
    return load(dataset_folder(dataset_id, root))


class _Opening:
    """Opens a foreign file; what fails meanwhile is the file's fault, and what fails later is not."""

    def __init__(self, path: Path, chosen: Format) -> None:
        self._path, self._title = path, chosen.title
        self._context = chosen.read(path)

    def __enter__(self) -> ImportedDataset:
        with reading(self._path, self._title):
            opened = self._context.__enter__()
        return replace(opened, episodes=read_all(opened.episodes, self._path, self._title))

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)


def _placed(
    opened: ImportedDataset, path: Path, env_id: str | None, env_kwargs: dict[str, Any]
) -> tuple[ImportedDataset, EnvSpec | None, dict[str, Any]]:
    """Says which environment the episodes come from.

    Returns:
        The file with the environment's spaces, its specification, and the plan of the new dataset.
    """
    came = opened.provenance
    plan = came.metadata.get(PLAN) if came is not None else None
    plan = dict(plan) if isinstance(plan, dict) else {}
    if env_id is None:
        return opened, came.env_spec if came is not None else None, plan
    if plan and (plan.get("env_id"), plan.get("env_kwargs", {})) != (env_id, env_kwargs):
        raise ValueError(
            f"{path} says that it comes from {plan.get('env_id')} with {plan.get('env_kwargs')}; "
            f"given: {env_id} with {env_kwargs}. Leave env_id and env_kwargs out."
        )
    env = gym.make(env_id, **env_kwargs)
    try:
        leaf_spaces(env.observation_space), leaf_spaces(env.action_space)
        placed = replace(opened, observation_space=env.observation_space, action_space=env.action_space)
        return placed, env.spec, {**plan, "env_id": env_id, "env_kwargs": env_kwargs}
    finally:
        env.close()


def _rate_metadata(opened: ImportedDataset, plan: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with the rate in the file, if it is not the environment's."""
    named = is_lam_env(plan.get("env_id"))
    if opened.rate is None or (named and opened.rate == CONTROL_HZ):
        return {}
    if not named:
        return DatasetSchema(opened.observation_space, opened.action_space, None, opened.rate, None, None).metadata()
    env = gym.make(plan["env_id"], **plan["env_kwargs"])
    try:
        return replace(schema_of_env(env, plan), rate=opened.rate).metadata()
    finally:
        env.close()


def _copy(opened: ImportedDataset, writer: DatasetWriter, path: Path, *, progress: bool) -> bool:
    """Write all episodes; returns whether each is what it was when it was exported."""
    told: list[str | None] = []
    seeded = True
    for imported in track(opened.episodes, "importing", total=opened.total, disable=not progress):
        episode = _checked(imported, opened, f"{path}: episode {writer.episodes}")
        writer.add(episode)
        told.append(imported.sha256)
        seeded = seeded and episode.seed is not None
    with h5py.File(writer.data_file, "r") as file:
        found = [file[f"episode_{number}"].attrs[DIGEST] for number in range(writer.episodes)]
    return seeded and found == told


def _checked(imported: ImportedEpisode, opened: ImportedDataset, name: str) -> Episode:
    """The episode, if it fits the spaces."""
    episode = imported.episode
    steps = len(episode)
    cast = opened.provenance is None
    observations = fitted(
        episode.observations, opened.observation_space, steps + 1, f"{name}: observations", cast_to_space=cast
    )
    actions = fitted(episode.actions, opened.action_space, steps, f"{name}: actions", cast_to_space=cast)
    rewards = np.asarray(episode.rewards)
    if steps < 1 or rewards.shape != (steps,) or not np.isfinite(rewards).all():
        raise ValueError(f"{name}: rewards are {rewards.dtype} {rewards.shape}; expected finite numbers, one a step")
    if episode.seed is not None and not 0 <= episode.seed < 2**64:
        raise ValueError(f"{name}: the seed is {episode.seed}; expected a whole number from 0 to 2**64 - 1")
    return replace(episode, observations=observations, actions=actions)

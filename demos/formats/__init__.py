"""Formats of other libraries: robomimic, LeRobot, imitation, and plain NumPy.

An export also writes the provenance of the episodes, where the format allows it; an import of such a file gives the
same dataset, and records in the history whether every episode is unchanged. Imports never run code from a file: no
unpickling, and no imports or paths that the file names.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType

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
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, atomic_output, errors_naming_file, read_all
from demos.formats.source import source_of
from demos.formats.spaces import check_against_space, leaf_spaces
from demos.preprocess.schema import DatasetSchema, schema_of_env
from demos.runtime.types import JsonObject, Keywords, Metadata
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.registration import is_lam_env
from lam_envs.validation import check_name

FORMATS: dict[str, Format] = {
    "robomimic": robomimic.FORMAT,
    "lerobot": lerobot.FORMAT,
    "imitation": imitation.FORMAT,
    "npz": npz.FORMAT,
}
"""Formats by name."""

__all__ = ["FORMATS", "Format", "export_dataset", "import_dataset"]


def export_dataset(
    dataset: minari.MinariDataset,
    format: str,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> list[str]:
    """Export a dataset to a format of another library, atomically and one episode at a time.

    Args:
        dataset: Minari dataset with spaces of numbers.
        format: Name in :data:`FORMATS`.
        out: File or folder to write.
        overwrite: Replace an existing file, or folder of that format.
        progress: Show a progress bar.

    Returns:
        Lines that describe the data that the format cannot store.

    Raises:
        FileExistsError: The path exists and must not be replaced.
        ModuleNotFoundError: The format needs a library that is not installed.
        ValueError: The format is unknown or cannot hold the observations or actions, or the path is within the
            folder of the dataset.
    """
    chosen = FORMATS[check_name("format", format, FORMATS)]
    if Path(out).resolve().is_relative_to(dataset.storage.data_path.resolve()):
        raise ValueError(f"{out} is within the exported dataset; choose another path")
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
    env_kwargs: Keywords | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> minari.MinariDataset:
    """Import a file or folder of another library as a dataset.

    Args:
        path: File or folder to read, which need not be trusted.
        format: Name in :data:`FORMATS`.
        dataset_id: Id of the new dataset.
        root: Folder of all datasets; Minari's own by default.
        env_id: Environment of the episodes. Files of :func:`export_dataset` record it.
        env_kwargs: Keywords for ``gym.make``.
        overwrite: Replace a dataset of that id.
        progress: Show a progress bar.

    Returns:
        The dataset. Its history records the import, and whether all episodes are unchanged (``replays``).

    Raises:
        FileExistsError: A dataset of that id exists.
        FileNotFoundError: The path does not exist.
        ModuleNotFoundError: The format needs a library that is not installed.
        ValueError: The file has another format, is damaged, or does not fit the environment.
    """
    chosen = FORMATS[check_name("format", format, FORMATS)]
    if env_id is None and env_kwargs:
        raise ValueError(f"env_kwargs are {env_kwargs} without env_id; set both or none")
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist; expected {chosen.title}")
    with _Opening(source, chosen) as opened:
        opened, spec, plan = _with_environment(opened, source, env_id, env_kwargs or {})
        provenance = opened.provenance
        metadata = {**(provenance.metadata if provenance is not None else {}), **({PLAN: plan} if plan else {})}
        metadata |= _rate_metadata(opened, plan)
        step: dict[str, object] = {"step": "import", "format": format, **opened.notes}
        with dataset_writer(
            dataset_id,
            opened.observation_space,
            opened.action_space,
            spec,
            metadata,
            root=root,
            overwrite=overwrite,
        ) as writer:
            unchanged = _copy(opened, writer, source, progress=progress)
            origin = provenance.dataset_id if provenance is not None else source.name
            step |= {"replays": unchanged and (bool(plan) or spec is not None), "of": origin}
            metadata[HISTORY] = [*metadata.get(HISTORY, []), step]
    return load(dataset_folder(dataset_id, root))


class _Opening:
    """Context of an opened file; errors of reading it name the file, and later errors do not."""

    def __init__(self, path: Path, chosen: Format) -> None:
        self._path, self._title = path, chosen.title
        self._context = chosen.read(path)

    def __enter__(self) -> ImportedDataset:
        with errors_naming_file(self._path, self._title):
            opened = self._context.__enter__()
        return replace(opened, episodes=read_all(opened.episodes, self._path, self._title))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, traceback)


def _with_environment(
    opened: ImportedDataset, path: Path, env_id: str | None, env_kwargs: Keywords
) -> tuple[ImportedDataset, EnvSpec | None, JsonObject]:
    """Return the opened file with the environment of the episodes.

    Returns:
        The file with the spaces of the environment, its specification, and the plan of the new dataset.
    """
    provenance = opened.provenance
    plan = provenance.metadata.get(PLAN) if provenance is not None else None
    plan = dict(plan) if isinstance(plan, dict) else {}
    if env_id is None:
        return opened, provenance.env_spec if provenance is not None else None, plan
    if plan and (plan.get("env_id"), plan.get("env_kwargs", {})) != (env_id, env_kwargs):
        raise ValueError(
            f"{path} records the environment {plan.get('env_id')} with {plan.get('env_kwargs')}; "
            f"found {env_id} with {env_kwargs}. Omit env_id and env_kwargs."
        )
    env = gym.make(env_id, **env_kwargs)
    try:
        leaf_spaces(env.observation_space), leaf_spaces(env.action_space)
        result = replace(opened, observation_space=env.observation_space, action_space=env.action_space)
        return result, env.spec, {**plan, "env_id": env_id, "env_kwargs": env_kwargs}
    finally:
        env.close()


def _rate_metadata(opened: ImportedDataset, plan: JsonObject) -> Metadata:
    """Return metadata with the rate of the file, if it differs from that of the environment."""
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
    """Write all episodes; return True if each is the same as when it was exported."""
    exported: list[str | None] = []
    instructions = dict(enumerate(() if opened.provenance is None else opened.provenance.instructions))
    seeded = True
    for imported in track(opened.episodes, "importing", total=opened.total, disable=not progress):
        episode = _checked(imported, opened, f"{path}: episode {writer.episodes}")
        writer.add(replace(episode, instruction=instructions.get(writer.episodes, episode.instruction)))
        exported.append(imported.sha256)
        seeded = seeded and episode.seed is not None
    with h5py.File(writer.data_file, "r") as file:
        digests = [file[f"episode_{number}"].attrs[DIGEST] for number in range(writer.episodes)]
    return seeded and digests == exported


def _checked(imported: ImportedEpisode, opened: ImportedDataset, name: str) -> Episode:
    """Return the episode, after a check that it fits the spaces."""
    episode = imported.episode
    steps = len(episode)
    cast = opened.provenance is None
    observations = check_against_space(
        episode.observations, opened.observation_space, steps + 1, f"{name}: observations", cast_to_space=cast
    )
    actions = check_against_space(episode.actions, opened.action_space, steps, f"{name}: actions", cast_to_space=cast)
    rewards = np.asarray(episode.rewards)
    if steps < 1 or rewards.shape != (steps,) or not np.isfinite(rewards).all():
        raise ValueError(
            f"{name}: rewards are {rewards.dtype} {rewards.shape}; expected one finite number for each step"
        )
    if episode.seed is not None and not 0 <= episode.seed < 2**64:
        raise ValueError(f"{name}: the seed is {episode.seed}; expected an integer from 0 to 2**64 - 1")
    return replace(episode, observations=observations, actions=actions)

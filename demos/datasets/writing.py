"""Write datasets: whole or not at all, every episode signed, the folder sealed.

Arrays are written in one piece each. Minari reads that like its own, and so can anything that knows where a piece
begins: a window of an episode is read without the rest of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from filelock import FileLock, Timeout
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_storage import MinariStorage

from demos.datasets.checksum import content_digest, episode_digest, seal
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import DIGEST, Episode
from demos.datasets.loading import dataset_folder, datasets_root, holds_dataset
from demos.datasets.metadata import HISTORY, history_of, holds_images
from demos.datasets.tree import tree_leaves

NOTES_OF_MINARI: dict[str, Any] = {
    "algorithm_name": str,
    "code_permalink": str,
    "description": str,
    "requirements": list,
    "eval_env_spec": str,
    "ref_min_score": (int, float),
    "ref_max_score": (int, float),
    "num_episodes_average_score": int,
}
"""Minari's metadata of the whole dataset that stay true of a part of it, with their types."""
PARTS = ("observations", "actions", "rewards", "terminations", "truncations", "infos")
"""Of an episode."""


class Draft:
    """A dataset that is being written.

    Args:
        folder: Where; made anew, in a folder that exists.
        observation_space: Of the episodes.
        action_space: Of the episodes.
        env_spec: The environment that they come from; None if it is unknown or JSON cannot hold it.
        jpeg: Store pictures as JPEG.
    """

    def __init__(
        self,
        folder: Path,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        env_spec: EnvSpec | None = None,
        *,
        jpeg: bool = False,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # Without images there is nothing to store as JPEG, and Minari's own writing is slow.
        jpeg = jpeg and (holds_images(observation_space) or holds_images(action_space))
        self.folder = folder
        self.storage = MinariStorage.new(
            folder, observation_space, action_space, _storable(env_spec), jpeg_encoding=jpeg
        )
        self.episodes = 0
        self._steps = 0
        self._jpeg = jpeg

    @property
    def data_file(self) -> Path:
        """The file of all episodes."""
        return self.folder / DATA_FILE

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        self._steps += len(episode)
        if self._jpeg or not all(map(_is_plain, (episode.observations, episode.actions, episode.infos))):
            self.storage.update_episodes([episode.buffer()])
            with h5py.File(self.data_file, "a") as file:
                group = file[f"episode_{self.episodes}"]
                group.attrs[DIGEST] = episode_digest(group)
        else:
            attributes, parts = written_form(episode)
            with h5py.File(self.data_file, "a", track_order=True) as file:
                group = file.create_group(f"episode_{self.episodes}")
                group.attrs["id"] = self.episodes
                for name, value in {**attributes, DIGEST: content_digest(attributes, parts)}.items():
                    group.attrs[name] = value
                for name, part in parts.items():
                    _write(group, name, part)
        self.episodes += 1

    def copy(self, source: Path, indices: Iterable[int]) -> None:
        """Append episodes of a data file as they are, seeds and checksums included; signs those that are not signed.

        Args:
            source: The data file of another dataset of the same spaces.
            indices: Numbers of the episodes.
        """
        with open_data(source) as origin, h5py.File(self.data_file, "a", track_order=True) as file:
            for index in indices:
                there, name = origin[f"episode_{index}"], f"episode_{self.episodes}"
                if DIGEST in there.attrs:
                    # Written here, so its arrays are in one piece already.
                    h5py.h5o.copy(there.id, b".", file.id, name.encode())
                else:
                    _copy(there, file.create_group(name))
                group = file[name]
                group.attrs["id"] = self.episodes
                if not isinstance(group.attrs.get(DIGEST), str):
                    group.attrs[DIGEST] = episode_digest(group)
                self._steps += int(group.attrs["total_steps"])
                self.episodes += 1

    def finish(self, metadata: dict[str, Any]) -> None:
        """Complete the metadata and seals the folder."""
        self.storage.update_metadata(
            {
                "total_episodes": self.episodes,
                "total_steps": self._steps,
                "dataset_size": self.storage.get_size(),
                **metadata,
                "minari_version": minari.__version__,
            }
        )
        seal(self.folder)


@contextmanager
def draft_of(
    dataset_id: str,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    env_spec: EnvSpec | None,
    metadata: dict[str, Any],
    *,
    root: str | Path | None = None,
    jpeg: bool = False,
    overwrite: bool = False,
) -> Iterator[Draft]:
    """Yield a draft that becomes a dataset when the block ends, and vanishes when it fails.

    Args:
        dataset_id: Name of the dataset.
        observation_space: Of the episodes.
        action_space: Of the episodes.
        env_spec: The environment that they come from, if known.
        metadata: What stands beside the episodes; may still be changed within the block.
        root: The folder of all datasets; by default Minari's own.
        jpeg: Store pictures as JPEG.
        overwrite: Replace a dataset of that name.

    Raises:
        FileExistsError: There is such a dataset, or another process is writing it.
        ValueError: The id is malformed, or no episode was added.
    """
    folder = dataset_folder(dataset_id, root)
    partial = datasets_root(root) / ".partial" / f"{dataset_id.replace('/', '__')}.draft"
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{partial}.lock", timeout=0):
            check_free(dataset_id, root, overwrite=overwrite)
            try:
                partial.mkdir(exist_ok=True)
                draft = Draft(partial / "data", observation_space, action_space, env_spec, jpeg=jpeg)
                yield draft
                if not draft.episodes:
                    raise ValueError(f"no episode is left for {dataset_id}: nothing was written")
                draft.finish({"dataset_id": dataset_id, **metadata})
                publish(draft.folder, folder, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except Timeout:
        raise FileExistsError(f"another process is writing {dataset_id}; wait for it") from None


def publish(finished: Path, folder: Path, partial: Path) -> None:
    """Move a finished dataset to its place; only then an old one goes.

    Args:
        finished: The folder that was written.
        folder: Where it should be.
        partial: Takes what was there.
    """
    if folder.exists():
        shutil.rmtree(partial / "replaced", ignore_errors=True)
        os.replace(folder, partial / "replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(finished, folder)


def check_free(dataset_id: str, root: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Refuse an id under which no dataset may be written.

    Args:
        dataset_id: Name of the dataset.
        root: The folder of all datasets; by default Minari's own.
        overwrite: A dataset of that name may be replaced.

    Raises:
        FileExistsError: There is something under that name.
        ValueError: The id is malformed.
    """
    folder = dataset_folder(dataset_id, root)
    if folder.exists() and not overwrite:
        raise FileExistsError(f"dataset {dataset_id} exists: give another id, or overwrite it")
    check_replaceable(dataset_id, folder)


def check_replaceable(name: str, folder: Path) -> None:
    """Refuse to replace a folder that is no dataset, damaged or not.

    Raises:
        FileExistsError: It is none.
    """
    if folder.exists() and not holds_dataset(folder):
        raise FileExistsError(f"{folder} is no dataset: it is not replaced by {name}")


def derived_metadata(source: minari.MinariDataset, **step: Any) -> dict[str, Any]:
    """Return the metadata of a dataset that was made of another one: what that had, and what was done.

    Args:
        source: The dataset that it is made of.
        step: What was done, as JSON: its name and settings.
    """
    metadata = source.storage.read_raw_metadata(source.storage.data_path)
    kept = {
        name: value
        for name, value in metadata.items()
        if name.startswith("lam_envs_") and name not in ("lam_envs_seal", HISTORY, "lam_envs_dropped")
    }
    for name, kind in NOTES_OF_MINARI.items():
        if isinstance(metadata.get(name), kind):
            kept[name] = metadata[name]
    for name in ("author", "author_email"):
        if isinstance(metadata.get(name), list):
            kept[name] = set(map(str, metadata[name]))
    return {**kept, HISTORY: [*history_of(source), {**step, "of": source.id}]}


def written_form(episode: Episode) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes and parts of an episode as a data file holds them, without its number and digest."""
    attributes: dict[str, Any] = {"total_steps": len(episode)}
    if episode.seed is not None:
        attributes["seed"] = episode.seed
    attributes |= dict(tree_leaves(episode.options or {}, "options"))
    return attributes, {name: getattr(episode, name) for name in PARTS}


def _storable(spec: EnvSpec | None) -> EnvSpec | None:
    """The specification for Minari; None if it holds a task, robot or class itself, which JSON cannot hold."""
    if spec is None:
        return None
    try:
        spec.to_json()
    except (TypeError, ValueError):
        return None
    return spec


def _is_plain(part: Any) -> bool:
    """Whether a part consists of arrays of numbers in dicts."""
    if isinstance(part, dict):
        return all(map(_is_plain, part.values()))
    return isinstance(part, np.ndarray) and part.dtype.kind in "biuf"


def _write(group: h5py.Group, name: str, part: Any) -> None:
    if isinstance(part, dict):
        inner = group.create_group(name)
        for key, value in part.items():
            _write(inner, key, value)
    else:
        group.create_dataset(name, data=part)


def _copy(source: h5py.Group, target: h5py.Group) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, part in source.items():
        if isinstance(part, h5py.Group):
            _copy(part, target.create_group(name))
        elif part.dtype.kind in "biuf":
            target.create_dataset(name, data=part[()])
        else:
            source.copy(part, target, name=name)

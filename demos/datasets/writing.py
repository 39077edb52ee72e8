"""Write datasets atomically, with a digest of each episode and of each file.

Arrays are contiguous in the file, so that windows of an episode can be memory-mapped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import minari
import numpy as np
from filelock import FileLock, Timeout
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_storage import MinariStorage

from demos.datasets.checksum import content_digest, episode_digest, write_file_digests
from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import DIGEST, Episode
from demos.datasets.loading import dataset_folder, datasets_root, holds_dataset
from demos.datasets.metadata import FAILURES, HISTORY, history_of, holds_images
from demos.datasets.tree import tree_leaves
from demos.runtime.disk_space import require_space
from demos.runtime.types import Metadata, Space

COPIED_METADATA: dict[str, type | tuple[type, ...]] = {
    "algorithm_name": str,
    "code_permalink": str,
    "description": str,
    "requirements": list,
    "eval_env_spec": str,
    "ref_min_score": (int, float),
    "ref_max_score": (int, float),
    "num_episodes_average_score": int,
}
"""Minari metadata that also hold for derived datasets, with their types."""
OVERHEAD = 2**16
"""Size of the structures of an episode in an HDF5 file beside its arrays, bytes; about 40 kB with JPEG images."""
PARTS = ("observations", "actions", "rewards", "terminations", "truncations", "infos")
"""Arrays of an episode."""


class DatasetWriter:
    """Writer of a new dataset.

    Args:
        folder: Folder to create; its parent must exist.
        observation_space: Observation space of the episodes.
        action_space: Action space of the episodes.
        env_spec: Specification of the environment; None if unknown or not serializable.
        jpeg: Store images as JPEG.

    Raises:
        OSError: The disk is full, also in the methods.
    """

    def __init__(
        self,
        folder: Path,
        observation_space: Space,
        action_space: Space,
        env_spec: EnvSpec | None = None,
        *,
        jpeg: bool = False,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        require_space(folder.parent, 0, str(folder))
        folder.mkdir()
        # Minari's writing is slow, and only needed for JPEG images.
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
        """HDF5 file of all episodes."""
        return self.folder / DATA_FILE

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        require_space(self.folder, episode_bytes(episode), str(self.folder))
        self._steps += len(episode)
        if self._jpeg or not all(map(_is_plain, (episode.observations, episode.actions, episode.infos))):
            self.storage.update_episodes([episode.to_buffer()])
            with h5py.File(self.data_file, "a") as file:
                group = file[f"episode_{self.episodes}"]
                group.attrs.update({**episode.attributes(), DIGEST: episode_digest(group)})
        else:
            attributes, parts = stored_parts(episode)
            with h5py.File(self.data_file, "a", track_order=True) as file:
                group = file.create_group(f"episode_{self.episodes}")
                group.attrs["id"] = self.episodes
                for name, value in {**attributes, DIGEST: content_digest(attributes, parts)}.items():
                    group.attrs[name] = value
                for name, part in parts.items():
                    _write(group, name, part)
        self.episodes += 1

    def copy(self, source: Path, indices: Iterable[int]) -> None:
        """Copy episodes of another dataset unchanged; add digests where they are missing.

        Args:
            source: Data file of a dataset with the same spaces.
            indices: Numbers of the episodes.
        """
        indices = list(indices)
        with open_data(source) as origin, h5py.File(self.data_file, "a", track_order=True) as file:
            # What HDF5 has not written yet still counts as free space: check once for all episodes.
            size = sum(_stored_bytes(origin[f"episode_{index}"]) + OVERHEAD for index in indices)
            require_space(self.folder, min(size, source.stat().st_size), str(self.folder))
            for index in indices:
                group, name = origin[f"episode_{index}"], f"episode_{self.episodes}"
                if DIGEST in group.attrs:
                    # This package wrote it: its arrays are contiguous.
                    h5py.h5o.copy(group.id, b".", file.id, name.encode())
                else:
                    _copy(group, file.create_group(name))
                group = file[name]
                group.attrs["id"] = self.episodes
                if not isinstance(group.attrs.get(DIGEST), str):
                    group.attrs[DIGEST] = episode_digest(group)
                self._steps += int(group.attrs["total_steps"])
                self.episodes += 1

    def finish(self, metadata: Metadata) -> None:
        """Write the metadata and the digests of the files."""
        self.storage.update_metadata(
            {
                "total_episodes": self.episodes,
                "total_steps": self._steps,
                "dataset_size": self.storage.get_size(),
                **metadata,
                "minari_version": minari.__version__,
            }
        )
        write_file_digests(self.folder)


@contextmanager
def dataset_writer(
    dataset_id: str,
    observation_space: Space,
    action_space: Space,
    env_spec: EnvSpec | None,
    metadata: Metadata,
    *,
    root: str | Path | None = None,
    jpeg: bool = False,
    overwrite: bool = False,
) -> Iterator[DatasetWriter]:
    """Yield a writer; the dataset appears when the block ends, and is discarded if the block fails.

    Args:
        dataset_id: Id of the dataset.
        observation_space: Observation space of the episodes.
        action_space: Action space of the episodes.
        env_spec: Specification of the environment, if known.
        metadata: Metadata of the dataset; the block may change it.
        root: Folder of all datasets; Minari's own by default.
        jpeg: Store images as JPEG.
        overwrite: Replace a dataset of that id.

    Raises:
        FileExistsError: The dataset exists, or another process is writing it.
        ValueError: The id is malformed, or no episode was added.
    """
    folder = dataset_folder(dataset_id, root)
    partial = datasets_root(root) / ".partial" / f"{dataset_id.replace('/', '__')}.draft"
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{partial}.lock", timeout=0):
            check_writable(dataset_id, root, overwrite=overwrite)
            try:
                partial.mkdir(exist_ok=True)
                writer = DatasetWriter(partial / "data", observation_space, action_space, env_spec, jpeg=jpeg)
                yield writer
                if not writer.episodes:
                    raise ValueError(f"{dataset_id} would have no episode; expected at least one")
                writer.finish({"dataset_id": dataset_id, **metadata})
                publish(writer.folder, folder, partial)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except Timeout:
        raise FileExistsError(f"another process is writing {dataset_id}; wait for it") from None


def publish(finished: Path, folder: Path, partial: Path) -> None:
    """Move a finished dataset to its folder, in place of an old one.

    Args:
        finished: Folder that was written.
        folder: Folder of the dataset.
        partial: Folder that receives the old dataset.
    """
    if folder.exists():
        shutil.rmtree(partial / "replaced", ignore_errors=True)
        os.replace(folder, partial / "replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(finished, folder)


def check_writable(dataset_id: str, root: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Check that a dataset may be written under an id.

    Args:
        dataset_id: Id of the dataset.
        root: Folder of all datasets; Minari's own by default.
        overwrite: Allow to replace a dataset of that id.

    Raises:
        FileExistsError: The folder exists and must not be replaced.
        ValueError: The id is malformed.
    """
    folder = dataset_folder(dataset_id, root)
    if folder.exists() and not overwrite:
        raise FileExistsError(f"dataset {dataset_id} exists; choose another id, or overwrite it")
    check_replaceable(dataset_id, folder)


def check_replaceable(name: str, folder: Path) -> None:
    """Check that an existing folder is a dataset, possibly a damaged one.

    Raises:
        FileExistsError: It is not a dataset.
    """
    if folder.exists() and not holds_dataset(folder):
        raise FileExistsError(
            f"{folder} is not a dataset and is not replaced by {name}; remove it, or choose another id"
        )


def derived_metadata(source: minari.MinariDataset, **step: object) -> Metadata:
    """Return the metadata of a dataset that is derived from another one, with the step in the history.

    Args:
        source: Source dataset.
        step: Name and settings of the step, as JSON.
    """
    metadata = source.storage.read_raw_metadata(source.storage.data_path)
    copied = {
        name: value
        for name, value in metadata.items()
        if name.startswith("lam_envs_") and name not in ("lam_envs_seal", HISTORY, "lam_envs_dropped", FAILURES)
    }
    for name, kind in COPIED_METADATA.items():
        if isinstance(metadata.get(name), kind):
            copied[name] = metadata[name]
    for name in ("author", "author_email"):
        if isinstance(metadata.get(name), list):
            copied[name] = set(map(str, metadata[name]))
    return {**copied, HISTORY: [*history_of(source), {**step, "of": source.id}]}


def stored_parts(episode: Episode) -> tuple[dict[str, object], dict[str, object]]:
    """Return the attributes and parts of an episode as in a data file, without its number and digest."""
    attributes: dict[str, object] = {"total_steps": len(episode)}
    if episode.seed is not None:
        attributes["seed"] = episode.seed
    attributes |= episode.attributes() | dict(tree_leaves(episode.options or {}, "options"))
    return attributes, {name: getattr(episode, name) for name in PARTS}


def episode_bytes(episode: Episode) -> int:
    """Return the size of an episode in a data file, without compression of images, bytes."""
    return _bytes_of(stored_parts(episode)[1])


def _bytes_of(part: object) -> int:
    if isinstance(part, (dict, list, tuple)):
        return sum(map(_bytes_of, part.values() if isinstance(part, dict) else part))
    return int(np.asarray(part).nbytes)


def _stored_bytes(part: h5py.Group | h5py.Dataset) -> int:
    """Return the size of the arrays of an episode in a data file, bytes."""
    if isinstance(part, h5py.Group):
        return sum(map(_stored_bytes, part.values()))
    # JPEG images of different lengths, and texts, are stored outside of their array.
    outside = sum(map(len, part[()].ravel())) if part.dtype == object and part.shape is not None else 0
    return int(part.id.get_storage_size()) + outside


def _storable(spec: EnvSpec | None) -> EnvSpec | None:
    """Return a specification if JSON can hold it, without objects such as tasks; else None."""
    if spec is None:
        return None
    try:
        spec.to_json()
    except (TypeError, ValueError):
        return None
    return spec


def _is_plain(part: object) -> bool:
    """Return True for an array of numbers, or nested dicts of such arrays."""
    if isinstance(part, dict):
        return all(map(_is_plain, part.values()))
    return isinstance(part, np.ndarray) and part.dtype.kind in "biuf"


def _write(group: h5py.Group, name: str, part: object) -> None:
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

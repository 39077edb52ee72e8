"""Frame cache of a dataset: its observations and actions, decoded, in an uncompressed file that can be mapped.

A minibatch of windows is drawn from many episodes. JPEG images and compressed arrays must be decoded a whole episode
at a time, which takes longer than the training. The frame cache is decoded once. It is written under another name and
renamed when it is complete. It is used only if the dataset and the decoder have not changed since, and if its arrays
have not been replaced.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import h5py
import minari
import numpy as np
import PIL
from filelock import FileLock
from PIL import features
from rich.progress import track

from demos.datasets.data_file import DATA_FILE, open_data
from demos.datasets.episode import Episode
from demos.datasets.metadata import require_dataset
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.datasets.windows.sources import is_mappable
from demos.runtime.types import Array

ATTRIBUTE = "lam_envs_frame_cache"
"""Attribute of a frame cache: the dataset and the decoder that it was written from."""
LAYOUT = "lam_envs_frame_cache_layout"
"""Attribute of a frame cache: checksum of its arrays, see :func:`_layout`. It is written last."""
SAMPLE_BYTES = 256
"""Bytes at both ends of each array that the checksum includes: to include all takes as long as reading the file."""
VERSION = 2
"""Version of the format."""
GIGABYTE = 10**9


def frame_cache_file(dataset: minari.MinariDataset) -> Path:
    """Return the path of the frame cache of a dataset, beside the folder of its files."""
    folder = Path(dataset.storage.data_path)
    return folder.with_name(f"{folder.name}.frames.hdf5")


def has_frame_cache(dataset: minari.MinariDataset) -> bool:
    """Return True if a dataset has a complete frame cache that is up to date and undamaged.

    Of the values, only those at both ends of each array are checked.
    """
    path = frame_cache_file(dataset)
    try:
        with open_data(path) as file:
            written, layout = file.attrs.get(ATTRIBUTE), file.attrs.get(LAYOUT)
            if not (isinstance(written, str) and written == _origin(dataset)):
                return False
            return isinstance(layout, str) and layout == _layout(file, path)
    except (OSError, RuntimeError, KeyError):
        # There is no file, or it is not an HDF5 file, or a part of it cannot be read.
        return False


def cache_frames(dataset: minari.MinariDataset, *, progress: bool = False) -> Path | None:
    """Write the frame cache of a dataset, if it needs one and has none that is up to date.

    The cache holds all episodes of the dataset's file. It can be deleted at any time.

    Args:
        dataset: Minari dataset of arrays.
        progress: Show a progress bar.

    Returns:
        Path of the cache; None if the dataset can be mapped itself, as those that this package writes without JPEG.

    Raises:
        OSError: The folder of the dataset is not writable, or its disk has too little free space.
        ValueError: An observation or action is not an array of numbers.
    """
    require_dataset(dataset)
    with open_data(dataset.storage.data_path / DATA_FILE) as file:
        if is_mappable(file["episode_0"]):
            return None
    path = frame_cache_file(dataset)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"cannot write the frame cache {path}: the folder is not writable. Copy the dataset to another folder, "
            "or train without a frame cache"
        )
    with FileLock(f"{path}.lock"):
        if not has_frame_cache(dataset):
            _write(dataset, path, progress=progress)
    return path


def _write(dataset: minari.MinariDataset, path: Path, *, progress: bool) -> None:
    # Before the episodes are read: if the dataset is replaced meanwhile, the cache does not fit.
    origin = _origin(dataset)
    with open_data(dataset.storage.data_path / DATA_FILE) as file:
        indices = range(len(file))
        rows = sum(int(file[f"episode_{index}"].attrs["total_steps"]) + 1 for index in indices)
    partial = path.with_name(f"{path.name}.partial")
    # Left by a killed process, or a link of a third party to another file.
    partial.unlink(missing_ok=True)
    episodes = track(
        episodes_of(dataset, indices),
        f"decoding {dataset.id}",
        total=len(indices),
        disable=not progress,
        transient=True,
    )
    try:
        with h5py.File(partial, "w", track_order=True) as file:
            for index, episode in enumerate(episodes):
                parts = _arrays(episode, dataset.id)
                if index == 0:
                    size = sum(values.nbytes for values in parts.values())
                    _check_space(path, size * rows // (len(episode) + 1))
                for name, values in parts.items():
                    file.create_dataset(f"episode_{index}/{name}", data=values)
            file.attrs[ATTRIBUTE] = origin
            file.flush()
            file.attrs[LAYOUT] = _layout(file, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _arrays(episode: Episode, dataset_id: str) -> dict[str, Array]:
    """Return the observations and actions of an episode by their path in a data file."""
    parts = {"observations": episode.observations, "actions": episode.actions}
    arrays = dict(tree_leaves(parts))
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            raise ValueError(
                f"the {name} of {dataset_id} are not arrays of numbers: expected such in all parts of a dataset with "
                "a frame cache"
            )
    return arrays


def _check_space(path: Path, needed: int) -> None:
    """Check that the disk has space for a frame cache.

    Raises:
        OSError: It has not.
    """
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(
            f"the frame cache {path} needs {needed / GIGABYTE:.1f} GB, and {free / GIGABYTE:.1f} GB are free: free "
            "some space, or train without a frame cache"
        )


def _layout(file: h5py.File, path: Path) -> str:
    """Return a checksum of the names, types, shapes and positions of all arrays of a file, and of their ends.

    Args:
        file: Frame cache.
        path: Its path, from which the bytes are read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as raw:

        def add(name: str, part: h5py.Group | h5py.Dataset) -> None:
            if isinstance(part, h5py.Group):
                return
            offset, size = part.id.get_offset(), part.dtype.itemsize * math.prod(part.shape)
            digest.update(json.dumps([name, part.dtype.str, part.shape, offset]).encode())
            if offset is not None:
                for start in (offset, offset + max(size - SAMPLE_BYTES, 0)):
                    raw.seek(start)
                    digest.update(raw.read(min(size, SAMPLE_BYTES)))

        file.visititems(add)
    return digest.hexdigest()


def _origin(dataset: minari.MinariDataset) -> str:
    """Return what the content of a frame cache depends on, as JSON: the data file, and the decoder of images."""
    status = (dataset.storage.data_path / DATA_FILE).stat()
    return json.dumps(
        {
            "version": VERSION,
            "size": status.st_size,
            "modified": status.st_mtime_ns,
            "Pillow": PIL.__version__,
            "libjpeg": features.version("jpg"),
        }
    )

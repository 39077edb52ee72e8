"""Data file of a dataset: open it, and decode episodes as Minari encodes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
from minari.dataset.minari_storage import is_image_space
from PIL import Image

from demos.runtime.types import Info, Space

DATA_FILE = "main_data.hdf5"
SMALLEST_CACHE, LARGEST_CACHE = 2**18, 2**20
"""Smallest and largest size of HDF5's metadata cache, bytes; the default is 32 times as large, and grows."""


def open_data(path: Path) -> h5py.File:
    """Open a data file for reading, with a small HDF5 metadata cache.

    Args:
        path: Path of the file.
    """
    file = h5py.File(path, "r")
    cache = file.id.get_mdc_config()
    cache.set_initial_size = True
    cache.initial_size = cache.min_size = SMALLEST_CACHE
    cache.max_size = LARGEST_CACHE
    file.id.set_mdc_config(cache)
    return file


def decode(part: h5py.Group | h5py.Dataset, space: Space, *, jpeg: bool) -> Any:
    """Return the values of a space over an episode.

    Args:
        part: Group or array in the file.
        space: Space of one value.
        jpeg: True if the dataset stores images as JPEG.

    Returns:
        An array whose first axis is time, a dict or tuple of arrays, or a list of texts.
    """
    if isinstance(space, gym.spaces.Tuple):
        return tuple(decode(part[f"_index_{at}"], inner, jpeg=jpeg) for at, inner in enumerate(space.spaces))
    if isinstance(space, gym.spaces.Dict):
        return {name: decode(part[name], space.spaces[name], jpeg=jpeg) for name in part}
    if isinstance(space, gym.spaces.Text):
        return [text.decode("utf-8") for text in part[()]]
    if jpeg and is_image_space(space):
        return np.stack([np.array(Image.open(io.BytesIO(image)), dtype=np.uint8) for image in part[()]])
    return part[()]


def decode_infos(group: h5py.Group) -> Info:
    """Return the infos of an episode: arrays whose first axis is time, or dicts of such."""
    return {name: decode_infos(part) if isinstance(part, h5py.Group) else part[()] for name, part in group.items()}


def decode_attributes(attributes: h5py.AttributeManager) -> Info:
    """Return the attributes of an episode; names such as ``options/goal`` become nested dicts."""
    result: Info = {}
    for name, value in attributes.items():
        *groups, last = name.split("/")
        inner = result
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return result

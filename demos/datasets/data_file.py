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

from demos.runtime.types import Array, Info, Space

DATA_FILE = "main_data.hdf5"
SMALLEST_CACHE, LARGEST_CACHE = 2**18, 2**20
"""Smallest and largest size of HDF5's metadata cache, bytes; the default is 32 times as large, and grows."""
IMAGE_FORMATS = ("JPEG",)
"""Formats that Pillow may decode in a data file, which need not be trusted: for others, it may run programs."""


class DamagedError(ValueError):
    """Data of an episode that cannot be decoded."""


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

    Raises:
        DamagedError: The file holds other data than the space has.
    """
    if isinstance(part, h5py.Group) != isinstance(space, (gym.spaces.Tuple, gym.spaces.Dict)):
        kind = "a group" if isinstance(part, h5py.Group) else "an array"
        raise DamagedError(f"{part.name} is {kind}; expected values of {space}")
    if isinstance(space, gym.spaces.Tuple):
        return tuple(decode(part[f"_index_{at}"], inner, jpeg=jpeg) for at, inner in enumerate(space.spaces))
    if isinstance(space, gym.spaces.Dict):
        if set(part) != set(space.spaces):
            raise DamagedError(f"{part.name} holds {sorted(part)}; expected {sorted(space.spaces)}, as in its space")
        return {name: decode(part[name], space.spaces[name], jpeg=jpeg) for name in part}
    if isinstance(space, gym.spaces.Text):
        return [text.decode("utf-8") for text in part[()]]
    if jpeg and is_image_space(space):
        return np.stack([decode_image(content, space) for content in part[()]])
    return part[()]


def decode_image(content: Array, space: Space) -> Array:
    """Return a stored image.

    Args:
        content: Bytes of the JPEG image.
        space: Space of the image.

    Raises:
        DamagedError: It is damaged, of another format, or of another shape than the space.
    """
    try:
        with Image.open(io.BytesIO(content.tobytes()), formats=IMAGE_FORMATS) as image:
            # Read the header first: an image may claim more than the memory.
            channels = len(image.getbands())
            shape = (image.height, image.width, channels)[: 2 if channels == 1 else 3]
            if shape == space.shape:
                return np.array(image, dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedError(f"an image is damaged, too large or not a {' or '.join(IMAGE_FORMATS)} image") from error
    raise DamagedError(f"an image has the shape {shape}; expected {space.shape}")


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

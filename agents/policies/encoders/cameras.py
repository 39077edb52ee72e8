"""Cameras of an observation: an image, with its depth as a fourth channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gymnasium import spaces

from agents.data.spaces import has_channels_first, is_depth_image, is_image
from demos.datasets.statistics import Statistics
from lam_envs.observation.features import DEPTH_SUFFIX


def cameras_of(parts: Mapping[str, spaces.Box]) -> dict[str, tuple[str, ...]]:
    """Return the names of each camera's image and of its depth image, if it has one, by the name of the image.

    Args:
        parts: Spaces of the parts of an observation.

    Raises:
        ValueError: A depth image has no image.
    """
    for name, part in parts.items():
        if is_depth_image(part) and not is_image(parts.get(name.removesuffix(DEPTH_SUFFIX), part)):
            raise ValueError(f"observation {name!r} is a depth image without an image: remove depth=true")
    depths = {name for name, part in parts.items() if is_depth_image(part)}
    images = [name for name, part in parts.items() if is_image(part)]
    return {name: (name, *({f"{name}{DEPTH_SUFFIX}"} & depths)) for name in images}


def channels_shape(parts: Sequence[spaces.Box]) -> tuple[int, int, int]:
    """Return channels, height and width of images that are concatenated along their channels.

    Raises:
        ValueError: They differ in height or width.
    """
    shapes = [(*part.shape[1:], part.shape[0]) if has_channels_first(part.shape) else part.shape for part in parts]
    if len({shape[:2] for shape in shapes}) > 1:
        raise ValueError(f"an image and its depth have the shapes {shapes}; expected equal heights and widths")
    return sum(shape[2] for shape in shapes), shapes[0][0], shapes[0][1]


def whole_image(statistics: Statistics) -> Statistics:
    """Return the statistics of all pixels together, each of shape (1,)."""
    mean = statistics.mean.mean().reshape(1)
    # The variance of all pixels: within each pixel, and between pixels.
    std = ((statistics.std**2).mean() + statistics.mean.var()).reshape(1) ** 0.5
    return Statistics(statistics.count, mean, std, statistics.min.min().reshape(1), statistics.max.max().reshape(1))

"""Shapes of images by camera: compare, describe, and check those of a saved model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, int, int]
"""Height, width and channels of an image."""
MAX_CAMERAS, MAX_PIXELS = 16, 4_000_000
"""Bounds of what a saved agent, a third party's file, may ask for."""


def merge_shapes(known: Mapping[str, Shape], found: Mapping[str, Shape]) -> dict[str, Shape]:
    """Return the shapes of the images that a model sees, with those of another environment.

    Args:
        known: Shapes by camera; empty before the first environment with images.
        found: Shapes by camera; empty for an environment without images.

    Raises:
        ValueError: Both have images, of other cameras or shapes.
    """
    if known and found and dict(known) != dict(found):
        raise ValueError(
            f"images have the cameras {format_shapes(found)}; expected {format_shapes(known)}, as in the other "
            "environments"
        )
    return dict(known or found)


def format_shapes(shapes: Mapping[str, Shape]) -> str:
    """Return the cameras and shapes of images in words."""
    return ", ".join(f"{name} ({' x '.join(map(str, shape))})" for name, shape in shapes.items()) or "no camera"


def parse_shapes(content: Mapping[str, Any]) -> dict[str, Shape]:
    """Return the shapes of images of a saved model, a third party's file.

    Raises:
        ValueError: They are damaged, or too large.
    """
    shapes: dict[str, Shape] = {}
    for name, shape in content.items():
        is_shape = isinstance(shape, list) and len(shape) == 3 and all(type(each) is int for each in shape)
        if not is_shape or min(shape) < 1:
            raise ValueError(f"camera {name!r} has images of shape {shape!r}; expected height, width and channels")
        shapes[name] = (shape[0], shape[1], shape[2])
    if len(shapes) > MAX_CAMERAS or any(math.prod(shape) > MAX_PIXELS for shape in shapes.values()):
        raise ValueError(
            f"the model has images of {format_shapes(shapes)}; expected at most {MAX_CAMERAS} cameras and "
            f"{MAX_PIXELS} numbers in an image"
        )
    return shapes

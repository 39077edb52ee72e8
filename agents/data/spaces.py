"""Spaces: the arrays of an observation, images among them, and spaces as strings."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from agents.types import Space


def brief(space: str) -> str:
    """Return the text of a space, shortened to its kind, shape and type."""
    return space if len(space) < 60 else f"{space.partition('(')[0]}(..., {space[space.rfind('(') :]}"


def spaces_of(observation_space: Space, action_space: Space) -> dict[str, str]:
    """Return spaces as strings, to compare those of a saved agent with an environment's."""
    return {"observation_space": str(observation_space), "action_space": str(action_space)}


def parts_of(space: Space) -> dict[str, spaces.Box]:
    """Return the spaces of the arrays of an observation by name; that of a plain Box is ``""``.

    Raises:
        ValueError: A part is no Box.
    """
    parts: dict[str, spaces.Box] = {}
    for name, part in (space.spaces if isinstance(space, spaces.Dict) else {"": space}).items():
        if not isinstance(part, spaces.Box):
            raise ValueError(f"observation {name!r} is a {type(part).__name__}; expected a Box")
        parts[name] = part
    return parts


def is_image(space: Space) -> bool:
    """Return True if a space holds images, with the channels last or first."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3


def is_depth_image(space: Space) -> bool:
    """Return True if a space holds depth images, of shape (height, width, 1)."""
    return isinstance(space, spaces.Box) and space.dtype.kind == "f" and len(space.shape) == 3 and space.shape[2] == 1


def refuse_stacked_images(space: Space) -> None:
    """Check that an observation has no images with a further dimension, such as the frames of a stack.

    Raises:
        ValueError: An image observation has more than three dimensions.
    """
    for name, part in parts_of(space).items():
        if part.dtype == np.uint8 and len(part.shape) > 3:
            raise ValueError(
                f"observation {name or 'array'} is {brief(str(part))}; expected images of shape (height, width, "
                "channels) or (channels, height, width): stack frames along the channel axis, or do not stack them "
                "and set obs_horizon (for example, of act)"
            )


def has_channels_first(shape: tuple[int, ...]) -> bool:
    """Return True if the first dimension of an image, the smallest, holds the channels."""
    return shape[0] < min(shape[1:])

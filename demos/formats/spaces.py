"""Spaces of imported data: parts by path, spaces that data imply, and checks of data against a space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard, cast

import numpy as np
from gymnasium import spaces

from demos.runtime.types import Array, Space

LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def leaf_spaces(space: Space, name: str = "") -> dict[str, Space]:
    """Return the parts of a space by path, such as ``wrist/rgb``; a space without parts has the path "".

    Raises:
        ValueError: A part is not an array of numbers.
    """
    if isinstance(space, spaces.Dict) and space.spaces:
        parts: dict[str, Space] = {}
        for key, inner in space.spaces.items():
            parts |= leaf_spaces(inner, f"{name}/{key}" if name else str(key))
        return parts
    if not isinstance(space, LEAVES) or 0 in cast(tuple[int, ...], space.shape):
        raise ValueError(
            f"the space {space} cannot be exchanged; expected "
            f"{', '.join(leaf.__name__ for leaf in LEAVES)} that hold numbers, or Dict of those"
        )
    return {name: space}


def is_image(space: Space) -> TypeGuard[spaces.Box]:
    """Return True for a space of color images: uint8, shape (height, width, 3)."""
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3


def flat_names(names: Iterable[str], separator: str) -> dict[str, str]:
    """Return names without slashes for paths such as ``wrist/rgb``.

    Raises:
        ValueError: Two paths would have the same name.
    """
    flat = {name: name.replace("/", separator) for name in names}
    duplicates = {name for name in flat.values() if list(flat.values()).count(name) > 1}
    if duplicates:
        raise ValueError(f"two entries would both be named {', '.join(sorted(duplicates))}; rename one of them")
    return flat


def infer_space(example: Array) -> spaces.Box:
    """Return the space of all values of an array's type.

    Args:
        example: Array of shape (steps, ...).
    """
    shape, dtype = example.shape[1:], example.dtype
    if dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, dtype.type)
    if dtype.kind == "b":
        return spaces.Box(0, 1, shape, np.int8)
    limits = np.iinfo(dtype)
    low, high = (np.full(shape, limit, dtype) for limit in (limits.min, limits.max))
    return spaces.Box(low, high, shape, dtype.type)


def infer_action_space(chunks: Iterable[Array]) -> Space:
    """Return the space that actions imply.

    Args:
        chunks: All actions in chunks of shape (steps, ...).

    Returns:
        ``Discrete`` for non-negative integers, one for each step; ``Box(-1, 1)`` for floats in [-1, 1]; else all
        values.
    """
    low, high = np.inf, -np.inf
    example: Any = None
    for chunk in chunks:
        example = chunk if example is None else example
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    if example.ndim == 1 and example.dtype.kind in "iu" and low >= 0:
        return spaces.Discrete(int(high) + 1)
    if example.dtype.kind == "f" and low >= -1 and high <= 1:
        return spaces.Box(-1, 1, example.shape[1:], example.dtype.type)
    return infer_space(example)


def check_against_space(part: Any, space: Space, length: int, name: str, *, cast_to_space: bool) -> Any:
    """Return arrays after a check against a space.

    Args:
        part: Array, or nested dicts of arrays.
        space: Expected space.
        length: Expected length of the time axis.
        name: Name of the data, for errors.
        cast_to_space: Convert to the type of the space, if it is of the same kind, and raise an error for values
            outside of the space.

    Raises:
        ValueError: Names, types or shapes differ, or a value is not finite or outside of the space.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(part, dict) or set(part) != set(space.spaces):
            names = sorted(part) if isinstance(part, dict) else "one array"
            raise ValueError(f"{name} consist of {names}; expected {sorted(space.spaces)}")
        return {
            key: check_against_space(part[key], inner, length, f"{name}/{key}", cast_to_space=cast_to_space)
            for key, inner in space.spaces.items()
        }
    shape = (length, *cast(tuple[int, ...], space.shape))
    if not isinstance(part, np.ndarray) or part.shape != shape or part.dtype.kind not in "biuf":
        actual = f"{part.dtype} {part.shape}" if isinstance(part, np.ndarray) else f"entries {sorted(part)}"
        raise ValueError(f"{name} are {actual}; expected numbers of shape {shape}")
    if part.dtype.kind == "f" and not np.isfinite(part).all():
        raise ValueError(f"{name} hold a value that is not finite; expected finite values")
    if not cast_to_space:
        return part
    if not np.can_cast(part.dtype, np.dtype(space.dtype), "same_kind"):
        raise ValueError(f"{name} are {part.dtype}; expected {space.dtype}")
    part = part.astype(space.dtype, copy=False)
    outside = next((number for number, row in enumerate(part) if not space.contains(row)), None)
    if outside is not None:
        raise ValueError(f"{name} at step {outside} are outside of {space}; import without env_id")
    return part

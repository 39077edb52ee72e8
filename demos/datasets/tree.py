"""Arrays and nested dicts of arrays: apply a function, list, nest and compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from demos.runtime.types import Array


def tree_map(function: Callable[..., object], part: object) -> Any:
    """Apply a function to an array, or to all arrays of nested dicts."""
    if isinstance(part, dict):
        return {name: tree_map(function, inner) for name, inner in part.items()}
    return function(part)


def tree_leaves(part: Any, name: str = "") -> Iterator[tuple[str, Array]]:
    """Yield each array of nested dicts with its path, such as ``wrist/rgb``; the path of a single array is empty."""
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from tree_leaves(inner, f"{name}/{key}" if name else key)
    else:
        yield name, part


def tree_nest(flat: Mapping[str, object]) -> dict[str, Any]:
    """Return nested dicts from values by path, such as ``wrist/rgb``: the inverse of :func:`tree_leaves`."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split("/")
        inner = result
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return result


def identical(left: object, right: object) -> bool:
    """Return True if two arrays or nested dicts have equal types, shapes and bits."""
    if isinstance(left, dict) or isinstance(right, dict):
        return (
            isinstance(left, dict)
            and isinstance(right, dict)
            and left.keys() == right.keys()
            and all(identical(left[name], right[name]) for name in left)
        )
    a, b = np.asarray(left), np.asarray(right)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

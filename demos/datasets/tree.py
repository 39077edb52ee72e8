"""Arrays and nested dicts of arrays: apply a function, list, nest and compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def tree_map(function: Any, part: Any) -> Any:
    """Apply a function to every array of a part, which is one or a dict of such."""
    if isinstance(part, dict):
        return {name: tree_map(function, inner) for name, inner in part.items()}
    return function(part)


def tree_leaves(part: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every array of a part, which is one or a dict of such, with its way from it: ``wrist/rgb``."""
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from tree_leaves(inner, f"{name}/{key}" if name else key)
    else:
        yield name, part


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Return a dict of dicts of what stands under ways such as ``wrist/rgb``: the inverse of :func:`leaves`."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split("/")
        inner = result
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return result


def identical(left: Any, right: Any) -> bool:
    """Whether two parts are the same, bit for bit: types, shapes, values."""
    if isinstance(left, dict) or isinstance(right, dict):
        return (
            isinstance(left, dict)
            and isinstance(right, dict)
            and left.keys() == right.keys()
            and all(identical(left[name], right[name]) for name in left)
        )
    a, b = np.asarray(left), np.asarray(right)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

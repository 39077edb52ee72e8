"""Infos of several environments as one dict of arrays, in the form of Gymnasium's vector environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Info = dict[str, Any]

OBJECTS = ("final_obs",)
"""Keys whose values are always entries of an array of objects, as in Gymnasium."""
COMPARED = (bool, int, float, str, np.generic)
"""Types of values that are compared as they are."""


def batch_infos(infos: Sequence[Info]) -> Info:
    """Return the infos of N environments as one dict.

    Each key of an info is the key of an array with the values of all environments, shape (N, ...). The mask with the
    same key after an underscore, shape (N,), is True where an environment has this key. Values that are dicts become
    dicts of arrays. Numbers and arrays keep their types; other values are entries of an array of objects, with None
    where there is no value.

    Args:
        infos: Infos of the environments; empty for an environment without one.
    """
    batched: Info = {}
    count = len(infos)
    for key in dict.fromkeys(name for info in infos for name in info):
        having = [index for index, info in enumerate(infos) if key in info]
        column = [infos[index][key] for index in having]
        if key not in OBJECTS and all(isinstance(value, dict) for value in column):
            batched[key] = batch_infos([info.get(key, {}) for info in infos])
        else:
            array = _empty(count, column[0], key)
            for index, value in zip(having, column, strict=True):
                array[index] = value
            batched[key] = array
        mask = np.zeros(count, dtype=np.bool_)
        mask[having] = True
        batched[f"_{key}"] = mask
    return batched


def join_infos(parts: Sequence[tuple[int, Info]]) -> Info:
    """Join the results of :func:`batch_infos` for consecutive environments, in new arrays.

    Args:
        parts: Number of environments, and their infos as one dict.
    """
    total = sum(count for count, _ in parts)
    joined: Info = {}
    for key in dict.fromkeys(name for _, part in parts for name in part):
        values: list[Any] = [part.get(key) for _, part in parts]
        known = next(value for value in values if value is not None)
        if isinstance(known, dict):
            joined[key] = join_infos([(count, part.get(key, {})) for count, part in parts])
        elif all(value is not None for value in values):
            joined[key] = np.concatenate(values)
        else:
            array = np.full((total, *known.shape[1:]), None if known.dtype == object else 0, dtype=known.dtype)
            start = 0
            for (count, _), value in zip(parts, values, strict=True):
                if value is not None:
                    array[start : start + count] = value
                start += count
            joined[key] = array
    return joined


def split_infos(infos: Info, count: int) -> list[Info]:
    """Return the info of each environment: the inverse of :func:`batch_infos`, with NumPy's numbers."""
    single: list[Info] = [{} for _ in range(count)]
    for key, values in infos.items():
        mask = infos.get(f"_{key}")
        if mask is None:
            continue
        parts = split_infos(values, count) if isinstance(values, dict) else values
        for index, has_value in enumerate(mask.tolist()):
            if has_value:
                single[index][key] = parts[index]
    return single


def copy_infos(infos: Info) -> Info:
    """Return a copy of infos with new arrays."""
    return {key: copy_infos(value) if isinstance(value, dict) else value.copy() for key, value in infos.items()}


def signature(info: Info) -> list[Any]:
    """Return a list that is equal for two infos only if all their values are, to find unchanged infos quickly."""
    found: list[Any] = []
    for key, value in info.items():
        if type(value) is np.ndarray and value.dtype != object:
            found += (key, value.dtype, value.shape, value.tobytes())
        elif isinstance(value, dict):
            found += (key, signature(value))
        elif isinstance(value, COMPARED):
            found += (key, type(value), value)
        else:
            # A new object differs from every other value.
            found.append(object())
    return found


def _empty(count: int, value: Any, key: str) -> npt.NDArray[Any]:
    """Return an array for values of the type of one value, with a default in every row."""
    if key in OBJECTS:
        return np.full(count, None, dtype=object)
    if isinstance(value, np.ndarray):
        return np.zeros((count, *value.shape), dtype=value.dtype)
    if type(value) in (bool, int, float) or isinstance(value, np.number):
        return np.zeros(count, dtype=type(value))
    return np.full(count, None, dtype=object)

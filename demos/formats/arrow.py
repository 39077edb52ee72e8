"""Convert arrays to Arrow columns and back, with the metadata of Hugging Face ``datasets``."""

from __future__ import annotations

import json
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from demos.formats.format import import_optional
from demos.runtime.types import Array

if TYPE_CHECKING:
    import pyarrow as pa

HuggingFaceFeature: TypeAlias = dict[str, object]
"""Description of a column for ``datasets``: ``_type``, and its type, shape or inner description."""


def import_pyarrow(module: str = "pyarrow") -> ModuleType:
    """Import PyArrow, or a part of it.

    Raises:
        ModuleNotFoundError: PyArrow is not installed.
    """
    return import_optional(module, "PyArrow")


def nested_rows(values: Array, *, fixed: bool = False) -> pa.Array:
    """Return an Arrow array with a row for each step, and nested lists for more axes.

    Args:
        values: Array of shape (steps, ...).
        fixed: Use lists of fixed size; for vectors.
    """
    pa = import_pyarrow()
    rows = pa.array(np.ascontiguousarray(values).reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        size = values.shape[axis]
        if fixed:
            rows = pa.FixedSizeListArray.from_arrays(rows, size)
        else:
            rows = pa.ListArray.from_arrays(pa.array(np.arange(0, len(rows) + 1, size, dtype=np.int32)), rows)
    return rows


def column_to_numpy(rows: pa.Array | pa.ChunkedArray, name: str, shape: tuple[int, ...] | None = None) -> Array:
    """Return the NumPy array of an Arrow column: the inverse of :func:`nested_rows`.

    Args:
        rows: Arrow array or chunked array.
        name: Name of the column, for errors.
        shape: Shape of one step; that of the lists by default.

    Raises:
        ValueError: The column holds other data than numbers, or a step of another shape.
    """
    pa = import_pyarrow()
    values = rows.combine_chunks() if isinstance(rows, pa.ChunkedArray) else rows
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    values.validate(full=True)
    sizes = [len(values)]
    while isinstance(values, pa.ExtensionArray) or _is_list(values.type):
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
            continue
        lengths = set(import_pyarrow("pyarrow.compute").list_value_length(values).unique().to_pylist())
        if len(lengths) != 1 or None in lengths:
            raise ValueError(f"{name} has rows of different lengths; expected equal lengths")
        sizes.append(lengths.pop())
        values = values.flatten()
    if values.null_count or not _is_number(values.type):
        raise ValueError(f"{name} is {rows.type} with {values.null_count} missing values; expected numbers")
    flat = values.to_numpy(zero_copy_only=False)
    expected = tuple(sizes) if shape is None else (sizes[0], *shape)
    if flat.size != np.prod(expected, dtype=object):
        raise ValueError(f"{name} holds {flat.size} numbers; expected the shape {expected}")
    return np.array(flat).reshape(expected)


def _is_list(kind: pa.DataType) -> bool:
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    types = import_pyarrow("pyarrow.types")
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def value_feature(dtype: str) -> HuggingFaceFeature:
    """Return the description by ``datasets`` of a number or text."""
    return {"dtype": dtype, "_type": "Value"}


def list_feature(inner: HuggingFaceFeature, length: int) -> HuggingFaceFeature:
    """Return the description by ``datasets`` of a list of a length."""
    return {"feature": inner, "length": length, "_type": "List"}


def with_features(schema: pa.Schema, features: dict[str, HuggingFaceFeature]) -> pa.Schema:
    """Return a schema with the description that ``datasets`` looks for."""
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})

"""Messages of a policy server: msgpack with NumPy arrays. Reading a message runs no code of it.

msgpack has no arrays, so an array is a map. Two forms are in use, and both are read:

- ``openpi``, of ``openpi_client.msgpack_numpy``: ``__ndarray__``, ``data``, ``dtype`` and ``shape``.
- ``msgpack-numpy``, of the package of that name: ``nd``, ``type``, ``kind``, ``shape`` and ``data``.

Only numbers and booleans are read: arrays of objects, which msgpack-numpy unpickles, are refused.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgpack
import numpy as np

from agents.types import Array

ArrayForm = Literal["openpi", "msgpack-numpy"]
"""Form of arrays in messages."""
DTYPES = frozenset(
    np.dtype(kind).newbyteorder("<").str
    for kind in ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "f2", "f4", "f8")
)
"""Types of arrays that are read, as NumPy writes them, such as ``<f4``."""
MAX_LENGTH, MAX_ENTRIES = 1024, 2**16
"""Largest number of entries of a list or map, and of all lists and maps of a message together. In Python, an entry of
one byte can take 72 bytes, so without these bounds a message could take 72 times its size."""
SHOWN_BYTES = 24
"""Number of bytes of an invalid message that an error shows."""


def pack(value: Any, form: ArrayForm = "openpi") -> bytes:
    """Return a value as a message.

    Args:
        value: Maps, lists, texts, numbers, None, and arrays of numbers.
        form: Form of arrays.

    Raises:
        TypeError: It holds something else.
    """
    packed: bytes = msgpack.packb(value, default=_openpi_array if form == "openpi" else _msgpack_numpy_array)
    return packed


def unpack(message: bytes) -> Any:
    """Return the value of a message.

    Raises:
        ValueError: It is not msgpack, has more than :data:`MAX_LENGTH` or :data:`MAX_ENTRIES` entries, or holds an
            array that is damaged or of another type than :data:`DTYPES`.
    """
    entries = 0

    def counted(content: Any) -> Any:
        nonlocal entries
        entries += 1 + len(content)  # an empty list or map takes memory, too
        if entries > MAX_ENTRIES:
            raise ValueError(f"its lists and maps have more than {MAX_ENTRIES} entries")
        return content

    # A short message must not reserve memory for a long list.
    length = min(len(message), MAX_LENGTH)
    try:
        return msgpack.unpackb(
            message,
            object_hook=lambda content: _read_array(counted(content)),
            list_hook=counted,
            max_array_len=length,
            max_map_len=length,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise ValueError(
            f"the message of {len(message)} bytes that begins with {message[:SHOWN_BYTES]!r} cannot be read "
            f"({error}); expected msgpack with arrays of numbers"
        ) from error


def _openpi_array(value: object) -> dict[bytes, Any]:
    array = _checked(value)
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": array.dtype.str}
    return {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str, b"shape": array.shape}


def _msgpack_numpy_array(value: object) -> dict[bytes, Any]:
    array = _checked(value)
    if isinstance(value, np.generic):
        return {b"nd": False, b"type": array.dtype.str, b"data": array.tobytes()}
    return {b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": array.shape, b"data": array.tobytes()}


def _checked(value: object) -> Array:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.str not in DTYPES:
        kind = value.dtype if isinstance(value, np.ndarray | np.generic) else type(value).__name__
        raise TypeError(f"a message cannot hold {kind}; expected numbers, texts, lists, maps and arrays of numbers")
    return np.asarray(value)


def _read_array(content: dict[Any, Any]) -> Any:
    """Return the array or number that a map stands for; other maps as they are."""
    if content.get(b"__ndarray__") is True:
        return _array(content.get(b"dtype"), content.get(b"shape"), content.get(b"data"))
    if content.get(b"__npgeneric__") is True:
        return _array(content.get(b"dtype"), [], _number_bytes(content))[()]
    if content.get(b"nd") is True:
        return _array(content.get(b"type"), content.get(b"shape"), content.get(b"data"))
    if content.get(b"nd") is False:
        return _array(content.get(b"type"), [], content.get(b"data"))[()]
    return content


def _number_bytes(content: dict[Any, Any]) -> bytes:
    number = content.get(b"data")
    if not isinstance(number, bool | int | float):
        raise ValueError(f"invalid number {number!r}; expected bool, int or float")
    return np.array(number).astype(_dtype(content.get(b"dtype"))).tobytes()


def _array(dtype: object, shape: object, data: object) -> Array:
    kind = _dtype(dtype)
    if not (isinstance(shape, list) and all(type(length) is int and length >= 0 for length in shape)):
        raise ValueError(f"invalid array shape {shape!r}; expected a list of whole numbers >= 0")
    size = math.prod(shape) * kind.itemsize
    if not isinstance(data, bytes) or len(data) != size:
        given = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise ValueError(
            f"an array of shape {tuple(shape)} and type {kind} has {given} of data; expected {size} bytes"
        )
    return np.frombuffer(data, dtype=kind).reshape(shape).copy()


def _dtype(name: object) -> np.dtype[Any]:
    if not isinstance(name, str) or name not in DTYPES:
        raise ValueError(f"the type of an array is {name!r}; expected one of {', '.join(sorted(DTYPES))}")
    return np.dtype(name)

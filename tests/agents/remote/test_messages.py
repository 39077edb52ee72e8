"""Messages hold numbers as they are, in two forms, and nothing in them is executed."""

from __future__ import annotations

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agents.deployment.remote.messages import DTYPES, ArrayForm, pack, unpack

FORMS: tuple[ArrayForm, ...] = ("openpi", "msgpack-numpy")
ARRAYS = arrays.arrays(st.sampled_from(sorted(DTYPES)), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))


@given(array=ARRAYS, form=st.sampled_from(FORMS))
def test_arrays_arrive_bit_for_bit(array: np.ndarray, form: ArrayForm) -> None:
    received = unpack(pack({"array": array}, form))["array"]
    assert (received.dtype, received.shape) == (array.dtype, array.shape)
    assert received.tobytes() == array.tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_numbers_and_texts_arrive(form: ArrayForm) -> None:
    value = {"prompt": "grasp the cube", "steps": 3, "nested": [{"rate": 0.5}, None], "one": np.float32(0.1)}
    received = unpack(pack(value, form))
    assert received == value
    assert received["one"].dtype == np.float32


@pytest.mark.parametrize("value", [np.array([object()]), np.array(["text"]), np.array([1j]), object()])
def test_other_values_are_not_sent(value: object) -> None:
    with pytest.raises(TypeError, match="a message cannot hold"):
        pack({"value": value})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([0] * 1025, "1025 exceeds max_array_len"),
        ({str(number): 0 for number in range(1025)}, "1025 exceeds max_map_len"),
        ([[{}] * 1000] * 66, "its lists and maps have more than 65536 entries"),
        ([{str(number): [] for number in range(1000)}] * 66, "its lists and maps have more than 65536 entries"),
    ],
)
def test_a_message_that_would_take_many_times_its_size_is_refused(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as refused:
        unpack(msgpack.packb(value))
    assert problem in str(refused.value)


def test_a_short_message_reserves_no_memory_for_long_lists() -> None:
    with pytest.raises(ValueError, match="exceeds max_array_len"):
        unpack(b"\xdc\x03\xe8" * 100)  # lists of 1000 entries within each other


def test_large_arrays_are_no_lists() -> None:
    image = np.zeros((640, 480, 3), dtype=np.uint8)
    np.testing.assert_array_equal(unpack(pack({"front": image}))["front"], image)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        unpack(message)
    except ValueError as error:
        assert "cannot be read" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        ({b"__ndarray__": True, b"dtype": "|O", b"shape": [1], b"data": b"01234567"}, "type of an array is '|O'"),
        (
            {b"nd": True, b"type": [["a", "<f4"]], b"kind": b"V", b"shape": [1], b"data": b"0123"},
            "type of an array is",
        ),
        (
            {b"__ndarray__": True, b"dtype": "<f4", b"shape": [1 << 62], b"data": b""},
            f"has 0 bytes of data; expected {1 << 64} bytes",
        ),
        ({b"__ndarray__": True, b"dtype": "<f4", b"shape": [-1], b"data": b"0123"}, "invalid array shape"),
        (
            {b"__ndarray__": True, b"dtype": "<f4", b"shape": [2], b"data": b"0123"},
            "has 4 bytes of data; expected 8 bytes",
        ),
        ({b"__ndarray__": True, b"dtype": "<f4", b"shape": [1] * 99, b"data": b"0123"}, "cannot be read"),
        ({b"__npgeneric__": True, b"dtype": "<f4", b"data": "0"}, "invalid number '0'; expected bool"),
        ({b"nd": False, b"type": "<f4", b"data": b"0"}, "has 1 bytes of data; expected 4 bytes"),
    ],
)
def test_a_damaged_array_is_refused(array: dict[bytes, object], problem: str) -> None:
    with pytest.raises(ValueError, match="cannot be read") as refused:
        unpack(msgpack.packb({"actions": array}))
    assert problem in str(refused.value)

"""Check what ``step`` was given: an action is finite, has the right shape, and is otherwise refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def as_array(action: Any) -> npt.NDArray[Any]:
    """Return an action as an array.

    Raises:
        ValueError: It cannot be read as one.
    """
    try:
        return np.asarray(action)
    except (TypeError, RuntimeError, ArithmeticError, LookupError, ValueError) as error:
        raise ValueError(f"the action is a {type(action).__name__} that is no array: {error}") from None


def validate_box_action(action: Any, size: int) -> list[float]:
    """Return the action's numbers clipped to [-1, 1].

    Raises:
        ValueError: Naming the shape, or the index that is not finite.
    """
    array = as_array(action)
    if array.shape != (size,):
        raise ValueError(f"the action has shape {array.shape}; expected ({size},)")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the action {action!r} does not consist of numbers")
    numbers: list[float] = array.tolist()
    if array.dtype.char in "fd" and math.isfinite(sum(numbers)) and min(numbers) >= -1.0 and max(numbers) <= 1.0:
        return numbers
    numbers = [float(number) for number in numbers]
    for index, number in enumerate(numbers):
        if not math.isfinite(number):
            raise ValueError(f"action[{index}] is {number}; expected finite numbers in [-1, 1]")
        numbers[index] = min(max(number, -1.0), 1.0)
    return numbers


def validate_discrete_action(action: Any, count: int) -> int:
    """Return the action as a number below ``count``.

    Raises:
        ValueError: It is no whole number, or not in range. Unlike a displacement, a choice cannot be clipped.
    """
    array = as_array(action)
    if array.size != 1 or array.ndim > 1:
        raise ValueError(f"the action has shape {array.shape}; expected one whole number")
    number = array.reshape(()).item()
    if array.dtype.kind not in "fiu" or not math.isfinite(number) or number != int(number) or not 0 <= number < count:
        raise ValueError(f"action[0] is {number!r}; expected a whole number from 0 to {count - 1}")
    return int(number)

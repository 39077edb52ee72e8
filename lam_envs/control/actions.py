"""Validation of actions: shape, type and finite numbers."""

from __future__ import annotations

import math

import numpy as np

from lam_envs.observation import Array


def as_array(action: object) -> Array:
    """Return an action as an array.

    Raises:
        ValueError: The action cannot be converted to an array.
    """
    try:
        return np.asarray(action)
    except (TypeError, RuntimeError, ArithmeticError, LookupError, ValueError) as error:
        raise ValueError(f"the action is a {type(action).__name__}; expected an array: {error}") from None


def validate_box_action(action: object, size: int) -> list[float]:
    """Return the action's numbers clipped to [-1, 1].

    Raises:
        ValueError: The shape is wrong, or a number is not finite.
    """
    array = as_array(action)
    if array.shape != (size,):
        raise ValueError(f"the action has shape {array.shape}; expected ({size},)")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the action is {action!r}; expected an array of numbers")
    numbers: list[float] = array.tolist()
    if array.dtype.char in "fd" and math.isfinite(sum(numbers)) and min(numbers) >= -1.0 and max(numbers) <= 1.0:
        return numbers
    numbers = [float(number) for number in numbers]
    for index, number in enumerate(numbers):
        if not math.isfinite(number):
            raise ValueError(f"action[{index}] is {number}; expected finite numbers in [-1, 1]")
        numbers[index] = min(max(number, -1.0), 1.0)
    return numbers


def validate_discrete_action(action: object, count: int) -> int:
    """Return the action as an int from 0 to ``count - 1``.

    Raises:
        ValueError: The action is not a whole number, or is out of range. It is not clipped, unlike displacements.
    """
    array = as_array(action)
    if array.size != 1 or array.ndim > 1:
        raise ValueError(f"the action has shape {array.shape}; expected one whole number")
    number = array.reshape(()).item()
    if array.dtype.kind not in "fiu" or not math.isfinite(number) or number != int(number) or not 0 <= number < count:
        raise ValueError(f"action[0] is {number!r}; expected a whole number from 0 to {count - 1}")
    return int(number)

"""Arrays of all environments of a vector environment in one block of memory, which processes can share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import Space, spaces
from gymnasium.error import CustomSpaceError

Array = npt.NDArray[Any]

ALIGNMENT = 64
"""Alignment of the arrays: the size of a cache line, bytes."""
LARGEST_ITEM = np.dtype(np.float64).itemsize
"""Largest size of one number of an action, bytes."""


class BatchArrays:
    """Actions, and results of steps, of ``count`` environments.

    Args:
        observation_space: Observation space of one environment.
        action_space: Action space of one environment, whose elements are arrays or integers.
        count: Number of environments.
        memory: Memory that other processes share, at least :func:`size_of` bytes; None for memory of this process.

    Attributes:
        observations: Batch of observations: an array, or dicts and tuples of arrays, with N rows.
        rewards: float64, shape (N,).
        terminations: bool, shape (N,).
        truncations: bool, shape (N,).

    Raises:
        CustomSpaceError: Observations have no fixed size, or actions are not arrays.
    """

    def __init__(
        self, observation_space: Space[Any], action_space: Space[Any], count: int, memory: Any = None
    ) -> None:
        self._action_shape = (count, *_action_shape(action_space))
        block = np.zeros(size_of(observation_space, action_space, count), np.uint8) if memory is None else memory
        self._block = np.frombuffer(block, dtype=np.uint8)
        self._used = 0
        self.observations: Any = _batch(observation_space, count, self._take)
        self.rewards: Array = self._take((count,), np.float64)
        self.terminations: Array = self._take((count,), np.bool_)
        self.truncations: Array = self._take((count,), np.bool_)
        self._actions = self._take((math.prod(self._action_shape) * LARGEST_ITEM,), np.uint8)

    def actions(self, dtype: np.dtype[Any]) -> Array:
        """Return the batch of actions as numbers of a type of at most 8 bytes."""
        size = math.prod(self._action_shape) * dtype.itemsize
        rows: Array = self._actions[:size].view(dtype).reshape(self._action_shape)
        return rows

    def _take(self, shape: tuple[int, ...], dtype: Any) -> Array:
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        start, self._used = self._used, self._used + _aligned(size)
        array: Array = self._block[start : start + size].view(kind).reshape(shape)
        return array


def write_row(batch: Any, index: int, value: Any) -> None:
    """Set the row of one environment in a batch of observations."""
    if isinstance(batch, dict):
        for name, part in batch.items():
            write_row(part, index, value[name])
    elif isinstance(batch, tuple):
        for part, element in zip(batch, value, strict=True):
            write_row(part, index, element)
    else:
        batch[index] = value


def copy_batch(batch: Any) -> Any:
    """Return a copy of a batch of observations."""
    if isinstance(batch, dict):
        return {name: copy_batch(part) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(copy_batch(part) for part in batch)
    return batch.copy()


def size_of(observation_space: Space[Any], action_space: Space[Any], count: int) -> int:
    """Return the size of the memory of :class:`BatchArrays`, bytes.

    Raises:
        CustomSpaceError: Observations have no fixed size, or actions are not arrays.
    """
    total = 0

    def add(shape: tuple[int, ...], dtype: Any) -> Array:
        nonlocal total
        total += _aligned(math.prod(shape) * np.dtype(dtype).itemsize)
        return np.empty(0)

    _batch(observation_space, count, add)
    add((count,), np.float64)
    add((count,), np.bool_)
    add((count,), np.bool_)
    add((count, *_action_shape(action_space)), np.float64)
    return total


def _batch(space: Space[Any], count: int, new: Callable[..., Array]) -> Any:
    """Return an unset batch of elements of a space, whose arrays a function makes."""
    if isinstance(space, spaces.Dict):
        return {name: _batch(part, count, new) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_batch(part, count, new) for part in space.spaces)
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return new((count, *(space.shape or ())), space.dtype)
    raise CustomSpaceError(
        f"the observation space has a part {space}; expected Box, Discrete, MultiDiscrete, MultiBinary, or Dict and "
        'Tuple of them. For other spaces use vectorization_mode="sync"'
    )


def _action_shape(space: Space[Any]) -> tuple[int, ...]:
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return space.shape or ()
    raise CustomSpaceError(
        f"the action space is {space}; expected Box, Discrete, MultiDiscrete or MultiBinary. For other spaces use "
        'vectorization_mode="sync"'
    )


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT

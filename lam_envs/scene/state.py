"""State vectors of ``get_state``: a header, a physical state, and the actions executed since that state."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_NUMBER = 1e6
"""Largest valid number. Positions, speeds and angles of a scene are far smaller; larger ones overflow in Bullet."""
HEADER = 3
"""Length of the header: checksum of the environment settings, length of the physical part, length of the actions."""


class State(NamedTuple):
    """Parts of a state vector."""

    physical: npt.NDArray[np.float64]
    """Joints, targets, movable objects, goal and randomization."""
    actions: npt.NDArray[np.float64]
    """Actions since the physical state, shape (steps, action size)."""


def environment_checksum(task: str, robot: str, control: str, randomization: str, tool_length_offset: float) -> float:
    """Return a checksum that identifies the kind of environment that a state belongs to.

    Keywords of the task and the split of the instructions are not part of it: recorded episodes have states with this
    checksum, and replays compare them bit for bit.
    """
    # States of nominal tools keep the checksum that they always had.
    longer = f" {tool_length_offset!r}" if tool_length_offset else ""
    return float(zlib.crc32(f"{task} {robot} {control} {randomization}{longer}".encode()))


def pack(
    checksum: float, physical: npt.NDArray[np.float64], actions: Sequence[Sequence[float]]
) -> npt.NDArray[np.float64]:
    """Pack the parts of a state into one vector.

    Args:
        checksum: See :func:`environment_checksum`.
        physical: Shape (n,).
        actions: One row per step.
    """
    numbers = [number for row in actions for number in row]
    return np.concatenate([[checksum, physical.size, len(numbers)], physical, numbers])


def unpack(checksum: float, size: int, action_size: int, vector: npt.ArrayLike) -> State:
    """Unpack a state vector.

    Args:
        checksum: Expected result of :func:`environment_checksum`.
        size: Expected length of the physical part.
        action_size: Length of an action vector.
        vector: Result of :func:`pack`.

    Raises:
        ValueError: The vector is of another kind of environment, is incomplete, or has a number that is not finite
            or too large.
    """
    try:
        state = np.array(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the state is a {type(vector).__name__}; expected a vector of numbers: {error}") from None
    if state.ndim != 1 or state.size < HEADER or state[0] != checksum:
        raise ValueError(
            f"the state of shape {state.shape} is not of this environment: it comes from another task, robot, "
            "control or randomization, with another tool_length_offset, or not from get_state() or physical_state()"
        )
    physical, numbers = state[HEADER : HEADER + size], state[HEADER + size :]
    if state[1] != size and state.size == HEADER + state[1] + state[2]:
        raise ValueError(
            f"the physical part of the state has {state[1]:g} numbers, and this environment's has {size}: it comes "
            "from an environment with another instruct, or with another task of the same name"
        )
    if state[1] != size or state[2] != numbers.size or physical.size != size or numbers.size % action_size:
        raise ValueError(
            f"the state has {state.size} numbers, and its header specifies another number: it is incomplete or "
            "corrupt"
        )
    invalid = ~(np.abs(state[HEADER:]) <= MAX_NUMBER)
    if invalid.any():
        index = HEADER + int(np.argmax(invalid))
        raise ValueError(f"state[{index}] is {state[index]}; expected numbers of at most {MAX_NUMBER:g}")
    return State(physical, numbers.reshape(-1, action_size))

"""The vectors that ``get_state`` returns: what they are of, the first physical state, and the actions since."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_NUMBER = 1e6
"""No position, speed or angle of a scene comes near this; larger ones make Bullet's numbers overflow."""
HEADER = 3
"""Numbers in front: a checksum of what the state is of, the length of the physical part, that of the actions."""


class State(NamedTuple):
    """A state taken apart."""

    physical: npt.NDArray[np.float64]
    """Joints, targets, bodies and the goal."""
    actions: npt.NDArray[np.float64]
    """Shape (steps, numbers of an action)."""


def label(task: str, robot: str, control: str, randomization: str) -> float:
    """Returns a number that tells states of one kind of environment from another's."""
    return float(zlib.crc32(f"{task} {robot} {control} {randomization}".encode()))


def pack(
    kind: float, physical: npt.NDArray[np.float64], actions: Sequence[Sequence[float]]
) -> npt.NDArray[np.float64]:
    """Joins the parts of a state into one vector.

    Args:
        kind: See :func:`label`.
        physical: Shape (n,).
        actions: One row a step.
    """
    numbers = [number for row in actions for number in row]
    return np.concatenate([[kind, physical.size, len(numbers)], physical, numbers])


def unpack(kind: float, size: int, action_size: int, vector: npt.ArrayLike) -> State:
    """Takes a state apart.

    Args:
        kind: What it has to be of.
        size: Length of the physical part.
        action_size: Numbers of an action.
        vector: What :func:`pack` returned.

    Raises:
        ValueError: The vector is of another kind, was cut, or holds a number that is not finite or far too
            large.
    """
    try:
        state = np.array(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"the state is {type(vector).__name__}, not a vector of numbers: {error}") from None
    if state.ndim != 1 or state.size < HEADER or state[0] != kind:
        raise ValueError(
            f"the state of shape {state.shape} is not of this environment: it comes from another task, robot, "
            "control or randomisation, or not from get_state() or physical_state()"
        )
    physical, numbers = state[HEADER : HEADER + size], state[HEADER + size :]
    if state[1] != size or state[2] != numbers.size or physical.size != size or numbers.size % action_size:
        raise ValueError(f"the state has {state.size} numbers, and its header says otherwise: it is cut or mixed up")
    strange = ~(np.abs(state[HEADER:]) <= MAX_NUMBER)
    if strange.any():
        index = HEADER + int(np.argmax(strange))
        raise ValueError(f"state[{index}] is {state[index]}; expected numbers of at most {MAX_NUMBER:g}")
    return State(physical, numbers.reshape(-1, action_size))

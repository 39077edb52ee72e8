"""A single goal, which the functions of goals evaluate several times faster than an array."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from lam_envs.observation import Array


class OneGoal(NDArrayOperatorsMixin):
    """Single goal with the interface of an array: fast for ``goal[..., 2]`` and ``goal - other``, else converted.

    Python floats are several times faster than arrays of shape (), and give the same bits.

    Args:
        numbers: Numbers of the goal.
    """

    __slots__ = ("numbers",)

    def __init__(self, numbers: list[float]) -> None:
        self.numbers = numbers

    def __getitem__(self, index: Any) -> Any:
        if index.__class__ is tuple and len(index) == 2 and index[0] is Ellipsis and index[1].__class__ is int:
            return self.numbers[index[1]]
        return self.array[index]

    def __sub__(self, other: Any) -> Any:
        if other.__class__ is not OneGoal:
            return super().__sub__(other)
        if len(self.numbers) != len(other.numbers):
            raise ValueError(
                f"the goals have {len(self.numbers)} and {len(other.numbers)} numbers; expected the same number"
            )
        return OneGoal(list(map(operator.sub, self.numbers, other.numbers)))

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """The goal as an array of shape (goal size,)."""
        return np.array(self.numbers)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numbers, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return getattr(ufunc, method)(*(one.array if isinstance(one, OneGoal) else one for one in inputs), **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

"""A single goal, judged by the same functions as arrays of goals and several times faster."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin


class OneGoal(NDArrayOperatorsMixin):
    """A single goal that is read as an array is: fast by ``goal[..., 2]`` and ``goal - other``, else as an array.

    Python's own numbers are several times faster than arrays without dimensions, and come to the same bits.

    Args:
        numbers: The goal.
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
            raise ValueError(f"goals of {len(self.numbers)} and {len(other.numbers)} numbers have no difference")
        return OneGoal(list(map(operator.sub, self.numbers, other.numbers)))

    @property
    def array(self) -> npt.NDArray[np.float64]:
        """The goal as an array."""
        return np.array(self.numbers)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.numbers, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        return getattr(ufunc, method)(*(one.array if isinstance(one, OneGoal) else one for one in inputs), **keywords)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

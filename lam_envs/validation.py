"""Validation of arguments, with error messages that name the argument, its value and the expected values."""

from __future__ import annotations

import difflib
import inspect
import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

MAX_PIXELS = 8192
"""Largest width and height. With some tens of thousands the renderer runs out of memory and ends the process."""


def check_name(argument: str, value: object, known: Iterable[str]) -> str:
    """Check that a name is known, and return it.

    Args:
        argument: Name of the argument for the error message.
        value: Value of the argument.
        known: The known names.

    Raises:
        ValueError: The value is not a known name.
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"unknown {argument} {value!r}; expected one of {', '.join(names)}")
    return str(value)


def check_names(argument: str, value: object, known: Iterable[str]) -> tuple[str, ...]:
    """Check that a value is a sequence of unique known names, at least one, and return it.

    Raises:
        ValueError: The value is not such a sequence.
    """
    names = list(known)
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{argument} is {value!r}; expected a list of names, such as {names[:2]}")
    checked = tuple(check_name(f"name in {argument}", name, names) for name in value)
    if len(set(checked)) != len(checked):
        raise ValueError(f"{argument} is {value!r}; expected unique names")
    return checked


def resolve(argument: str, value: object, kind: type[T], known: Iterable[str], find: Callable[[str], T]) -> T:
    """Return an object that is given itself or by its name.

    Args:
        argument: Name of the argument for the error message.
        value: The object, or a known name.
        kind: Type of the object.
        known: The known names.
        find: Function that returns the object of a name.

    Raises:
        ValueError: The value is neither.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        raise ValueError(f"{argument} is the class {value.__name__}; expected an object, such as {value.__name__}()")
    return find(check_name(argument, value, known))


def whole_number(value: Any) -> int | None:
    """Return a value as int if it is a whole number, also one of NumPy, and no bool; otherwise None."""
    try:
        # NumPy's bools have no index.
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_pixels(argument: str, value: object) -> int:
    """Check that a number of pixels is valid, and return it.

    Raises:
        ValueError: The value is not a whole number in the valid range.
    """
    pixels = whole_number(value)
    if pixels is None or not 1 <= pixels <= MAX_PIXELS:
        raise ValueError(f"{argument} is {value!r}; expected a positive whole number of pixels, at most {MAX_PIXELS}")
    return pixels


def check_steps(argument: str, value: object) -> int:
    """Check that a number of control steps is valid, and return it.

    Raises:
        ValueError: The value is not a positive whole number.
    """
    steps = whole_number(value)
    if steps is None or steps < 1:
        raise ValueError(f"{argument} is {value!r}; expected a positive whole number of control steps")
    return steps


def check_bool(argument: str, value: object) -> bool:
    """Check that a value is a bool, also one of NumPy, and return it as bool.

    Raises:
        ValueError: The value is not a bool.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{argument} is {value!r}; expected True or False")
    return bool(value)


OF_VECTORS = ("num_workers", "context", "autoreset_mode")
"""Keywords of our vector environments that environments do not have."""
VECTOR_HINT = (
    "Leave out vectorization_mode; with Gymnasium before 1.0 use gym.make_vec(env_id, num_envs, "
    'vectorization_mode="custom", vector_kwargs={...})'
)
"""Advice on such a keyword."""


def unknown_keyword(keyword: str, function: Callable[..., object], others: Iterable[str] = ()) -> str:
    """Return an error message with the closest known keyword and all keywords of a function.

    It begins like Python's message: TorchRL and Gymnasium recognize it and retry without the keyword.

    Args:
        keyword: The unknown keyword.
        function: Function with keyword-only arguments.
        others: More keywords that it takes.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [*(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY), *others]
    error = f"{function.__qualname__}() got an unexpected keyword argument {keyword!r}"
    if keyword in OF_VECTORS:
        return f"{error}: it is one of lam_envs.vector.make_vec. {VECTOR_HINT}"
    return f"{error}{did_you_mean(keyword, known)}. Known: {', '.join(known)}"


def unknown_name(kind: str, value: object, known: Iterable[str]) -> str:
    """Return an error message with an unknown name, the closest known name and all known names."""
    names = list(known)
    return f"unknown {kind} {value!r}{did_you_mean(str(value), names)}. Known: {', '.join(names) or 'none'}"


def unknown_field(argument: str, field: str, known: Iterable[str]) -> str:
    """Return an error message with an unknown field of an argument, the closest known field and all known fields."""
    names = list(known)
    return f"{argument} has no {field!r}{did_you_mean(field, names)}. Known: {', '.join(names)}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a hint at the known name that is closest to an unknown one; empty if none is close."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""

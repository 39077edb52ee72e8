"""Validation of keyword arguments, with error messages."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

MAX_PIXELS = 8192
"""Largest width and height. With some tens of thousands the renderer runs out of memory and ends the process."""


def known_name(what: str, given: Any, known: Iterable[str]) -> str:
    """Return a name if it is a known one.

    Args:
        what: Name of the argument for the error message.
        given: The value.
        known: The known names.

    Raises:
        ValueError: The value is not a known name.
    """
    names = list(known)
    if not isinstance(given, str) or given not in names:
        raise ValueError(f"unknown {what} {given!r}; expected one of {', '.join(names)}")
    return str(given)


def known_names(what: str, given: Any, known: Iterable[str]) -> tuple[str, ...]:
    """Return a sequence of different known names, at least one.

    Raises:
        ValueError: The value is not such a sequence.
    """
    names = list(known)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(f"{what} is {given!r}; expected a list of names, such as {names[:2]}")
    checked = tuple(known_name(f"name in {what}", name, names) for name in given)
    if len(set(checked)) != len(checked):
        raise ValueError(f"{what} is {given!r}; expected different names")
    return checked


def one_of(what: str, given: Any, kind: type[T], table: Iterable[str], find: Callable[[str], T]) -> T:
    """Return an object that is given itself or by its name.

    Args:
        what: Name of the argument for the error message.
        given: The object, or a known name.
        kind: Type of the object.
        table: The known names.
        find: Function that returns the object of a name.

    Raises:
        ValueError: The value is neither.
    """
    if isinstance(given, kind):
        return given
    return find(known_name(what, given, table))


def positive_number(what: str, given: Any) -> int:
    """Return a number of pixels if it is valid.

    Raises:
        ValueError: The value is not a whole number in the valid range.
    """
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_PIXELS:
        raise ValueError(f"{what} is {given!r}; expected a positive whole number of pixels, at most {MAX_PIXELS}")
    return given


def check_bool(what: str, given: Any) -> bool:
    """Return a value if it is a bool.

    Raises:
        ValueError: The value is not a bool.
    """
    if not isinstance(given, bool):
        raise ValueError(f"{what} is {given!r}; expected True or False")
    return given


def unknown_keyword(given: str, function: Callable[..., Any]) -> str:
    """Return an error message with the closest known keyword and all that the function knows.

    It begins like Python's message: TorchRL and Gymnasium recognize it and retry without the keyword.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    error = f"{function.__qualname__}() got an unexpected keyword argument {given!r}"
    return f"{error}{_hint(given, known)}. Known: {', '.join(known)}"


def unknown_name(what: str, given: Any, known: Iterable[str]) -> str:
    """Return an error message with the given name, the closest known name and all known names."""
    names = list(known)
    return f"unknown {what} {given!r}{_hint(str(given), names)}. Known: {', '.join(names) or 'none'}"


def unknown_field(what: str, given: str, known: Iterable[str]) -> str:
    """Return an error message with the given field, the closest known field and all known fields."""
    names = list(known)
    return f"{what} has no {given!r}{_hint(given, names)}. Known: {', '.join(names)}"


def _hint(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""

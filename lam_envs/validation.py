"""Check what ``gym.make`` was given, and say what it expects."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Thing = TypeVar("Thing")

MAX_PIXELS = 8192
"""The renderer runs out of memory, and takes Python with it, beyond some tens of thousands."""


def known_name(what: str, given: Any, known: Iterable[str]) -> str:
    """Return a name that is in a table.

    Raises:
        ValueError: It is not; says which are.
    """
    names = list(known)
    if not isinstance(given, str) or given not in names:
        raise ValueError(f"unknown {what} {given!r}; expected one of {', '.join(names)}")
    return str(given)


def known_names(what: str, given: Any, known: Iterable[str]) -> tuple[str, ...]:
    """Return names that are in a table: at least one, none twice.

    Raises:
        ValueError: Something else was given.
    """
    names = list(known)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(f"{what} is {given!r}; expected a list of names, such as {names[:2]}")
    found = tuple(known_name(f"name in {what}", name, names) for name in given)
    if len(set(found)) != len(found):
        raise ValueError(f"{what} is {given!r}; expected no name twice")
    return found


def one_of(what: str, given: Any, kind: type[Thing], table: Iterable[str], find: Callable[[str], Thing]) -> Thing:
    """Return a thing that was given itself or by its name.

    Args:
        what: The keyword.
        given: The thing, or a name of the table.
        kind: What it must be.
        table: The names.
        find: Returns the thing of a name.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(given, kind):
        return given
    return find(known_name(what, given, table))


def positive_number(what: str, given: Any) -> int:
    """Return a positive whole number of pixels.

    Raises:
        ValueError: It is none.
    """
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_PIXELS:
        raise ValueError(f"{what} is {given!r}; expected a positive whole number of pixels, at most {MAX_PIXELS}")
    return given


def check_bool(what: str, given: Any) -> bool:
    """Return True or False.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(given, bool):
        raise ValueError(f"{what} is {given!r}; expected True or False")
    return given


def unknown_keyword(given: str, function: Callable[..., Any]) -> str:
    """Return an error message with the closest known keyword and all that the function knows.

    It begins as Python's own message, by which TorchRL and Gymnasium recognize it to retry without the keyword.
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
    """Report which field of a keyword's value was meant, and which there are."""
    names = list(known)
    return f"{what} has no {given!r}{_hint(given, names)}. Known: {', '.join(names)}"


def _hint(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""

"""Check what ``gym.make`` was given, and say what it expects."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

MAX_PIXELS = 8192
"""The renderer runs out of memory, and takes Python with it, beyond some tens of thousands."""


def known_name(what: str, given: Any, known: Iterable[str]) -> str:
    """Returns a name that is in a table.

    Raises:
        ValueError: It is not; says which are.
    """
    names = list(known)
    if given not in names:
        raise ValueError(f"unknown {what} {given!r}; expected one of {', '.join(names)}")
    return str(given)


def positive_number(what: str, given: Any) -> int:
    """Returns a positive whole number of pixels.

    Raises:
        ValueError: It is none.
    """
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MAX_PIXELS:
        raise ValueError(f"{what} is {given!r}; expected a positive whole number of pixels, at most {MAX_PIXELS}")
    return given


def unknown_keyword(given: str, function: Callable[..., Any]) -> str:
    """Says which keyword was meant, and which the function knows."""
    parameters = inspect.signature(function).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    near = difflib.get_close_matches(given, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown keyword {given!r}{hint}. Known: {', '.join(known)}"

"""Steps of preprocessing as texts: ``resample:rate=10``."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, cast, get_args, get_origin, get_type_hints

from demos.preprocess.preprocessor import Preprocessor

BOOLS = {"true": True, "false": False}


def parse_step(text: str, known: dict[str, type[Preprocessor]]) -> Preprocessor:
    """Read a step: its name, and after a colon its settings, separated by commas; lists by ``+``.

    Args:
        text: Such as ``cut-idle``, ``smooth:window=9,order=3`` or ``features:drop=tool/lag+tool/velocity``.
        known: The steps by name.

    Raises:
        ValueError: An unknown step or setting, or a value that cannot be.
    """
    name, _, rest = text.partition(":")
    if name not in known:
        raise ValueError(f"unknown step {name!r}; known: {', '.join(known)}")
    kind = known[name]
    hints = get_type_hints(kind)
    settings = {field.name: hints[field.name] for field in fields(cast(Any, kind)) if not field.name.startswith("_")}
    given: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if key not in settings or not equals:
            raise ValueError(
                f"the step {text!r} has {pair!r}; expected NAME=VALUE of {', '.join(settings) or 'no setting'}"
            )
        given[key] = _value(settings[key], value, pair)
    try:
        return kind(**given)
    except TypeError:
        needed = [
            field.name for field in fields(cast(Any, kind)) if field.default is field.default_factory is MISSING
        ]
        lacking = [key for key in needed if key not in given]
        raise ValueError(f"the step {text!r} lacks a setting: {', '.join(lacking)}") from None


def _value(kind: Any, text: str, pair: str) -> Any:
    if get_origin(kind) is tuple:
        return tuple(text.split("+"))
    if kind is bool or bool in get_args(kind):
        if text not in BOOLS:
            raise ValueError(f"{pair!r}: expected {' or '.join(BOOLS)}")
        return BOOLS[text]
    for choice in (int, float, str):
        if kind is choice or choice in get_args(kind):
            try:
                return choice(text)
            except ValueError:
                raise ValueError(f"{pair!r}: expected {'a whole number' if choice is int else 'a number'}") from None
    raise TypeError(f"settings of the type {kind} cannot be given as text")

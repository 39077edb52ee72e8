"""Parse preprocessing steps from text, such as ``resample:rate=10``."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, cast, get_args, get_origin, get_type_hints

from demos.preprocess.preprocessor import Preprocessor

BOOLS = {"true": True, "false": False}


def parse_step(text: str, known: dict[str, type[Preprocessor]]) -> Preprocessor:
    """Return a preprocessing step from its name and, after a colon, comma-separated settings; lists use ``+``.

    Args:
        text: Text such as ``cut-idle``, ``smooth:window=9,order=3`` or ``features:drop=tool/lag+tool/velocity``.
        known: Classes of steps by name.

    Raises:
        ValueError: The step or a setting is unknown, or a value is invalid.
    """
    name, _, rest = text.partition(":")
    if name not in known:
        raise ValueError(f"unknown step {name!r}; expected one of {', '.join(known)}")
    kind = known[name]
    hints = get_type_hints(kind)
    settings = {field.name: hints[field.name] for field in fields(cast(Any, kind)) if not field.name.startswith("_")}
    values: dict[str, object] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if key not in settings or not equals:
            raise ValueError(
                f"invalid setting {pair!r} of the step {text!r}; expected NAME=VALUE of "
                f"{', '.join(settings) or 'no setting'}"
            )
        values[key] = _value(settings[key], value, pair)
    try:
        return kind(**values)
    except TypeError:
        required = [
            field.name for field in fields(cast(Any, kind)) if field.default is field.default_factory is MISSING
        ]
        missing = [key for key in required if key not in values]
        raise ValueError(f"the step {text!r} lacks the settings {', '.join(missing)}") from None


def _value(kind: object, text: str, pair: str) -> object:
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
                raise ValueError(f"{pair!r}: expected {'an integer' if choice is int else 'a number'}") from None
    raise TypeError(f"settings of the type {kind} cannot be given as text")

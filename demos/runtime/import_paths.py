"""Things that others define, named by their place: ``package.module:Name``."""

from __future__ import annotations

import importlib
from typing import Any


def imported(place: str, what: str) -> Any:
    """Import what a place names. Only what a user typed may come here, nothing that was read from a file.

    Args:
        place: ``package.module:Name``.
        what: What it should be, for the error.

    Raises:
        ValueError: There is no such thing.
    """
    module, colon, name = place.partition(":")
    if not colon:
        raise ValueError(f"{what} is given as {place!r}; expected package.module:Name")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"cannot import {what} {place!r}: {error}. Its module must be here, in PYTHONPATH or installed"
        ) from error

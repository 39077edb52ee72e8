"""Import objects by path, ``package.module:Name``, or by their names in a table of paths."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def import_object(import_path: str, what: str) -> Any:
    """Import an object. Never pass a path that was read from a file: importing runs code.

    Args:
        import_path: ``package.module:Name``.
        what: Kind of object, for the error.

    Raises:
        ValueError: The path is malformed, or there is no such object.
    """
    module, colon, name = import_path.partition(":")
    if not colon:
        raise ValueError(f"invalid {what} {import_path!r}; expected package.module:Name")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        hint = ". Put its module into the current folder, or add its folder to PYTHONPATH" if is_missing else ""
        raise ValueError(f"cannot import {what} {import_path!r}: {error}{hint}") from error


def import_named(name: str, import_paths: Mapping[str, str], what: str) -> Any:
    """Import an object by its name.

    Args:
        name: Name.
        import_paths: Import path of each name.
        what: Kind of object, for the error.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in import_paths:
        raise ValueError(f"unknown {what} {name!r}; expected one of {', '.join(import_paths)}")
    return import_object(import_paths[name], what)

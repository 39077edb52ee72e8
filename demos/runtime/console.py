"""What the commands of all layers share: clear errors, and keywords for environments."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium.error
import typer
from rich.console import Console
from rich.markup import escape

# Paths and names may hold brackets, which are no markup.
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn Ctrl-C, and errors of the kinds that our functions document, into one line and an exit code.

    Errors that passed through a user's own code keep their traceback; with ``LAM_ENVS_TRACEBACK=1`` all do.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print("interrupted; what was finished is kept")
        raise typer.Exit(130) from None
    except (ValueError, TypeError, RuntimeError, OSError, ImportError, MemoryError, gymnasium.error.Error) as error:
        told = "".join(traceback.format_exception(error))
        if os.environ.get("LAM_ENVS_TRACEBACK") or _names_foreign_code(told):
            errors.print(told, markup=False)
        errors.print(f"[bold red]error:[/] {escape(str(error) or type(error).__name__)}")
        raise typer.Exit(2) from error


def _names_foreign_code(told: str) -> bool:
    """Whether a traceback, perhaps one of another process, names a file that is neither ours nor installed."""
    ours = [Path(__file__).parents[2] / layer for layer in ("lam_envs", "demos", "agents", "benchmarks")]
    installed = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    # Compiled libraries name files that are not there.
    files = [Path(name).resolve() for name in re.findall(r'File "([^"<]+)", line', told) if Path(name).is_file()]
    return any(not any(file.is_relative_to(place) for place in (*ours, *installed)) for file in files)


def keywords(assignments: list[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; values are JSON, or else text.

    Raises:
        ValueError: A pair without ``=``.
    """
    result: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ValueError(f"--set {assignment!r}: expected name=value, such as --set control=discrete")
        try:
            result[name] = json.loads(value)
        except json.JSONDecodeError:
            result[name] = value
    return result

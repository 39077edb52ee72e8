"""What the commands of all layers share: clear errors, and keywords for environments."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns Ctrl-C, and errors of the kinds that our functions document, into one line and an exit code.

    With ``LAM_ENVS_TRACEBACK=1`` in the environment the traceback stays, to report a bug.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print("interrupted; what was finished is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        if os.environ.get("LAM_ENVS_TRACEBACK"):
            raise
        errors.print(f"[bold red]error:[/] {_escaped(error)}")
        raise typer.Exit(2) from error


def _escaped(error: BaseException) -> str:
    return str(error).replace("[", "\\[")


def keywords(assignments: list[str]) -> dict[str, Any]:
    """Reads ``name=value`` pairs; values are JSON, or else text.

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

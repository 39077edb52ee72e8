"""Command-line helpers of all packages: output, errors, and keyword arguments for environments."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium.error
import typer
from rich.console import Console
from rich.markup import escape

from demos.runtime.types import Keywords

# Paths and names may hold brackets: do not read these as markup.
console = Console(highlight=False, markup=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def clear_errors(interrupted: str = "interrupted; finished parts are saved") -> Iterator[None]:
    """Turn Ctrl-C, and errors that our functions document, into one line and an exit code.

    Errors from a user's own code keep their traceback; with ``LAM_ENVS_TRACEBACK=1`` all errors do.

    Args:
        interrupted: Line for Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print(interrupted)
        raise typer.Exit(130) from None
    except (ValueError, TypeError, RuntimeError, OSError, ImportError, MemoryError, gymnasium.error.Error) as error:
        traceback_text = "".join(traceback.format_exception(error))
        if os.environ.get("LAM_ENVS_TRACEBACK") or _names_user_code(traceback_text):
            errors.print(traceback_text, markup=False)
        errors.print(f"[bold red]error:[/] {escape(str(error) or type(error).__name__)}")
        raise typer.Exit(2) from error


def _names_user_code(traceback_text: str) -> bool:
    """Return True if a traceback names a file that is neither ours nor installed."""
    ours = [Path(__file__).parents[2] / layer for layer in ("lam_envs", "demos", "agents", "benchmarks")]
    installed = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    # Compiled libraries name files that do not exist.
    files = [
        Path(name).resolve() for name in re.findall(r'File "([^"<]+)", line', traceback_text) if Path(name).is_file()
    ]
    return any(not any(file.is_relative_to(folder) for folder in (*ours, *installed)) for file in files)


def parse_keywords(assignments: list[str], option: str = "--env-kwargs") -> Keywords:
    """Return the keyword arguments of ``name=value`` pairs; values are JSON, or else text.

    Args:
        assignments: Pairs.
        option: Option that they were given by, for the error.

    Raises:
        ValueError: A pair has no name or no ``=``.
    """
    result: Keywords = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            raise ValueError(f"{option} {assignment!r}: expected name=value, such as {option} control=discrete")
        try:
            result[name] = json.loads(value)
        except json.JSONDecodeError:
            result[name] = value
    return result

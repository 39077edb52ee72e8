"""Command line: python -m demos COMMAND. The commands are in ``demos/commands``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated

import typer

from demos.commands import collect, curate, exchange, human, inspect, teleop, verify
from demos.runtime.console import clear_errors

app = typer.Typer(
    help="Collect, inspect, verify, transform, exchange and record videos of demonstrations.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (collect, inspect, verify, curate, exchange, human, teleop):
    group.add_to(app)


@app.callback()
def import_modules(
    module: Annotated[
        list[str], typer.Option("--import", help="Module that registers your environments; may be repeated.")
    ] = [],  # noqa: B006  (typer reads the default, which never changes)
) -> None:
    """Import modules before a command runs."""
    with clear_errors():
        for name in module:
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise ImportError(
                    f"--import {name}: {error}; expected a module in this folder or PYTHONPATH"
                ) from error


def main() -> None:
    """Run the command ``lam-demos``; like ``python -m demos``, it finds policies in the current folder."""
    sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()

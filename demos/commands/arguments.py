"""Arguments that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path | None, typer.Option(help="Folder of all datasets; by default Minari's own (MINARI_DATASETS_PATH).")
]
Dataset = Annotated[str, typer.Argument(help="Id of a dataset, or its folder.")]
NewId = Annotated[str, typer.Option("--id", help="Id of the new dataset, (namespace/)name-v0.")]
Overwrite = Annotated[bool, typer.Option(help="Replace what is there under that name.")]
EXAMPLE = "lam/LamGrasp-expert-100-seed0-v0"
"""A dataset, for examples."""

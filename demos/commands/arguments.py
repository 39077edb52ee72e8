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

EngineName = Annotated[str, typer.Option("--engine", help="Where jobs run: local, or ray for a cluster.")]
Address = Annotated[
    str | None, typer.Option(help="Of the Ray cluster: auto (the default), host:port, or local to start one here.")
]
Shared = Annotated[
    bool, typer.Option("--shared", help="All machines of the cluster share the folder: files need not travel.")
]

"""Arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path | None, typer.Option(help="Folder of all datasets; Minari's own (MINARI_DATASETS_PATH) by default.")
]
Dataset = Annotated[str, typer.Argument(help="Id or folder of a dataset.")]
NewId = Annotated[str, typer.Option("--id", help="Id of the new dataset: (namespace/)name-v0.")]
Overwrite = Annotated[bool, typer.Option(help="Replace an existing dataset or file of that name.")]
EXAMPLE = "lam/LamGrasp-expert-100-seed0-v0"
"""Dataset id in examples."""

EngineName = Annotated[str, typer.Option("--engine", help="Engine that runs jobs: local, or ray for a cluster.")]
Address = Annotated[
    str | None,
    typer.Option(help="Address of the Ray cluster: auto (the default), host:port, or local to start one here."),
]
SharedFilesystem = Annotated[
    bool, typer.Option("--shared-filesystem", help="All machines of the cluster see the same folders: send no files.")
]

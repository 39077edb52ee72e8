"""Commands for the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demos.commands.arguments import EXAMPLE, Dataset, NewId, Overwrite, Root
from demos.commands.collect import tell
from demos.datasets.loading import load
from demos.formats import FORMATS, export_dataset, import_dataset
from demos.runtime.console import clear_errors, console, keywords

Format = Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export", epilog=f"Example: python -m demos export {EXAMPLE} --format robomimic --out grasp.hdf5")(
        export
    )
    app.command("import", epilog="Example: python -m demos import grasp.hdf5 --format robomimic --id mine/grasp-v0")(
        import_
    )


def export(
    dataset: Dataset,
    format_: Format,
    out: Annotated[Path, typer.Option(help="The file or folder to write.")],
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Write a dataset in another tool's format; says what that format cannot hold."""
    with clear_errors():
        lost = export_dataset(load(dataset, root), format_, out, overwrite=overwrite, progress=True)
        console.print(f"wrote {out}", soft_wrap=True)
        for each in lost:
            console.print(f"not in it: {each}", soft_wrap=True)


def import_(
    path: Annotated[Path, typer.Argument(help="The file or folder of another tool.")],
    format_: Format,
    id_: NewId,
    env: Annotated[str | None, typer.Option(help="Id of the environment that the episodes come from.")] = None,
    set_: Annotated[list[str], typer.Option("--set", help="Keyword of that environment, name=value.")] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Read another tool's demonstrations into a dataset. Nothing in the file is executed."""
    with clear_errors():
        tell(
            import_dataset(
                path,
                format_,
                id_,
                root=root,
                env_id=env,
                env_kwargs=keywords(set_),
                overwrite=overwrite,
                progress=True,
            )
        )

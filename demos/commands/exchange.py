"""Commands for the formats of other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demos.commands.arguments import EXAMPLE, Dataset, NewId, Overwrite, Root
from demos.commands.collect import print_summary
from demos.datasets.loading import load
from demos.formats import FORMATS, export_dataset, import_dataset
from demos.runtime.console import clear_errors, console, parse_keywords

Format = Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command("export", epilog=f"Example: python -m demos export {EXAMPLE} --format robomimic --out grasp.hdf5")(
        export
    )
    app.command("import", epilog="Example: python -m demos import grasp.hdf5 --format robomimic --id mine/grasp-v0")(
        import_
    )


def export(
    dataset: Dataset,
    format_: Format,
    out: Annotated[Path, typer.Option(help="File or folder to write.")],
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Export a dataset to the format of another library, and report what the format cannot hold."""
    with clear_errors():
        losses = export_dataset(load(dataset, root), format_, out, overwrite=overwrite, progress=True)
        console.print(f"wrote {out}", soft_wrap=True)
        for loss in losses:
            console.print(f"not exported: {loss}", soft_wrap=True)


def import_(
    path: Annotated[Path, typer.Argument(help="File or folder to read.")],
    format_: Format,
    id_: NewId,
    env: Annotated[str | None, typer.Option(help="Id of the environment of the episodes.")] = None,
    env_kwargs: Annotated[
        list[str], typer.Option("--env-kwargs", help="Keyword of that environment, name=value.")
    ] = [],  # noqa: B006  (typer reads the default, which never changes)
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Import demonstrations of another library into a dataset. No code of the file is executed."""
    with clear_errors():
        print_summary(
            import_dataset(
                path,
                format_,
                id_,
                root=root,
                env_id=env,
                env_kwargs=parse_keywords(env_kwargs),
                overwrite=overwrite,
                progress=True,
            )
        )

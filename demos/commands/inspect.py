"""Commands that inspect datasets."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from demos.collection.video import render as render_video
from demos.commands.arguments import EXAMPLE, Dataset, Root
from demos.datasets.loading import datasets_root, installed, load
from demos.datasets.statistics import describe, statistics
from demos.preprocess.schema import schema_of
from demos.runtime.console import clear_errors, console, errors


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command("list", epilog="Example: python -m demos list")(list_)
    app.command(epilog=f"Example: python -m demos info {EXAMPLE}")(info)
    app.command(epilog=f"Example: python -m demos report {EXAMPLE} --out grasp.html")(report)
    app.command(epilog=f"Example: python -m demos render {EXAMPLE} --out grasp.mp4")(render)


def list_(root: Root = None) -> None:
    """List the datasets."""
    with clear_errors():
        table = Table("id", "episodes", "steps", "MB", box=None)
        longest = 0
        with warnings.catch_warnings(record=True) as damaged:
            warnings.simplefilter("always")
            datasets = list(installed(root))
        for warning in damaged:
            errors.print(str(warning.message), markup=False)
        for name, metadata in datasets:
            longest = max(longest, len(name))
            table.add_row(
                name,
                *(str(metadata.get(key, "?")) for key in ("total_episodes", "total_steps", "dataset_size")),
            )
        if not table.row_count:
            console.print(f"no datasets in {datasets_root(root)}")
            return
        # Users copy ids: do not cut them.
        Console(width=max(console.width, longest + 40), highlight=False, markup=False).print(table)


def info(
    dataset: Dataset,
    stats: Annotated[
        bool,
        typer.Option(
            "--statistics", help="Mean, standard deviation and range of every dimension of observations and actions."
        ),
    ] = False,
    root: Root = None,
) -> None:
    """Show what a dataset contains and how it was collected."""
    with clear_errors():
        opened = load(dataset, root)
        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(overflow="fold")
        for name, value in describe(opened).items():
            text = f"{value:.3f}" if isinstance(value, float) else "unknown" if value is None else str(value)
            if isinstance(value, dict):
                text = ", ".join(f"{key} {part}" for key, part in value.items()) or "-"
            table.add_row(name, text)
        console.print(table)
        if stats:
            dimensions = Table("dimension", "mean", "std", "min", "max", box=None)
            names = schema_of(opened).dimension_names()
            for name, values in statistics(opened, progress=True).items():
                columns = (values.mean.ravel(), values.std.ravel(), values.min.ravel(), values.max.ravel())
                for index, row in enumerate(zip(*columns, strict=True)):
                    dimension = names.get(name, {}).get(index)
                    label = f"{name}[{index}]" if dimension is None else f"{name}[{index}] {dimension}"
                    dimensions.add_row(label, *(f"{value:.4g}" for value in row))
            console.print(dimensions)


def report(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    videos: Annotated[bool, typer.Option(help="Add videos of the best, the median and the worst episode.")] = True,
    root: Root = None,
) -> None:
    """Write a report on a dataset: one HTML file without external resources."""
    with clear_errors():
        from demos.report import report as write_report

        path = write_report(load(dataset, root), out, videos=videos, progress=True)
        console.print(f"wrote {path}", soft_wrap=True)


def render(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="MP4 file to write.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes, from the first.")] = 3,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 480,
    camera: Annotated[str, typer.Option(help="Camera: overview, front, side or wrist.")] = "overview",
    root: Root = None,
) -> None:
    """Record a video of the first episodes."""
    with clear_errors():
        path = render_video(load(dataset, root), out, episodes=episodes, size=size, camera=camera, progress=True)
        console.print(f"wrote {path}", soft_wrap=True)

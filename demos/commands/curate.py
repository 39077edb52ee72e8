"""Commands that make datasets from other datasets."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from demos.commands.arguments import EXAMPLE, Dataset, NewId, Overwrite, Root
from demos.commands.collect import print_summary
from demos.datasets import curate
from demos.datasets.loading import load
from demos.datasets.metadata import history_of
from demos.preprocess import PREPROCESSORS, CutIdle, Relabel
from demos.preprocess import preprocess as preprocess_dataset
from demos.preprocess.parsing import parse_step
from demos.runtime.console import clear_errors, console

LEFT_OUT = {CutIdle.name: "without motion", Relabel.name: "whose final success changed"}
"""Descriptions of the episodes that a step leaves out, by its name."""
Seed = Annotated[int, typer.Option(help="Seed of the random choice.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command("filter", epilog=f"Example: python -m demos filter {EXAMPLE} --id lam/good-v0 --min-return 20")(
        filter_
    )
    app.command(epilog=f"Example: python -m demos split {EXAMPLE} train=0.9 test=0.1")(split)
    app.command(epilog=f"Example: python -m demos subsample {EXAMPLE} --count 10 --id lam/ten-v0")(subsample)
    app.command(epilog=f"Example: python -m demos merge {EXAMPLE} lam/more-v0 --id lam/all-v0")(merge)
    app.command(
        epilog=f"Example: python -m demos preprocess {EXAMPLE} --step cut-idle --step resample:rate=10 --id lam/p-v0"
    )(preprocess)


def filter_(
    dataset: Dataset,
    id_: NewId,
    success: Annotated[
        bool | None, typer.Option("--success/--failure", help="Keep only successful, or only failed, episodes.")
    ] = None,
    min_return: Annotated[float, typer.Option(help="Minimum return.")] = -math.inf,
    max_return: Annotated[float, typer.Option(help="Maximum return.")] = math.inf,
    min_length: Annotated[int, typer.Option(help="Minimum number of steps.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Maximum number of steps.")] = None,
    demonstrator: Annotated[str | None, typer.Option(help="Name of the demonstrator, such as noisy.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Name of the strategy, such as left.")] = None,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Select the episodes that meet all conditions."""
    with clear_errors():
        print_summary(
            curate.filter_episodes(
                load(dataset, root),
                id_,
                success=success,
                min_return=min_return,
                max_return=max_return,
                min_length=min_length,
                max_length=max_length,
                demonstrator=demonstrator,
                strategy=strategy,
                root=root,
                overwrite=overwrite,
            )
        )


def split(
    dataset: Dataset,
    parts: Annotated[list[str], typer.Argument(help="Parts as NAME=SHARE, such as train=0.9 test=0.1.")],
    seed: Seed = 0,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Split a dataset into random sets of episodes."""
    with clear_errors():
        shares = [_share(text) for text in parts]
        names = [name for name, _ in shares]
        if len(set(names)) < len(names):
            raise ValueError(f"duplicate names in the parts {' '.join(parts)}; expected unique names")
        part_datasets = curate.split(load(dataset, root), dict(shares), seed=seed, root=root, overwrite=overwrite)
        for part in part_datasets.values():
            print_summary(part)


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        if not name:
            raise ValueError("no name")
        return name, float(share)
    except ValueError:
        raise ValueError(f"invalid part {text!r}; expected NAME=SHARE, such as train=0.9") from None


def subsample(
    dataset: Dataset,
    count: Annotated[int, typer.Option(help="Number of episodes to select.")],
    id_: NewId,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Select random episodes; with the same seed, a smaller subset is part of a larger one."""
    with clear_errors():
        print_summary(curate.subsample(load(dataset, root), id_, count, seed=seed, root=root, overwrite=overwrite))


def merge(
    datasets: Annotated[list[str], typer.Argument(help="Ids or folders of the datasets to merge.")],
    id_: NewId,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Merge datasets of the same environment."""
    with clear_errors():
        print_summary(
            curate.merge([load(dataset, root) for dataset in datasets], id_, root=root, overwrite=overwrite)
        )


def preprocess(
    dataset: Dataset,
    id_: NewId,
    step: Annotated[
        list[str],
        typer.Option(help=f"NAME or NAME:SETTING=VALUE,...; may be repeated. Names: {', '.join(PREPROCESSORS)}."),
    ],
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Preprocess episodes: cut, resample, smooth, relabel, or change observations. The history records each step."""
    with clear_errors():
        steps = [parse_step(text, PREPROCESSORS) for text in step]
        new_dataset = preprocess_dataset(
            load(dataset, root), steps, id_, root=root, overwrite=overwrite, progress=True
        )
        print_summary(new_dataset)
        for entry in history_of(new_dataset)[-len(steps) :]:
            if entry.get("left_out"):
                console.print(f"{entry['step']} left out {entry['left_out']} episodes {LEFT_OUT[entry['step']]}")

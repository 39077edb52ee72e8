"""Commands that make datasets of datasets."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from demos.commands.arguments import EXAMPLE, Dataset, NewId, Overwrite, Root
from demos.commands.collect import tell
from demos.datasets import curate
from demos.datasets.loading import load
from demos.datasets.metadata import history_of
from demos.preprocess import PREPROCESSORS
from demos.preprocess import preprocess as preprocess_dataset
from demos.preprocess.parsing import parsed
from demos.runtime.console import clear_errors, console

Seed = Annotated[int, typer.Option(help="Of the random draw.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
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
    success: Annotated[bool | None, typer.Option("--success/--failure", help="Whether it succeeded.")] = None,
    min_return: Annotated[float, typer.Option(help="Least sum of rewards.")] = -math.inf,
    max_return: Annotated[float, typer.Option(help="Largest sum of rewards.")] = math.inf,
    min_length: Annotated[int, typer.Option(help="Fewest steps.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Most steps.")] = None,
    demonstrator: Annotated[str | None, typer.Option(help="How it was acted, such as noisy.")] = None,
    strategy: Annotated[str | None, typer.Option(help="How it approached, such as left.")] = None,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Keep the episodes that meet every condition."""
    with clear_errors():
        tell(
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
    """Divide a dataset by episode, at random."""
    with clear_errors():
        shares = [_share(text) for text in parts]
        names = [name for name, _ in shares]
        if len(set(names)) < len(names):
            raise ValueError(f"the parts {' '.join(parts)} have a name twice; expected different names")
        made = curate.split(load(dataset, root), dict(shares), seed=seed, root=root, overwrite=overwrite)
        for each in made.values():
            tell(each)


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.partition("=")
    try:
        if not name:
            raise ValueError("no name")
        return name, float(share)
    except ValueError:
        raise ValueError(f"the part {text!r} has no name or share; expected NAME=SHARE, such as train=0.9") from None


def subsample(
    dataset: Dataset,
    count: Annotated[int, typer.Option(help="Number of episodes to keep.")],
    id_: NewId,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Keep some episodes, drawn at random; of one seed, fewer are always among more."""
    with clear_errors():
        tell(curate.subsample(load(dataset, root), id_, count, seed=seed, root=root, overwrite=overwrite))


def merge(
    datasets: Annotated[list[str], typer.Argument(help="Ids or folders of the datasets to join.")],
    id_: NewId,
    overwrite: Overwrite = False,
    root: Root = None,
) -> None:
    """Join datasets of the same environment."""
    with clear_errors():
        tell(curate.merge([load(each, root) for each in datasets], id_, root=root, overwrite=overwrite))


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
    """Cut, resample, smooth, relabel, change features or observations: each step is recorded in the new dataset."""
    with clear_errors():
        steps = [parsed(text, PREPROCESSORS) for text in step]
        made = preprocess_dataset(load(dataset, root), steps, id_, root=root, overwrite=overwrite, progress=True)
        tell(made)
        for each in history_of(made)[-len(steps) :]:
            if each.get("left_out"):
                console.print(f"{each['step']} left out {each['removed_agents']} episodes that ended otherwise")

"""Command line: python -m demos collect|list|info|replay|render."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import demos
from demos.console import clear_errors, console, errors, keywords
from demos.dataset import datasets_root

app = typer.Typer(
    help="Collect, inspect, replay and film demonstrations.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Root = Annotated[
    Path | None, typer.Option(help="Folder of all datasets; by default Minari's own (MINARI_DATASETS_PATH).")
]
Dataset = Annotated[str, typer.Argument(help="Id of a dataset, or its folder.")]


@app.command(epilog="Example: python -m demos collect LamGrasp-v0 --episodes 100 --seed 0")
def collect(
    env: Annotated[str, typer.Argument(help="Id of an environment, such as LamGrasp-v0.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes to record.")] = 100,
    seed: Annotated[int, typer.Option(help="Number that every episode's own seed is derived from.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that record; the dataset is the same for any number.")] = 1,
    quality: Annotated[
        str, typer.Option(help="expert, noisy (disturbed, with undisturbed labels), novice, random, or mixed.")
    ] = "expert",
    strategy: Annotated[str, typer.Option(help="How it approaches: direct, left, right, high, or all.")] = "direct",
    policy: Annotated[
        str | None, typer.Option(help="Let this policy act: package.module:Name, in an environment of any id.")
    ] = None,
    keep_failures: Annotated[bool, typer.Option(help="Keep episodes that fail.")] = False,
    jpeg: Annotated[bool, typer.Option(help="Store pictures as JPEG: smaller, and not what was seen.")] = False,
    set_: Annotated[
        list[str], typer.Option("--set", help="Keyword of the environment, name=value; may be repeated.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    id_: Annotated[
        str | None, typer.Option("--id", help="Id of the dataset; by default it tells the settings.")
    ] = None,
    root: Root = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a dataset of that id with other settings.")] = False,
) -> None:
    """Let the expert, or what you name, demonstrate. Interrupted, the same command goes on where it was."""
    with clear_errors():
        dataset = demos.collect(
            env,
            episodes=episodes,
            seed=seed,
            workers=workers,
            quality=quality,
            strategy=strategy,
            policy=policy,
            keep_failures=keep_failures,
            jpeg=jpeg,
            env_kwargs=keywords(set_),
            dataset_id=id_,
            root=root,
            overwrite=overwrite,
            progress=True,
        )
        console.print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps")
        console.print(f"in {dataset.storage.data_path}", soft_wrap=True)


@app.command("list", epilog="Example: python -m demos list")
def list_(root: Root = None) -> None:
    """List the datasets."""
    with clear_errors():
        table = Table("id", "episodes", "steps", "MB", box=None)
        for name, metadata in demos.installed(root):
            table.add_row(
                name,
                *(str(metadata.get(key, "?")) for key in ("total_episodes", "total_steps", "dataset_size")),
            )
        if not table.row_count:
            console.print(f"no datasets in {datasets_root(root)}")
            return
        console.print(table)


@app.command(epilog="Example: python -m demos info lam/LamGrasp-expert-100-seed0-v0")
def info(dataset: Dataset, root: Root = None) -> None:
    """Say what a dataset holds and how it was made."""
    with clear_errors():
        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(overflow="fold")
        for name, value in demos.describe(demos.load(dataset, root)).items():
            told = f"{value:.3f}" if isinstance(value, float) else str(value)
            if isinstance(value, dict):
                told = ", ".join(f"{key} {part}" for key, part in value.items()) or "-"
            table.add_row(name, told)
        console.print(table)


@app.command(epilog="Example: python -m demos replay lam/LamGrasp-expert-100-seed0-v0")
def replay(dataset: Dataset, root: Root = None) -> None:
    """Re-execute the recorded actions; exit code 1 if an episode is not bit-identical."""
    with clear_errors():
        report = demos.replay(demos.load(dataset, root), progress=True)
    console.print(f"{report.identical} of {report.episodes} episodes bit-identical, {report.successes} successful")
    for episode, part in report.differences:
        errors.print(f"episode {episode}: {part} differ")
    if report.differences:
        errors.print("Another version of the code, of PyBullet or another processor gives other episodes.")
        raise typer.Exit(1)


@app.command(epilog="Example: python -m demos render lam/LamGrasp-expert-100-seed0-v0 --out grasp.mp4")
def render(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="The MP4 to write.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes to film, from the first.")] = 3,
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 480,
    camera: Annotated[str, typer.Option(help="overview, front, side or wrist.")] = "overview",
    root: Root = None,
) -> None:
    """Film the first episodes."""
    with clear_errors():
        path = demos.render(
            demos.load(dataset, root), out, episodes=episodes, size=size, camera=camera, progress=True
        )
        console.print(f"wrote {path}", soft_wrap=True)


def main() -> None:
    """The command lam-demos; finds policies in the present folder, as ``python -m demos`` does."""
    sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()

"""Commands that record."""

from __future__ import annotations

from typing import Annotated

import minari
import typer
from rich.table import Table

from demos.collection import ready_made
from demos.collection.collect import collect as record_dataset
from demos.commands.arguments import Address, EngineName, Root, Shared
from demos.runtime.console import clear_errors, console, keywords
from demos.runtime.engines import make_engine


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog="Example: python -m demos collect LamGrasp-v0 --episodes 100 --seed 0")(collect)
    app.command("fetch-or-make", epilog="Example: python -m demos fetch-or-make LamGrasp-100")(fetch_or_make)


def collect(
    env: Annotated[str, typer.Argument(help="Id of an environment, such as LamGrasp-v0.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes to record.")] = 100,
    seed: Annotated[int, typer.Option(help="Number that every episode's own seed is derived from.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that record; the dataset is the same for any number.")] = 1,
    demonstrator: Annotated[
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
    engine: EngineName = "local",
    address: Address = None,
    shared: Shared = False,
) -> None:
    """Let the expert, or what you name, demonstrate. Interrupted, the same command goes on where it was."""
    with clear_errors():
        dataset = record_dataset(
            env,
            episodes=episodes,
            seed=seed,
            engine=make_engine(engine, workers, address=address, shared=shared),
            demonstrator=demonstrator,
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
        tell(dataset)


def fetch_or_make(
    name: Annotated[str | None, typer.Argument(help="Name of a published dataset; none lists them.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that record.")] = 1,
    root: Root = None,
) -> None:
    """Open a published dataset, or make it here; it has the published checksum, or this fails."""
    with clear_errors():
        if name is None:
            table = Table("name", "environment", "episodes", "SHA-256", box=None)
            for known, published in ready_made.published().items():
                plan = published["plan"]
                table.add_row(known, plan["env_id"], str(plan["episodes"]), published["checksum"][:12])
            console.print(table)
            return
        tell(ready_made.fetch_or_make(name, workers=workers, root=root, progress=True))


def tell(dataset: minari.MinariDataset) -> None:
    """Says what came out, and where it is."""
    console.print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps")
    console.print(f"in {dataset.storage.data_path}", soft_wrap=True)

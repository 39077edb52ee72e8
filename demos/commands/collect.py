"""Commands that collect datasets."""

from __future__ import annotations

from typing import Annotated

import minari
import typer
from rich.table import Table

from demos.collection.catalog import published_datasets
from demos.collection.catalog.recipe import collect_recipe, read_recipe, recipe_names
from demos.collection.collect import collect as record_dataset
from demos.commands.arguments import Address, EngineName, Root, SharedFilesystem
from demos.datasets.checksum import checksum
from demos.runtime.console import clear_errors, console, parse_keywords
from demos.runtime.engines import make_engine


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to an app."""
    app.command(epilog="Example: python -m demos collect LamGrasp-v0 --episodes 100 --seed 0")(collect)
    app.command("published", epilog="Example: python -m demos published LamGrasp-100")(load_published)
    app.command("recipe", epilog="Example: python -m demos recipe lam-state")(collect_datasets)


def collect(
    env: Annotated[
        str, typer.Argument(help="Environment id, such as LamGrasp-v0; one of your own needs demos --import.")
    ],
    episodes: Annotated[int, typer.Option(help="Number of episodes to record.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed from which the seed of each episode is derived.")] = 0,
    workers: Annotated[int, typer.Option(help="Number of processes; the dataset does not depend on it.")] = 1,
    demonstrator: Annotated[
        str,
        typer.Option(
            help="Demonstrator: expert, noisy (noisy actions, noise-free labels), novice, random, or mixed."
        ),
    ] = "expert",
    strategy: Annotated[
        str, typer.Option(help="Path of the tool toward objects: direct, left, right, high, or all.")
    ] = "direct",
    policy: Annotated[
        str | None,
        typer.Option(help="Policy that acts in place of the expert, in any environment: package.module:Name."),
    ] = None,
    keep_failures: Annotated[bool, typer.Option(help="Keep episodes that fail.")] = False,
    jpeg: Annotated[
        bool, typer.Option(help="Store images of at least 32 x 32 pixels as JPEG: smaller, with loss.")
    ] = False,
    env_kwargs: Annotated[
        list[str], typer.Option("--env-kwargs", help="Keyword of the environment, name=value; may be repeated.")
    ] = [],  # noqa: B006  (typer reads the default, which never changes)
    id_: Annotated[
        str | None, typer.Option("--id", help="Id of the dataset; derived from the settings by default.")
    ] = None,
    root: Root = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a dataset of that id that has other settings.")] = False,
    engine: EngineName = "local",
    address: Address = None,
    shared_filesystem: SharedFilesystem = False,
) -> None:
    """Collect demonstrations of the expert or another policy. The same command resumes an interrupted collection."""
    with clear_errors():
        dataset = record_dataset(
            env,
            episodes=episodes,
            seed=seed,
            engine=make_engine(engine, workers, address=address, shared_filesystem=shared_filesystem),
            demonstrator=demonstrator,
            strategy=strategy,
            policy=policy,
            keep_failures=keep_failures,
            jpeg=jpeg,
            env_kwargs=parse_keywords(env_kwargs),
            dataset_id=id_,
            root=root,
            overwrite=overwrite,
            progress=True,
        )
        print_summary(dataset)


def load_published(
    name: Annotated[
        str | None, typer.Argument(help="Name of a published dataset; without a name, list them.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    root: Root = None,
) -> None:
    """Open or collect a published dataset, and check that it has the published checksum."""
    with clear_errors():
        if name is None:
            table = Table("name", "environment", "episodes", "SHA-256", box=None)
            for dataset_name, entry in published_datasets.published().items():
                plan = entry["plan"]
                table.add_row(dataset_name, plan["env_id"], str(plan["episodes"]), entry["checksum"][:12])
            console.print(table)
            return
        print_summary(published_datasets.load_published(name, workers=workers, root=root, progress=True))


def collect_datasets(
    name: Annotated[
        str | None, typer.Argument(help="Name of a recipe, or a YAML file; without a name, list the recipes.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of processes, by default one for each core; the datasets do not depend on it."),
    ] = None,
    root: Root = None,
) -> None:
    """Collect the datasets of a recipe, which one agent learns from. The same command resumes an interrupted one."""
    with clear_errors():
        if name is None:
            table = Table("name", "datasets", "episodes", "description", box=None)
            for each in recipe_names():
                recipe = read_recipe(each)
                plans = recipe.plans()
                table.add_row(each, str(len(plans)), str(sum(p["episodes"] for p in plans)), recipe.description)
            console.print(table)
            return
        engine = make_engine("local", workers)
        datasets = collect_recipe(read_recipe(name), engine=engine, root=root, progress=True)
        steps = sum(int(dataset.total_steps) for dataset in datasets)
        table = Table("dataset", "episodes", "steps", "share of steps", "SHA-256", box=None)
        for dataset in datasets:
            row = (str(dataset.total_episodes), str(dataset.total_steps), f"{dataset.total_steps / steps:.1%}")
            table.add_row(dataset.id, *row, checksum(dataset)[:12])
        console.print(table)


def print_summary(dataset: minari.MinariDataset) -> None:
    """Print the size and the folder of a new dataset."""
    console.print(f"{dataset.id}: {dataset.total_episodes} episodes, {dataset.total_steps} steps")
    console.print(f"in {dataset.storage.data_path}", soft_wrap=True)

"""Recipes of the agents in the zoo. To train and publish them again: ``make pretrained``.

Settings and demonstrations are those of the suites ``core`` (five training seeds) and ``generalist`` (the agent
``lam with ten tasks``).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

import agents
from agents.deployment.pretrained.publishing import publish
from agents.registry import find, spec_of
from agents.training.run import Run
from agents.training.saving.zoo import CHECKOUT
from agents.types import Keywords
from demos.collection.catalog.published_datasets import TASKS, load_published
from demos.collection.catalog.recipe import collect_recipe, read_recipe
from demos.datasets.environment import make_env

ALL_TASKS = (*TASKS, "LamDrawer", "LamConveyor", "LamTable", "LamClutter")
ROBOTS = ("panda", "xarm6", "iiwa")
GENERALIST: Keywords = {
    "idle_steps": 20,
    "epochs": 64,
    "masked_features": ["tool/velocity", "tool/lag"],
    "executed_actions": 2,
    "shares": {
        "table panda ee": 28,
        **{f"push {robot} ee": 3 for robot in ROBOTS},
        **{f"clutter {robot} ee": 1.5 for robot in ROBOTS},
    },
}
"""Settings of the model of ten tasks."""


@dataclass(frozen=True)
class Recipe:
    """Training of a published agent.

    Attributes:
        agent: Name of the agent.
        datasets: Names of the published datasets to learn from, at least one; or the recipe that names the datasets.
        keywords: Keywords of the environments besides those of the datasets.
        settings: Settings that differ from the defaults of the agent.
        environments: Ids of the environments; by default those of the datasets.
        half_precision: Publish weights of 16 bits (:func:`agents.deployment.pretrained.publishing.publish`).
    """

    agent: str
    datasets: tuple[str, ...] | str
    keywords: Keywords
    settings: Keywords
    environments: tuple[str, ...] = ()
    half_precision: bool = False


RECIPES = {
    f"bc/{task}-v0": Recipe("bc", (f"{task}-{episodes}-seed1",), {}, {})
    for task, episodes in {
        "LamReach": 50,
        "LamPush": 200,
        "LamGrasp": 100,
        "LamPickPlace": 200,
        "LamStack": 300,
        "LamInsert": 300,
    }.items()
} | {
    "lam/generalist": Recipe(
        "lam",
        "lam-all",
        {"instruct": True},
        GENERALIST,
        tuple(f"{task}-v0" for task in ALL_TASKS),
        half_precision=True,
    ),
}
"""Recipe of each published agent, by name."""


def train(recipe: Recipe, out: Path, root: Path) -> Path:
    """Train an agent and save it; equal recipes give equal files on one machine.

    Args:
        recipe: Recipe.
        out: Folder to save the agent in.
        root: Folder of all datasets; those that it lacks are collected.

    Returns:
        The folder of the saved agent.
    """
    if isinstance(recipe.datasets, str):
        datasets = collect_recipe(read_recipe(recipe.datasets), root=root, progress=True)
    else:
        datasets = [load_published(name, root=root, progress=True) for name in recipe.datasets]
    if recipe.environments:
        environments = [gym.make(env_id, **recipe.keywords) for env_id in recipe.environments]
    else:
        environments = [make_env(dataset, **recipe.keywords) for dataset in datasets]
    agent = agents.make(recipe.agent, environments[0], **recipe.settings)
    several = spec_of(find(recipe.agent)).takes_several_environments
    learned: Any = datasets if several else datasets[0]
    agent.learn(learned, environments if several else environments[0], seed=0, run=Run(progress=True, device="cpu"))
    for environment in environments:
        environment.close()
    return Path(agent.save(out))


def main(names: list[str]) -> None:
    """Train and publish agents of the zoo.

    Args:
        names: Names of agents; empty for all.

    Raises:
        ValueError: There is no recipe for a name.
    """
    for name in names:
        if name not in RECIPES:
            raise ValueError(f"no recipe for {name!r}; expected one of {', '.join(RECIPES)}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in names or RECIPES:
            recipe = RECIPES[name]
            run = train(recipe, Path(temporary) / name, Path(temporary) / "datasets")
            publish(run, name, CHECKOUT, half_precision=recipe.half_precision, overwrite=True, progress=True)


if __name__ == "__main__":
    main(sys.argv[1:])

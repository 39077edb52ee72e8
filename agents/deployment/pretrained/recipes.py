"""Recipes of the agents in the zoo. To train and publish them again: ``make pretrained``.

Settings and demonstrations are those of the suite ``core`` (five training seeds). No recipe makes ``lam/generalist``:
the suite ``generalist`` trains it, and ``agents publish`` publishes it from the folder of the suite.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import agents
from agents.deployment.pretrained.publishing import publish
from agents.training.run import Run
from agents.training.saving.zoo import CHECKOUT
from agents.types import Keywords
from demos.collection.catalog.published_datasets import load_published
from demos.datasets.environment import make_env


@dataclass(frozen=True)
class Recipe:
    """Training of a published agent on one dataset.

    Attributes:
        agent: Name of the agent.
        dataset: Name of the published dataset to learn from.
        settings: Settings that differ from the defaults of the agent.
    """

    agent: str
    dataset: str
    settings: Keywords = field(default_factory=dict)


RECIPES = {
    f"bc/{task}-v0": Recipe("bc", f"{task}-{episodes}-seed1")
    for task, episodes in {
        "LamReach": 50,
        "LamPush": 200,
        "LamGrasp": 100,
        "LamPickPlace": 200,
        "LamStack": 300,
        "LamInsert": 300,
    }.items()
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
    dataset = load_published(recipe.dataset, root=root, progress=True)
    env = make_env(dataset)
    agent = agents.make(recipe.agent, env, **recipe.settings)
    agent.learn(dataset, env, seed=0, run=Run(progress=True, device="cpu"))
    env.close()
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
            publish(run, name, CHECKOUT, overwrite=True, progress=True)


if __name__ == "__main__":
    main(sys.argv[1:])

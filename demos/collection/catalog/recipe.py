"""Read a recipe, and collect its datasets.

A recipe is a YAML file in this folder, or one of your own::

    description: Grasp with two robots.
    seed: 1
    datasets:
      - {environments: [LamGrasp-v0], demonstrations: 34, demonstrator: [expert, noisy]}
      - {environments: [LamGrasp-v0], demonstrations: 34, env: {robot: xarm6}}

Each entry is one dataset for each of its environments and demonstrators.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import minari
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from demos.collection.collect import collect
from demos.collection.plan import Plan
from demos.runtime.engines import Engine, LocalEngine
from demos.runtime.types import Keywords

SUFFIX = ".yaml"

Names = Annotated[
    tuple[str, ...],
    Field(strict=False, min_length=1),
    BeforeValidator(lambda value: value if isinstance(value, (list, tuple)) else [value]),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RecipeEntry(_Part):
    """One dataset for each of its environments and demonstrators."""

    environments: Names
    """Environment ids."""
    demonstrations: int = Field(ge=1)
    """Number of episodes of each dataset."""
    demonstrator: Names = ("expert",)
    """See :func:`demos.collect`."""
    env: Keywords = Field(default={})
    """Keywords for ``gym.make``."""


class Recipe(_Part):
    """Datasets that one agent learns from."""

    description: str
    seed: int = Field(ge=0)
    """Seed from which the seeds of all episodes are derived."""
    datasets: tuple[RecipeEntry, ...] = Field(strict=False, min_length=1)

    def plans(self) -> list[Keywords]:
        """Return the arguments of :func:`demos.collect` for each dataset."""
        return [
            {
                "env_id": environment,
                "episodes": entry.demonstrations,
                "seed": self.seed,
                "demonstrator": demonstrator,
                "env_kwargs": dict(entry.env),
            }
            for entry in self.datasets
            for environment in entry.environments
            for demonstrator in entry.demonstrator
        ]


def recipe_names() -> list[str]:
    """Return the names of the recipes of this package."""
    files = (file.name for file in resources.files(__package__).iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in files if name.endswith(SUFFIX))


def read_recipe(name: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        name: Name of a recipe of this package, such as ``lam-state``, or the path of a YAML file.

    Raises:
        ValueError: There is no such recipe, it has an unknown key or an invalid value, or two of its datasets are
            the same.
    """
    if str(name) in recipe_names():
        text = resources.files(__package__).joinpath(f"{name}{SUFFIX}").read_text()
    elif Path(name).is_file():
        text = Path(name).read_text()
    else:
        raise ValueError(f"unknown recipe {str(name)!r}; expected one of {', '.join(recipe_names())}, or a YAML file")
    try:
        content: Any = yaml.safe_load(text)
        recipe = Recipe.model_validate(content)
    except yaml.YAMLError as error:
        raise ValueError(f"recipe {name} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"recipe {name}, {'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from error
    ids = [Plan(**plan).default_id() for plan in recipe.plans()]
    twice = next((each for place, each in enumerate(ids) if each in ids[:place]), None)
    if twice is not None:
        raise ValueError(f"recipe {name} has the dataset {twice} twice; expected each dataset once")
    return recipe


def collect_recipe(
    recipe: Recipe, *, engine: Engine | None = None, root: str | Path | None = None, progress: bool = False
) -> list[minari.MinariDataset]:
    """Collect the datasets of a recipe; those that exist are kept, so that the same call resumes an interrupted one.

    Args:
        recipe: See :func:`read_recipe`.
        engine: Engine that records the episodes; by default one process for each core of this machine.
        root: Folder of all datasets; Minari's own by default.
        progress: Show a progress bar for each dataset that is collected.

    Raises:
        ValueError: An environment or a demonstrator is unknown.
        FileExistsError: A dataset of that id has other settings, or another process is collecting it.
    """
    engine = engine or LocalEngine()
    return [collect(**plan, engine=engine, root=root, progress=progress) for plan in recipe.plans()]

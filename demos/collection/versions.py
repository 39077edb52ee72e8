"""Versions of the parts that demonstrations depend on. Datasets are up to date until one of them is raised."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata as packages

import gymnasium as gym

import lam_envs
from demos.collection.demonstrators import DEMONSTRATORS, Demonstrator, PolicyDemonstrator
from demos.collection.environment_versions import environment_versions
from demos.collection.human_demonstrator import HumanDemonstrator, TeleopDemonstrator
from demos.collection.strategies import STRATEGIES
from demos.experts import EXPERTS
from demos.runtime.types import Keywords

WITHOUT_EXPERT = ((PolicyDemonstrator.name,), (HumanDemonstrator.name,), (TeleopDemonstrator.name,))
"""Demonstrators of plans in which no expert acts."""

COLLECTION = 1
"""Increase it when the same plan gives other episodes: all datasets, and results from these, are then outdated."""
RESULT_AFFECTING_LIBRARIES = frozenset({"imitation", "numpy", "pybullet", "stable-baselines3", "torch"})
"""Libraries whose major version can change results. Gymnasium is not one: golden files are equal on 0.29 and 1.x."""


def expert_versions(env_id: str, **keywords: object) -> dict[str, int]:
    """Return the version of the expert of an environment's task; empty where there is none.

    Args:
        env_id: Registered environment id.
        keywords: Keywords for ``gym.make``.
    """
    registered = gym.registry[env_id].kwargs if env_id in gym.registry else {}
    task = {**registered, **keywords}.get("task")
    name = getattr(task, "name", task)
    return {f"expert {name}": EXPERTS[name].version} if isinstance(name, str) and name in EXPERTS else {}


def demonstration_versions(
    env_id: str,
    env_kwargs: Keywords | None = None,
    demonstrators: Iterable[str] = ("expert",),
    strategies: Iterable[str] = ("direct",),
) -> dict[str, int]:
    """Return the version of each part that the demonstrations of a plan depend on.

    Args:
        env_id: Registered environment id.
        env_kwargs: Keywords for ``gym.make``.
        demonstrators: Names of the demonstrators that act; ``policy`` is a third-party policy.
        strategies: Names of their strategies.
    """
    known: dict[str, type[Demonstrator]] = {
        **DEMONSTRATORS,
        **{kind.name: kind for kind in (PolicyDemonstrator, HumanDemonstrator, TeleopDemonstrator)},
    }
    acting = tuple(demonstrators)
    return {
        **environment_versions(env_id, **(env_kwargs or {})),
        **({} if acting in WITHOUT_EXPERT else expert_versions(env_id, **(env_kwargs or {}))),
        "collection": COLLECTION,
        **{f"demonstrator {name}": known[name].version for name in acting},
        **{f"strategy {name}": STRATEGIES[name].version for name in strategies},
    }


@cache
def _library(name: str) -> str:
    return packages.version(name)


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of this package, of Python and of installed libraries.

    Args:
        names: Libraries; those that are not installed are left out.
    """
    versions = {"lam_envs": lam_envs.__version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = _library(name)
        except packages.PackageNotFoundError:
            continue
    return versions


def major_versions(libraries: Mapping[str, object]) -> dict[str, str]:
    """Return the major versions of the libraries that change numbers.

    Args:
        libraries: Versions by name.
    """
    return {
        name: str(libraries[name]).partition(".")[0] for name in sorted(RESULT_AFFECTING_LIBRARIES & libraries.keys())
    }

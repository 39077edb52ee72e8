"""Versions of what decides demonstrations: while none is raised, datasets stay up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym

from demos import plan
from demos.experts import EXPERTS
from demos.qualities import QUALITIES, PolicyDemonstrator
from demos.strategies import STRATEGIES
from lam_envs.versions import environment_versions


def expert_versions(env_id: str) -> dict[str, int]:
    """Return the version of the expert of an environment's task; empty where there is none.

    Args:
        env_id: A registered id.
    """
    task = gym.registry[env_id].kwargs.get("task")
    name = getattr(task, "name", task)
    return {f"expert {name}": EXPERTS[name].version} if name in EXPERTS else {}


def demonstration_versions(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    qualities: Iterable[str] = ("expert",),
    strategies: Iterable[str] = ("direct",),
) -> dict[str, int]:
    """Return the version of each part that decides the demonstrations of a plan.

    Args:
        env_id: A registered id.
        env_kwargs: Keywords for ``gym.make``.
        qualities: Demonstrators that act; ``policy`` is a third party's.
        strategies: How they approach things.
    """
    demonstrators = {**QUALITIES, PolicyDemonstrator.name: PolicyDemonstrator}
    acting = tuple(qualities)
    return {
        **environment_versions(env_id, **(env_kwargs or {})),
        **({} if acting == (PolicyDemonstrator.name,) else expert_versions(env_id)),
        "collection": plan.VERSION,
        **{f"demonstrator {name}": demonstrators[name].version for name in acting},
        **{f"strategy {name}": STRATEGIES[name].version for name in strategies},
    }

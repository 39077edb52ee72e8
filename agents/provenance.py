"""Where an agent comes from: with what it was trained, on which demonstrations, by which versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata as packages
from typing import Any

import gymnasium as gym
import minari

import lam_envs
from demos.checksum import checksum
from demos.files import code_fingerprint

PACKAGES = ("gymnasium", "imitation", "numpy", "pybullet", "stable-baselines3", "torch")


def versions(agent: str) -> dict[str, str]:
    """Versions of everything that decides an agent's result, and a fingerprint of the code itself.

    Args:
        agent: A name, or ``package.module:Class``.
    """
    modules = ["lam_envs", "demos", "agents"]
    if ":" in agent:
        modules.append(agent.partition(":")[0])
    found = {name: packages.version(name) for name in PACKAGES}
    return {
        "lam_envs": lam_envs.__version__,
        "code": code_fingerprint(*modules),
        "python": platform.python_version(),
        **found,
    }


def training_of(
    agent: str,
    settings: Mapping[str, Any],
    env: gym.Env[Any, Any],
    demonstrations: minari.MinariDataset | None,
    *,
    seed: int,
    budget: int | None,
) -> dict[str, Any]:
    """Describes a training as JSON: two of equal descriptions give equal agents on one machine.

    Args:
        agent: A name, or ``package.module:Class``.
        settings: Of the agent.
        env: What it is trained for.
        demonstrations: What it learns from; None for the reward alone.
        seed: Of all that is drawn.
        budget: How much; None for the setting.
    """
    spec = env.spec
    return {
        "agent": agent,
        "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()},
        "environment": None if spec is None else spec.id,
        "keywords": {} if spec is None else {name: repr(value) for name, value in sorted(spec.kwargs.items())},
        "demonstrations": None
        if demonstrations is None
        else {
            "id": demonstrations.id,
            "episodes": int(demonstrations.total_episodes),
            "checksum": checksum(demonstrations),
        },
        "seed": seed,
        "budget": budget,
        "versions": versions(agent),
    }

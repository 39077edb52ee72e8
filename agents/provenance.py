"""Where an agent comes from: with what it was trained, on which demonstrations, by which versions."""

from __future__ import annotations

import ast
import importlib.util
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import yaml

import lam_envs
from agents.agent import AGENTS, find
from agents.settings import CONFIGS, DEFAULT, LIKE, stem
from demos.checksum import checksum
from demos.files import code_fingerprint

PACKAGES = ("gymnasium", "imitation", "numpy", "pybullet", "stable-baselines3", "torch")


LAYERS = ("agents", "demos")
"""Of their code counts what is imported."""
ROOTS = ("agents.evaluation", "demos.collect", "demos.dataset")
"""These decide the results of all agents."""
NEUTRAL = ("agents", "agents.agent", "demos", "demos.console", "demos.engines")
"""They name things, show and run them, and decide nothing: a new agent leaves the results of others as they are."""


def versions(agent: str, environment: str = "") -> dict[str, str]:
    """Versions of everything that decides an agent's result, and a fingerprint of the code itself.

    Of the code of agents and demonstrations that counts which the agent's file imports, collection and evaluation
    besides, with the settings that belong to the agent there.

    Args:
        agent: A name, or ``package.module:Class``.
        environment: What settings call the environment (:func:`agents.settings.stem`).
    """
    found = {name: packages.version(name) for name in PACKAGES}
    return {
        "lam_envs": lam_envs.__version__,
        "code": _code_of(agent, environment),
        "python": platform.python_version(),
        **found,
    }


def agent_versions(name: str) -> dict[str, int]:
    """Return the version of an agent of ours.

    Args:
        name: One of :data:`agents.agent.AGENTS`.
    """
    return {f"agent {name}": int(find(name).version)}


@cache
def _code_of(agent: str, environment: str) -> str:
    """The fingerprint of what decides an agent's result; code does not change while a process runs."""
    place = AGENTS.get(agent, agent)
    modules = ["lam_envs", *imported_with(*([place.partition(":")[0]] if ":" in place else []))]
    settings = {
        name: _settings(name, environment) for name, its in AGENTS.items() if its.partition(":")[0] in modules
    }
    settings = {name: own for name, own in settings.items() if own}
    return code_fingerprint(*modules, settings=settings)


def imported_with(*modules: str) -> list[str]:
    """Returns modules, those that decide all results, and all of ours that these import, directly or not.

    Args:
        modules: Importable names; a stranger's stands alone.

    Raises:
        ValueError: One has no source.
    """
    found: set[str] = set()
    waiting = [*modules, *ROOTS]
    while waiting:
        name = waiting.pop()
        if name in found or name in NEUTRAL:
            continue
        found.add(name)
        waiting += _imports(name)
    return sorted(found)


def _imports(module: str) -> list[str]:
    """Modules of agents and demonstrations that a module imports, wherever in its code."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {module!r} has no source to take a fingerprint of")
    names = []
    for node in ast.walk(ast.parse(Path(spec.origin).read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] in LAYERS and _is_module(name)]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _settings(agent: str, environment: str) -> Any:
    """What an agent's file of settings says of an environment; None without such a file."""
    path = CONFIGS / f"{agent}.yaml"
    if not path.is_file():
        return None
    content = yaml.safe_load(path.read_text())
    own = {**content[DEFAULT], **content.get(environment, {})}
    return [own, _settings(content[LIKE], environment)] if LIKE in content else own


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
        "section": stem(env),
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
        "versions": versions(agent, stem(env)),
    }

"""Provenance of agents: the settings, demonstrations and versions that an agent was trained with."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agents.registry import AGENTS, find
from agents.spec import spec_of
from agents.training.settings import AgentSettings, settings_of, settings_section
from agents.types import Env, JsonObject
from demos.collection.environment_versions import environment_versions
from demos.collection.versions import expert_versions, library_versions, major_versions
from lam_envs.registration import is_lam_env

if TYPE_CHECKING:
    from agents.data.demonstrations import DemonstrationData  # it imports PyTorch, which not every command needs

PACKAGES = ("gymnasium", "imitation", "numpy", "pybullet", "stable-baselines3", "torch")


LEARNER, DEFAULT_LEARNER = "learner", "bc"
"""Setting that names the agent that learns from the labels of DAgger, and its default."""


def agent_versions(name: str, settings: Mapping[str, object]) -> dict[str, int]:
    """Return the version of an agent; empty for a third-party agent, whose code is hashed instead.

    Args:
        name: See :func:`agents.registry.find`.
        settings: Its settings. Where they name another agent that learns, its version counts too.
    """
    if name not in AGENTS:
        return {}
    learner = str(settings.get(LEARNER, DEFAULT_LEARNER))
    # With the default learner, keys stay as they are in results of earlier versions.
    learning = {} if learner == DEFAULT_LEARNER else agent_versions(learner, {})
    return {f"agent {name}": spec_of(find(name)).version, **learning}


def settings_type(name: str, given: Mapping[str, object]) -> type[AgentSettings] | None:
    """Return the class of an agent's settings; None for an agent without settings and for a third-party agent.

    Args:
        name: See :func:`agents.registry.find`.
        given: Settings that are given, by name.
    """
    return spec_of(find(name)).settings_class(given) if name in AGENTS else None


def effective_settings(name: str, changed: Mapping[str, object], section: str) -> JsonObject:
    """Return all settings that an agent is trained with in an environment.

    Args:
        name: See :func:`agents.registry.find`.
        changed: Settings that differ from those of the agent's file.
        section: Name of the environment in files of settings (:func:`agents.training.settings.settings_section`).

    Raises:
        ValueError: A setting that the agent does not have, or a value of another type or out of range.
    """
    kind = settings_type(name, changed)
    effective = dict(changed) if kind is None else settings_of(name, kind, changed, section).model_dump()
    return {key: list(value) if isinstance(value, tuple) else value for key, value in effective.items()}


def training_record(
    agent: str,
    settings: Mapping[str, object],
    env: Env,
    demonstrations: DemonstrationData | None,
    *,
    seed: int,
    budget: int | None,
) -> JsonObject:
    """Describe a training as JSON; equal descriptions give equal agents on one machine.

    Args:
        agent: Name of an agent in :data:`agents.registry.AGENTS`.
        settings: Settings of the agent.
        env: Environment of the training.
        demonstrations: Demonstrations; None for reward alone.
        seed: Seed of the training.
        budget: Amount of training; None for the setting.
    """
    spec = env.spec
    return {
        "agent": agent,
        "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()},
        "environment": None if spec is None else spec.id,
        "section": settings_section(env),
        "keywords": {} if spec is None else {name: repr(value) for name, value in sorted(spec.kwargs.items())},
        "demonstrations": None
        if demonstrations is None
        else {
            "id": demonstrations.id,
            "episodes": len(demonstrations.episodes),
            "checksum": demonstrations.checksum,
        },
        # NumPy's integers cannot be written as JSON.
        "seed": int(seed),
        "budget": None if budget is None else int(budget),
        "versions": training_versions(agent, settings, env),
        "libraries": library_versions(PACKAGES),
    }


def training_versions(agent: str, settings: Mapping[str, object], env: Env) -> dict[str, int]:
    """Return the version of each part that decides what an agent learns from given demonstrations.

    Args:
        agent: See :func:`agents.registry.find`.
        settings: Settings of the agent.
        env: Environment that it is trained for.
    """
    spec, versions = env.spec, agent_versions(agent, settings)
    if spec is None:
        return versions
    expert = expert_versions(spec.id, **spec.kwargs)
    return {**environment_versions(spec.id, **spec.kwargs), **expert, **versions}


def outdated_parts(training: JsonObject) -> list[str]:
    """Return the parts, and the libraries by major version, whose version changed since an agent was trained.

    Args:
        training: Result of :func:`training_record`, as a saved agent holds it.
    """
    versions = training.get("versions") or {}
    # Earlier saved agents list their libraries among the versions.
    before = {**versions, **major_versions(training.get("libraries") or versions)}
    now: dict[str, int | str] = dict(major_versions(library_versions(PACKAGES)))
    env_id = str(training.get("environment"))
    if is_lam_env(env_id):
        keywords = _read_keywords(training.get("keywords") or {})
        now |= {**environment_versions(env_id, **keywords), **expert_versions(env_id, **keywords)}
    now |= agent_versions(str(training.get("agent")), training.get("settings") or {})
    return [name for name in before if name in now and now[name] != before[name]]


def changed_task(directory: str | Path, training: JsonObject | None, env: Env) -> str:
    """Return an error's beginning where the task of an environment has another version than in the training.

    Empty where it has the same version, or where the versions are not recorded.

    Args:
        directory: Folder of the saved agent.
        training: Result of :func:`training_record`; None without one.
        env: Environment that the agent is loaded for.
    """
    before = (training or {}).get("versions") or {}
    if env.spec is None:
        return ""
    for part, version in environment_versions(env.spec.id, **env.spec.kwargs).items():
        if part.startswith("task ") and before.get(part, version) != version:
            return (
                f"{directory} was trained in version {before[part]} of {env.spec.id}; this environment has version "
                f"{version}: train it again. Cause: "
            )
    return ""


def trained_in(description: JsonObject) -> tuple[str, JsonObject]:
    """Return the id and the keywords of the first environment that a saved agent was trained in.

    Args:
        description: See :func:`agents.folders.read_description`.

    Raises:
        ValueError: See :func:`environments_of`.
    """
    return environments_of(description)[0]


def environments_of(description: JsonObject) -> list[tuple[str, JsonObject]]:
    """Return id and keywords of each environment that a saved agent was trained in; at least one.

    Args:
        description: See :func:`agents.folders.read_description`.

    Raises:
        ValueError: An environment is not recorded or not from lam_envs: a saved agent must not choose code to run.
    """
    training = description.get("training") or {}
    environments = []
    for recorded in training.get("environments") or [training]:
        env_id = recorded.get("environment")
        if not (isinstance(env_id, str) and is_lam_env(env_id)):
            raise ValueError(f"the agent was trained in environment {env_id!r}; give the environment by --env")
        environments.append((env_id, _read_keywords(recorded.get("keywords") or {})))
    return environments


def _read_keywords(keywords: Mapping[str, str]) -> JsonObject:
    """Read keywords as :func:`training_record` writes them; objects, such as a user's own task, are left out."""
    values = {}
    for name, text in keywords.items():
        with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            values[name] = ast.literal_eval(text)
    return values

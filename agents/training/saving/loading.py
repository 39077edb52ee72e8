"""Loading of saved agents from their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.folders import read_description
from agents.registry import AGENTS, find, saved_names
from agents.spec import TrainableAgent, spec_of
from agents.types import Env


def load(directory: str | Path, env: Env, *, agent: str | None = None, **changed: Any) -> Any:
    """Load a saved agent.

    Args:
        directory: Folder that ``save`` wrote.
        env: Environment with the spaces that the agent was trained with.
        agent: ``package.module:Class`` of a third-party agent. A saved folder is data: it may name registered
            agents only, never code to import.
        changed: Settings to act with that differ from those of the training, such as ``executed_actions=1``; see
            :func:`check_changed`.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: The files are damaged, name an unknown agent, or belong to other spaces; or a setting cannot
            change after the training.
    """
    if changed:
        check_changed(directory, changed, agent)
    name = agent or read_description(directory).get("agent")
    if agent is None and name not in saved_names():
        raise ValueError(
            f"{directory} was saved by agent {name!r}, which is not registered (known: {', '.join(saved_names())}). "
            "If you trust it, give its class: agent='package.module:Class'"
        )
    kind = find(str(name))
    if not (isinstance(kind, type) and issubclass(kind, TrainableAgent)):
        raise ValueError(
            f"{directory} names agent {name!r}, which cannot be saved: it has no learn(), save() and load()"
        )
    return kind.load(directory, env, **changed)


def check_changed(directory: str | Path, changed: Mapping[str, object], agent: str | None = None) -> None:
    """Check that settings of a saved agent may change after the training: the weights do not depend on them.

    Args:
        directory: Folder that ``save`` wrote.
        changed: Settings that differ from those of the training.
        agent: Name or class of the agent, if the folder does not name it.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: The file is damaged, or a setting cannot change.
    """
    name = agent or read_description(directory).get("agent")
    kind = None
    if name in AGENTS:
        kind = spec_of(find(name)).settings_class(read_description(directory).get("settings") or {})
    allowed: frozenset[str] = getattr(kind, "acting", frozenset())
    if refused := sorted(changed.keys() - allowed):
        raise ValueError(
            f"{', '.join(refused)} cannot change after the training of agent {name}; expected "
            + (f"only {', '.join(sorted(allowed))}" if allowed else "no settings")
            + ": remove it, or train again"
        )

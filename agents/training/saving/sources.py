"""Sources of agents: everything that a user may give as an agent to a command, and how it becomes a policy."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import gymnasium as gym

from agents.evaluation.evaluation import make_env
from agents.folders import DESCRIPTION, EXPORTED_DESCRIPTION, check_keywords, is_exported, is_saved, read_description
from agents.registry import ARCHIVE, is_remote, make
from agents.spec import TrainableAgent
from agents.training.provenance import environments_of
from agents.training.saving import archive
from agents.training.saving.loading import load
from agents.training.saving.zoo import agent_path, zoo_folder
from agents.types import Env, JsonObject, Keywords
from demos.collection.recording import Policy
from demos.runtime.console import parse_keywords
from lam_envs.registration import is_lam_env


class Kind(Enum):
    """Kind of a source; the value describes it in errors."""

    SAVED = "a saved agent"
    EXPORTED = "an exported policy"
    ARCHIVE = "an archive of Stable-Baselines3"
    REMOTE = "the address of a policy server"
    NAME = "the name of an agent that is not saved"


FILES = (Kind.SAVED, Kind.EXPORTED)
"""Kinds of a folder that records the environment of the training."""


@dataclass(frozen=True)
class AgentSource:
    """Source of an agent.

    Attributes:
        given: Text that the user gave.
        kind: Kind of the source.
        location: Folder or file; a name or an address as it was given.
        agent_class: ``package.module:Class`` that loads the folder; None for agents of ours.
    """

    given: str
    kind: Kind
    location: str
    agent_class: str | None = None

    @property
    def folder(self) -> Path:
        """Folder of a saved agent or an exported policy."""
        return Path(self.location)

    @property
    def is_pretrained(self) -> bool:
        """True for a pretrained agent, by its name or the path of its folder."""
        if self.kind is not Kind.SAVED:
            return False
        with contextlib.suppress(FileNotFoundError):
            return self.folder.resolve().is_relative_to(zoo_folder().resolve())
        return False


def find_source(given: str, agent_class: str | None = None) -> AgentSource:
    """Return the source that a command-line argument names.

    Args:
        given: Folder of a saved agent or of an exported policy, name of a pretrained agent (``bc/LamGrasp-v0``),
            archive of Stable-Baselines3, address of a policy server, or see :func:`agents.registry.find`. A path
            comes before a name.
        agent_class: ``package.module:Class`` of a saved third-party agent.

    Raises:
        FileNotFoundError: There is no such folder or file, or there is no agent in the folder.
        ValueError: A file of a pretrained agent differs from the published one, or a class is given for anything
            but a folder.
    """
    if is_remote(given):
        kind, location = Kind.REMOTE, given
    elif given.endswith(ARCHIVE):
        kind, location = Kind.ARCHIVE, given
    else:
        location = agent_path(given)
        kind = _kind_of_path(location, has_class=agent_class is not None)
    if agent_class is not None and kind is not Kind.SAVED:
        raise ValueError(
            f"--agent-class {agent_class} loads the folder of a saved agent, and {given} is {kind.value}"
        )
    return AgentSource(given, kind, location, agent_class)


def _kind_of_path(location: str, *, has_class: bool) -> Kind:
    """Return the kind of a folder, or of a name.

    Raises:
        FileNotFoundError: There is no such folder, or there is no agent in it.
    """
    if has_class or is_saved(location):
        return Kind.SAVED
    if is_exported(location):
        return Kind.EXPORTED
    if Path(location).is_dir():
        raise FileNotFoundError(
            f"no saved agent in {location}: there is no {DESCRIPTION}. For an agent that writes none, give its "
            "class: --agent-class package.module:Class"
        )
    if Path(location).is_file():
        raise FileNotFoundError(f"{location} is a file; expected the folder of a saved agent or an exported policy")
    return Kind.NAME


def saved_source(given: str, action: str) -> AgentSource:
    """Return the source of a saved or pretrained agent; refuse all other kinds.

    Args:
        given: See :func:`find_source`.
        action: Action that needs the folder, such as ``export``.

    Raises:
        FileNotFoundError: See :func:`find_source`.
        ValueError: The source is of another kind.
    """
    source = find_source(given)
    if source.kind is not Kind.SAVED:
        raise ValueError(
            f"cannot {action} {given}: it is {source.kind.value}; expected the folder of a saved agent, or a "
            "pretrained agent, such as bc/LamReach-v0"
        )
    return source


def load_source(
    source: AgentSource, env: Env, settings: Mapping[str, Any] | None = None, *, allow_pickle: bool = False
) -> Policy:
    """Load an agent, or make one that needs no training.

    Args:
        source: Source of the agent.
        env: Environment to act in.
        settings: Settings of an agent that is not saved; of a saved one, settings that may change after the training
            (:func:`agents.training.saving.loading.check_changed`); of an archive, see :func:`archive_settings`.
        allow_pickle: True allows archives, which can run code when they are loaded.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: A package that it needs is not installed.
        ValueError: Settings that a saved agent or an exported policy does not take, an agent that is not trained, or
            an archive that is not allowed.
    """
    given = dict(settings or {})
    if source.kind is Kind.SAVED:
        return _policy(load(source.location, env, agent=source.agent_class, **given))
    if source.kind is Kind.EXPORTED:
        if given:
            raise ValueError(f"--config {', '.join(given)} cannot change {source.kind.value}: remove it")
        return _policy(make(source.location, env))
    if source.kind is Kind.ARCHIVE:
        chosen = archive_settings(source, given, allow_pickle=allow_pickle)
        # The statistics were searched for, with a warning: load must not do so again.
        return archive.load(source.location, env, **{"vecnormalize": False, **chosen})
    agent = make(source.location, env, **given)
    if isinstance(agent, TrainableAgent):
        raise ValueError(
            f"agent {source.given} is not trained: give the folder of a saved agent, or a pretrained agent, such as "
            "bc/LamReach-v0"
        )
    return _policy(agent)


def _policy(agent: Any) -> Policy:
    policy: Policy = agent
    return policy


def archive_settings(source: AgentSource, settings: Keywords, *, allow_pickle: bool) -> Keywords:
    """Return the settings of an archive with the file of statistics that is used; see ``archive.settings_of``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Archives are not allowed, or the statistics are missing.
    """
    if not allow_pickle:
        raise ValueError(
            f"{source.given} can hold code that runs when it is loaded: if you trust it, add --allow-pickle"
        )
    return archive.settings_of(source.location, settings)


def trained_environments(source: AgentSource) -> list[tuple[str, Keywords]]:
    """Return id and keywords of each environment that an agent was trained in, or that it was exported for.

    Raises:
        ValueError: They are not recorded, not from lam_envs, or the record is damaged.
    """
    if source.kind not in FILES or source.agent_class is not None:
        raise ValueError(f"{source.given} records no environment: give one by --env")
    return environments_of(_record(source))


def _record(source: AgentSource) -> JsonObject:
    if source.kind is Kind.SAVED:
        return read_description(source.location)
    path = Path(source.location) / EXPORTED_DESCRIPTION
    try:
        content = json.loads(path.read_text())
        recorded = {name: content.get(name) for name in ("environment", "keywords")}
        check_keywords(path, "keywords", recorded["keywords"])
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; export the agent again") from error
    return {"training": recorded}


def trained_keywords(source: AgentSource, env_id: str) -> Keywords:
    """Return the keywords of the first training environment with this id, without those that the id implies.

    Empty if there is no such environment.

    Args:
        source: Source of the agent.
        env_id: Id of an environment, with or without its module.
    """
    own = env_id.rpartition(":")[2]
    if source.kind in FILES and source.agent_class is None and is_lam_env(own):
        record = _record(source)
        # An agent that was saved without a training records no environment.
        with contextlib.suppress(ValueError):
            found = next((keywords for trained, keywords in environments_of(record) if trained == own), {})
            usual = gym.registry[own].kwargs
            return {name: value for name, value in found.items() if name not in usual or usual[name] != value}
    return {}


def make_trained_env(source: AgentSource, env_id: str | None, env_kwargs: Sequence[str] = (), **more: Any) -> Env:
    """Make the environment that an agent is used in. Keywords that are not given are those of its training there.

    Args:
        source: Source of the agent.
        env_id: Id of the environment, such as ``LamGrasp-v0`` or ``module:Id-v0``; by default the one that the agent
            was trained in.
        env_kwargs: Keywords as the option ``--env-kwargs`` gives them, ``name=value``.
        more: Further keywords; they override the others.

    Raises:
        ValueError: The environment is unknown, or none is given or recorded.
    """
    given = parse_keywords(list(env_kwargs), "--env-kwargs")
    if env_id is None:
        env_id, recorded = trained_environments(source)[0]
    else:
        module = env_id.rpartition(":")[0]
        if module:
            with contextlib.suppress(ModuleNotFoundError):  # an error of make_env then
                importlib.import_module(module)
        recorded = trained_keywords(source, env_id)
    return make_env(env_id, **{**recorded, **given, **more})

"""Registry of agents by name."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agents.folders import is_exported
from agents.spec import AgentSpec
from agents.types import Action, Env, Memory, Observation, Start
from demos.collection.recording import Policy
from demos.runtime.import_paths import import_object

ENTRY_POINTS = "lam_envs.agents"
"""Entry point group in which installed packages register agents."""

AGENTS: dict[str, str] = {
    "random": "agents.policies.random:RandomAgent",
    "expert": "agents.policies.expert:ExpertAgent",
    "bc": "agents.imitation.bc:BehaviorCloning",
    "bco": "agents.imitation.observation.bco:BCO",
    "bc-rnn": "agents.imitation.sequence.bc_rnn:RecurrentBC",
    "act": "agents.imitation.sequence.act:ACT",
    "diffusion": "agents.imitation.sequence.diffusion:DiffusionAgent",
    "keypoints": "agents.imitation.keypoints.agent:KeypointAgent",
    "lam": "agents.imitation.lam.agent:Lam",
    "dagger": "agents.imitation.dagger:DAgger",
    "hg-dagger": "agents.imitation.hg_dagger:HGDAgger",
    "ensemble-dagger": "agents.imitation.ensemble_dagger:EnsembleDAgger",
    "gail": "agents.rl.adversarial.gail:GAILAgent",
    "airl": "agents.rl.adversarial.airl:AIRLAgent",
    "dqfd": "agents.rl.dqfd.agent:DQfDAgent",
    "dqn": "agents.rl.dqn:DQNAgent",
    "ppo": "agents.rl.ppo:PPOAgent",
    "sac": "agents.rl.sac:SACAgent",
    "sqil": "agents.rl.sqil:SQIL",
}
"""Import paths of our agents by name. A new agent is one file, its settings in ``configs``, and one line here."""

ADAPTED: dict[str, str] = {"residual": "agents.rl.residual:ResidualAgent"}
"""Import paths of agents that only ``agents adapt`` makes, from a saved agent."""

INSTALL_IMITATION = "pip install --no-deps imitation==1.0.1"
"""Command that installs imitation. It pins versions of 2023, so no extra can list it; the parts used here run on
newer ones."""


def names() -> list[str]:
    """Return the names of our agents and of those that installed packages register."""
    return sorted({*AGENTS, *(entry.name for entry in _installed())})


def saved_names() -> list[str]:
    """Return the names that a saved agent may have: also those of agents that only adaptation makes."""
    return sorted({*names(), *ADAPTED})


def _installed() -> tuple[EntryPoint, ...]:
    return _registered(tuple((os.path.abspath(place), _changed(place)) for place in sys.path))


@functools.lru_cache(maxsize=1)
def _registered(places: tuple[tuple[str, int | None], ...]) -> tuple[EntryPoint, ...]:
    """Return what packages in these places register; reading what each installed package registers takes long."""
    return tuple(entry_points(group=ENTRY_POINTS))


def _changed(place: str) -> int | None:
    """Return when a folder was last changed, nanoseconds; None if it does not exist."""
    try:
        return os.stat(place or os.curdir).st_mtime_ns
    except OSError:
        return None


ARCHIVE = ".zip"
"""Suffix of archives of Stable-Baselines3."""
ADDRESSES = ("ws://", "wss://")
"""Beginnings of addresses of policy servers."""
REMOTE = "agents.deployment.remote.agent:remote_spec"
"""Import path of the function that returns the spec of a policy at an address."""
EXPORTED = "agents.deployment.export.onnx_agent:exported_spec"
"""Import path of the function that returns the spec of an exported policy in a folder."""


def is_remote(name: str) -> bool:
    """Return True if a name is the address of a policy server."""
    return name.startswith(ADDRESSES)


def import_path_of(name: str) -> str:
    """Return the import path of a registered agent; any other name as it is.

    Args:
        name: See :func:`find`.
    """
    if name in AGENTS or name in ADAPTED:
        return {**AGENTS, **ADAPTED}[name]
    return next((str(entry.value) for entry in _installed() if entry.name == name), name)


def find(name: str) -> Any:
    """Return an agent's class, spec, function, or object with ``predict``.

    Args:
        name: One of :func:`names`; the import path ``package.module:Name`` of a class, of a spec, of an object with
            ``predict``, or of a function of the observation; the address of a policy server, such as
            ``ws://127.0.0.1:8000``; or the folder of an exported policy.

    Raises:
        ValueError: The agent is unknown, is an archive (which can hold code), or needs imitation, which is not
            installed.
    """
    if is_remote(name):
        return import_object(REMOTE, "agent")(name)
    if is_exported(name):
        return import_object(EXPORTED, "agent")(name)
    if name.endswith(ARCHIVE):
        raise ValueError(
            f"{name} can hold code that runs when it is loaded; if you trust it: "
            f"agents.training.saving.archive.load({name!r}, env)"
        )
    import_path = import_path_of(name)
    if ":" in import_path:
        try:
            return import_object(import_path, "agent")
        except ValueError as error:
            cause = error.__cause__
            if isinstance(cause, ModuleNotFoundError) and str(cause.name).split(".")[0] == "imitation":
                raise ValueError(f"agent {name!r} needs imitation: {INSTALL_IMITATION}") from error
            raise
        except (Exception, SystemExit) as error:
            raise ValueError(f"agent {name!r} fails when it is imported: {error!r}") from error
    raise ValueError(
        f"unknown agent {name!r}; expected one of {', '.join(names())}, package.module:Name, the folder of a saved "
        f"agent or of an exported policy, an archive of Stable-Baselines3 ({ARCHIVE}), or the address of a policy "
        "server (ws://HOST:PORT)"
    )


def make(name: str, env: Env, **settings: Any) -> Any:
    """Make an agent.

    Args:
        name: See :func:`find`. A class, or the ``make`` of a spec, is called with the environment and the settings.
            A function of the observation is an agent itself: it returns an action.
        env: Environment that gives the spaces.
        settings: Settings of the agent.

    Raises:
        ValueError: The agent is unknown, or has no ``predict``.
    """
    resolved = find(name)
    is_policy = isinstance(resolved, Policy) and not isinstance(resolved, type)
    if isinstance(resolved, AgentSpec):
        if resolved.make is None:
            raise ValueError(
                f"{name} is a spec without make: expected a function of the environment and the settings"
            )
        agent = resolved.make(env, **settings)
    elif isinstance(resolved, type):
        agent = resolved(env, **settings)
    elif settings:
        raise ValueError(f"{name} is not a class and takes no settings: remove {', '.join(settings)}")
    else:
        agent = FunctionAgent(resolved) if callable(resolved) and not is_policy else resolved
    if not isinstance(agent, Policy):
        raise ValueError(f"{name} makes a {type(agent).__name__} that has no predict(observation, ...)")
    return agent


class FunctionAgent:
    """Agent that calls a function of the observation.

    Args:
        function: Function that returns an action.
    """

    def __init__(self, function: Callable[[Observation], Action]) -> None:
        self.function = function

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        """Return the action of the function."""
        return self.function(observation), state

"""Agent specs, and the registry of agents by name."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agents.types import Action, Env, JsonObject, Memory, Observation, Start
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

DESCRIPTION = "agent.json"
"""Name of the JSON file of a saved agent."""
PARTS = ("demonstrations", "keywords", "libraries", "settings", "versions")
"""Objects in the record of a training run."""


@dataclass(frozen=True)
class AgentSpec:
    """Facts about an agent that are known without making one.

    An agent's class holds them as its attribute ``spec``. An import path may also name a spec itself: its ``make`` is
    then called with the environment and the settings.

    Attributes:
        name: Name of the agent.
        version: Increase it when the same training gives another agent: its results are then outdated.
        settings: Class of its settings; None if it checks its settings itself.
        choose_settings: Returns the class of the settings for settings that are given; None if it is always the same.
        needs_demonstrations: True if it learns from demonstrations, False if from reward alone.
        needs_environment: True if it steps environments while it learns.
        budget_unit: Unit of the budget of ``learn``.
        takes_run: True if ``learn`` takes a :class:`agents.training.run.Run`: checkpoints, log, periodic evaluation.
        takes_several_environments: True if ``learn`` also takes a list of environments, and of their datasets, and a
            saved agent acts in each of them.
        takes_processes: True if several processes can train it together.
        takes_play: True if ``learn`` takes ``play``: further episodes of any quality, whose actions are known.
        make: Makes the agent from an environment and settings; None if the class does.
    """

    name: str
    version: int = 1
    settings: type[Any] | None = None
    needs_demonstrations: bool = True
    needs_environment: bool = False
    budget_unit: str = "steps"
    takes_run: bool = False
    takes_several_environments: bool = False
    takes_processes: bool = False
    takes_play: bool = False
    make: Callable[..., Policy] | None = None
    choose_settings: Callable[[Mapping[str, object]], type[Any]] | None = None

    def settings_class(self, given: Mapping[str, object]) -> type[Any] | None:
        """Return the class of the settings of an agent.

        Args:
            given: Settings that are given, by name.
        """
        return self.settings if self.choose_settings is None else self.choose_settings(given)


@runtime_checkable
class HasSpec(Protocol):
    """Agent or class of agents with a spec."""

    spec: AgentSpec


@runtime_checkable
class TakesBatches(Protocol):
    """Agent that declares whether its ``predict`` acts on batches, as that of Stable-Baselines3 does.

    A batch has one observation of each of N episodes. The state has a row for each, and ``episode_start``, of shape
    (N,), is True where an episode starts: that row of the state is discarded. A row of the result does not depend on
    the other rows, except for rounding.
    """

    takes_batches: bool


def spec_of(agent: object) -> AgentSpec:
    """Return the spec of an agent or of its class; the default spec of a third-party agent without one.

    Args:
        agent: Class, agent or spec that :func:`find` returns.
    """
    if isinstance(agent, AgentSpec):
        return agent
    return agent.spec if isinstance(agent, HasSpec) else AgentSpec(name="third-party agent")


@runtime_checkable
class TrainableAgent(Policy, Protocol):
    """Agent that can be trained and saved."""

    def learn(
        self,
        demonstrations: Any,
        env: Env,
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
    ) -> None:
        """Learn; the same arguments give the same agent, bit for bit.

        With ``takes_run`` in its spec, an agent also takes ``run`` (:class:`agents.training.run.Run`).

        Args:
            demonstrations: Dataset to imitate; None for an agent that needs no demonstrations.
            env: Environment to act in. Agents that need no environment use its spaces only.
            seed: Seeds everything that is random.
            budget: Amount of training in the unit of the agent's spec; by default its setting.
            progress: Show a progress bar.
        """
        ...

    def save(self, directory: str | Path) -> Path:
        """Write the weights as safetensors and everything else as JSON."""
        ...

    @classmethod
    def load(cls, directory: str | Path, env: Env) -> TrainableAgent:
        """Read what :meth:`save` wrote, for an environment with the same spaces."""
        ...


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
EXPORTED_MODEL, EXPORTED_DESCRIPTION = "model.onnx", "model.json"
"""Names of the files of an exported policy: the model, and its inputs and outputs."""
MONITOR, MONITOR_FIGURE = "monitor.json", "monitor.png"
"""Names of the files of a failure monitor, beside a saved agent or exported policy."""
EXPORTED = "agents.deployment.export.onnx_agent:exported_spec"
"""Import path of the function that returns the spec of an exported policy in a folder."""


def is_remote(name: str) -> bool:
    """Return True if a name is the address of a policy server."""
    return name.startswith(ADDRESSES)


def is_exported(name: str) -> bool:
    """Return True if a name is the folder of an exported policy; a saved agent comes first."""
    folder = Path(name)
    return not is_saved(name) and (folder / EXPORTED_MODEL).is_file() and (folder / EXPORTED_DESCRIPTION).is_file()


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


def is_saved(name: str) -> bool:
    """Return True if a name is the folder of a saved agent."""
    return (Path(name) / DESCRIPTION).is_file()


def read_description(directory: str | Path) -> JsonObject:
    """Read the JSON part of a saved agent.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: The file is damaged.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"no saved agent in {directory}: there is no {DESCRIPTION}")
    try:
        description = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} is damaged: expected an object")
    training = description.get("training")
    for where, part in (
        ("settings", description.get("settings")),
        ("training", training),
        *((f"training.{name}", training.get(name)) for name in PARTS if isinstance(training, dict)),
    ):
        if not (part is None or isinstance(part, dict)):
            raise ValueError(f"{path} is damaged: {where} is {part!r}; expected an object")
    several = (training or {}).get("environments", [])
    if not (isinstance(several, list) and all(isinstance(each, dict) for each in several)):
        raise ValueError(f"{path} is damaged: training.environments is {several!r}; expected a list of objects")
    return description

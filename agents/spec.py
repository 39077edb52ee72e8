"""Agent specs, and the protocols of agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agents.types import Env
from demos.collection.recording import Policy


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
        has_external_state: True if it also keeps state outside of the ``state`` of ``predict``, such as on a server:
            no earlier step can be restored.
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
    has_external_state: bool = False
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

"""Case of an adaptation: the agent, the changed environment, and the amount of data; base of the methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import Field

from agents.data.demonstrations import DemonstrationData
from agents.training.policy_agent import PolicyAgent
from agents.training.run import Run
from agents.training.settings import AgentSettings, Count, Discount, Fraction, Positive
from agents.types import Env, State

RESIDUAL = "residual"
"""Folder of the checkpoints of a residual policy, within that of the adaptation."""


class AdaptationSettings(AgentSettings):
    """Settings that all methods share."""

    check_episodes: Count = Field(
        50, description="Episodes of the held-out check in each environment, before and after the adaptation."
    )
    max_home_loss: Fraction = Field(
        0.02,
        description="Largest accepted loss of success where the agent was trained; else the old weights are kept.",
    )

    @property
    def replays(self) -> bool:
        """True if the method replays demonstrations that the agent has learned from."""
        return False


class TuningSettings(AdaptationSettings):
    """Settings of methods that train the agent further on labels."""

    updates: Count = Field(3000, description="Minibatches in all; the last epoch is completed.")
    batch_size: Count = Field(128, description="Steps or windows in a minibatch.")
    learning_rate: Positive = Field(0.0003, description="Initial learning rate; it decays to 0 on a cosine schedule.")
    replay_share: Discount = Field(
        0.5, description="Share of the examples that come from the demonstrations that the agent has learned from."
    )

    @property
    def replays(self) -> bool:
        """True if some of the examples are replayed."""
        return self.replay_share > 0.0


@dataclass(frozen=True)
class Case:
    """Adaptation to carry out.

    Attributes:
        agent: Loaded agent, which a method may change.
        env: Environment in which the agent is used, made by ``gym.make``.
        budget: Amount of data in the unit of the method.
        seed: Seeds everything that is random.
        settings: Settings of the method.
        run: Progress bar, device and checkpoints.
        replay: Demonstrations that the agent has learned from; None without them.
        demonstrations: Demonstrations in the changed environment; None collects them from the scripted expert.
        first: Result of the check before the adaptation, which is stored in checkpoints.
        saved: State of the method in the last checkpoint; empty if the adaptation starts from the beginning.
    """

    agent: PolicyAgent
    env: Env
    budget: int
    seed: int
    settings: Any
    run: Run
    replay: DemonstrationData | None = None
    demonstrations: DemonstrationData | None = None
    first: State = field(default_factory=dict)
    saved: State = field(default_factory=dict)

    def checkpoint(self, state: Callable[[], State], *, now: bool = False) -> None:
        """Write a checkpoint if one is due.

        Args:
            state: Returns the state from which the method can resume.
            now: Write a checkpoint in any case.
        """
        self.run.checkpoint(lambda: {"first": self.first, "method": state()}, now=now)


class AdaptationMethod(ABC):
    """Method that adapts an agent; it holds no state."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increase it when the same adaptation gives another agent."""
    unit: ClassVar[str]
    """Unit of the budget."""
    default_budget: ClassVar[int]
    takes_demonstrations: ClassVar[bool] = False
    """True if it can learn from given demonstrations; the budget counts them."""
    settings_class: ClassVar[type[AdaptationSettings]] = TuningSettings

    @abstractmethod
    def check(self, case: Case) -> None:
        """Check the arguments of an adaptation before demonstrations are loaded and anything is run.

        Raises:
            ValueError: The agent cannot be adapted by this method, or the budget does not fit.
        """

    @abstractmethod
    def adapt(self, case: Case) -> PolicyAgent:
        """Return an adapted agent: the changed agent of the case, or a new one.

        It resumes from the state that it wrote by :meth:`Case.checkpoint`, if the case has one, with the same result.

        Raises:
            ValueError: The training diverged, or the expert solves too few episodes.
        """

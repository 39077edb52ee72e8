"""Demonstrator that a person drives, alone or in turn with a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from demos.collection.demonstrators import Demonstrator, DemonstratorAction
from demos.datasets.episode import INTERVENTION
from demos.runtime.types import Action, Env, Info, Observation

TELEOP = "teleop"


class DrivenAction(NamedTuple):
    """Action of one step, and who chose it."""

    action: Action
    by_person: bool
    """False if a policy chose the action."""


class TeleopDemonstrator(Demonstrator):
    """Person who drives the robot and may take over from a policy.

    The info ``intervention`` says which actions the person chose.

    Args:
        env: Environment of the demonstrations.
        drive: Function that waits for the action to take after an observation.
    """

    name = TELEOP
    version = 1

    def __init__(self, env: Env, drive: Callable[[Observation], DrivenAction]) -> None:
        super().__init__(env)
        self._drive = drive
        self._by_person = False

    def reset(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().reset(rng)
        self._by_person = False

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        action, self._by_person = self._drive(observation)
        return DemonstratorAction(action, action)

    def notes(self) -> Info:
        """See :class:`Demonstrator`."""
        return {INTERVENTION: np.bool_(self._by_person)}

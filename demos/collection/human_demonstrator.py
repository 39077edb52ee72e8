"""Demonstrators of people: one imitates a recorded motion, the other is driven by a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from demos.collection.demonstrators import Demonstrator, DemonstratorAction
from demos.datasets.episode import INTERVENTION
from demos.human.motion.hand_motion import motion_of_json
from demos.human.policy import Attempt, HumanPolicy, failure_of
from demos.runtime.types import Action, Env, Info, JsonObject, Observation

HUMAN = "human"
TELEOP = "teleop"
KEEP = "keep"
"""Entry of a plan's motion: fraction of the person's deviation that is asked for."""


class HumanDemonstrator(Demonstrator):
    """Policy of a person's motion.

    Args:
        env: Environment of the demonstrations.
        motion: Motion as a JSON object, with ``keep`` in controls.

    Raises:
        ValueError: The motion is invalid, or the task is unknown.
    """

    name = HUMAN
    version = 1

    def __init__(self, env: Env, motion: JsonObject) -> None:
        super().__init__(env)
        self._policy = HumanPolicy(env, motion_of_json(motion), motion.get(KEEP))

    def reset(self, rng: np.random.Generator) -> None:
        """See :class:`Demonstrator`."""
        super().reset(rng)
        self._state: Attempt | None = None
        self._policy.attempt = Attempt()

    def act(self, observation: Observation) -> DemonstratorAction:
        """See :class:`Demonstrator`."""
        action, self._state = self._policy.predict(observation, self._state)
        return DemonstratorAction(action, action)

    def notes(self) -> Info:
        """See :class:`Demonstrator`."""
        return self._policy.notes()

    def failure(self, info: Info) -> str:
        """See :class:`Demonstrator`."""
        return failure_of(self._policy.attempt, info)


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

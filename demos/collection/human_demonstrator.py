"""Demonstrator that imitates a person's recorded motion."""

from __future__ import annotations

import numpy as np

from demos.collection.demonstrators import Demonstrator, DemonstratorAction
from demos.human.motion import motion_of_json
from demos.human.policy import Attempt, HumanPolicy, failure_of
from demos.runtime.types import Env, Info, JsonObject, Observation

HUMAN = "human"
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

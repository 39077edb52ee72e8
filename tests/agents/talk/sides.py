"""Small task of a third party with two commands, with and without ``goal_of``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lam_envs.observation import Instructions
from lam_envs.tasks import InitialState
from tests.lam_envs.above import Above

SIDES = ("left", "right")


class Sides(Above):
    """Hold the tool above a cube, 10 cm to the left or to the right."""

    name = "sides"
    command_high = (1,)

    def instructions_for(self, command: Any) -> Instructions:
        sentence = f"hold the tool on the {SIDES[command[0]]}"
        return Instructions((sentence,), (sentence,))

    def sample_initial_state(self, rng: Any, scale: float, command: Any) -> InitialState:
        return replace(super().sample_initial_state(rng, scale, command), desired_goal=goal_of(command))


class SidesWithGoals(Sides):
    """The same task, which defines the goal of each command."""

    def goal_of(self, simulation: Any, command: Any) -> tuple[float, ...]:
        return goal_of(command)


def goal_of(command: Any) -> tuple[float, ...]:
    return (0.0, 0.1 if command[0] == 0 else -0.1, 0.1, 0.05)

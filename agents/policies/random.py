"""Random agent: the lower bound of every comparison."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from agents.spec import AgentSpec
from agents.types import Action, Env, Memory, Observation, Start


class RandomAgent:
    """Agent that draws actions uniformly.

    Args:
        env: Environment that gives the spaces.
        seed: Seeds its generator.
    """

    spec = AgentSpec("random", needs_demonstrations=False)

    def __init__(self, env: Env, seed: int = 0) -> None:
        self._actions = copy.deepcopy(env.action_space)
        self._actions.seed(seed)
        self._observation_space = env.observation_space

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        """Draw an action, or a batch of them for a batch of observations."""
        space: Any = self._observation_space
        if isinstance(observation, dict):
            name = next(iter(observation))
            observation, space = observation[name], space[name]
        if np.ndim(observation) == len(space.shape or ()):
            return self._actions.sample(), state
        return np.stack([self._actions.sample() for _ in range(len(observation))]), state

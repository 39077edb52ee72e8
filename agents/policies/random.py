"""The random agent: the floor of every comparison."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np

from agents.registry import AgentSpec


class RandomAgent:
    """Draws actions uniformly.

    Args:
        env: Gives the action space.
        seed: Of its own generator.
    """

    spec = AgentSpec("random", needs_demonstrations=False, needs_no_command=False)

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0) -> None:
        self._actions = copy.deepcopy(env.action_space)
        self._actions.seed(seed)
        self._observation_space = env.observation_space

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """Draws an action, or one for each observation of a batch."""
        shown: Any = self._observation_space
        if isinstance(observation, dict):
            name = next(iter(observation))
            observation, shown = observation[name], shown[name]
        if np.ndim(observation) == len(shown.shape or ()):
            return self._actions.sample(), state
        return np.stack([self._actions.sample() for _ in range(len(observation))]), state

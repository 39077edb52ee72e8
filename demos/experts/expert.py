"""What an expert is, and the policy that lets one act in any action space."""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from lam_envs import ToolCommand
from lam_envs.observation import ROBOT_KEY, Features


class Expert(Protocol):
    """A stateless rule: named features in, a tool command out.

    Having no memory, it can label any state and recovers from any push.

    Attributes:
        version: Raise it when the expert acts differently: results and datasets of it are then outdated.
    """

    version: int

    def act(self, features: Features) -> ToolCommand:
        """Says where the tool should go and how far the gripper should open."""
        ...


class ExpertPolicy:
    """Turns an expert's tool commands into actions, through the inverse of the environment's control.

    Acts like a Stable-Baselines3 model.

    Args:
        expert: The rule.
        env: A lam_envs environment, wrapped or not: gives layout and control, and is never stepped.
    """

    def __init__(self, expert: Expert, env: gym.Env[Any, Any]) -> None:
        self.expert = expert
        self._env: Any = env.unwrapped
        self.observation_space = env.observation_space
        self.action_space = env.action_space

    def predict(
        self,
        observation: npt.NDArray[Any] | dict[str, npt.NDArray[Any]],
        state: tuple[Any, ...] | None = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], tuple[Any, ...] | None]:
        """Act on one observation or a batch.

        Args:
            observation: An element of the observation space, or such elements stacked along a first axis.
            state: Not used: experts have no memory.
            episode_start: Not used.
            deterministic: Not used: experts do not draw.

        Returns:
            The action or actions, and ``state``.

        Raises:
            ValueError: The observation has a wrong shape, or is a batch of pixels: those do not hold what an expert
                knows, so it looks at its environment's present scene.
        """
        array: Any = observation
        if isinstance(observation, dict):
            array = observation[ROBOT_KEY if ROBOT_KEY in observation else "observation"]
        if np.ndim(array) < 2:
            return self._act(observation), state
        if isinstance(observation, dict) and ROBOT_KEY in observation:
            raise ValueError("an expert acts on one observation of pixels at a time: that of its own environment")
        rows: list[Any] = [
            {name: part[row] for name, part in observation.items()}
            if isinstance(observation, dict)
            else observation[row]
            for row in range(len(array))
        ]
        return np.stack([self._act(row) for row in rows]), state

    def _act(self, observation: Any) -> npt.NDArray[Any]:
        features = self._env.features(observation)
        return np.asarray(self._env.action_for(self.expert.act(features), features))

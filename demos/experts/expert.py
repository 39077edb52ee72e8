"""Interface of experts, and the policy by which an expert acts in any action space."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np

from demos.types import Array, Env, Observation
from lam_envs import ToolCommand
from lam_envs.env import ManipulationEnv
from lam_envs.observation import ROBOT_KEY, Features


class Expert(Protocol):
    """Stateless rule from named features to a tool command.

    Without memory, it can label any state and recover from any perturbation.

    Attributes:
        version: Increase it when the commands change: its datasets, and results from these, are then outdated.
    """

    version: int

    def act(self, features: Features) -> ToolCommand:
        """Return the position of the tool and the opening of the gripper to move to."""
        ...


class ExpertPolicy:
    """Policy of an expert: the inverse of the environment's control turns tool commands into actions.

    It has the ``predict`` method of a Stable-Baselines3 model.

    Args:
        expert: Expert that gives the commands.
        env: Environment of lam_envs, wrapped or not, with the features and the control; it is never stepped.
    """

    def __init__(self, expert: Expert, env: Env) -> None:
        self.expert = expert
        self._env = cast(ManipulationEnv, env.unwrapped)
        self.observation_space = env.observation_space
        self.action_space = env.action_space

    def predict(
        self,
        observation: Observation,
        state: object = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, object]:
        """Return the action for one observation or a batch.

        Args:
            observation: Observation, or a batch with a first axis.
            state: Not used, because experts have no memory.
            episode_start: Not used.
            deterministic: Not used, because experts are deterministic.

        Returns:
            Action or actions, and ``state``.

        Raises:
            ValueError: The observation has a wrong shape, or is a batch of images. Images do not contain the features
                of the expert, which then reads the current scene of its environment.
        """
        if isinstance(observation, dict):
            array = observation[ROBOT_KEY if ROBOT_KEY in observation else "observation"]
        else:
            array = observation
        if np.ndim(array) < 2:
            return self._act(observation), state
        if isinstance(observation, dict) and ROBOT_KEY in observation:
            raise ValueError(
                "experts cannot act on a batch of images; expected one image observation of the expert's environment"
            )
        rows: list[Observation] = [
            {name: part[row] for name, part in observation.items()}
            if isinstance(observation, dict)
            else observation[row]
            for row in range(len(array))
        ]
        return np.stack([self._act(row) for row in rows]), state

    def _act(self, observation: Observation) -> Array:
        features = self._env.features(observation)
        return np.asarray(self._env.action_for(self.expert.act(features), features))

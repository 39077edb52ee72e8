"""Interface of experts, and the policy by which an expert acts in any action space."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np

from demos.runtime.types import Array, Env, Observation
from lam_envs import ToolCommand
from lam_envs.env import ManipulationEnv
from lam_envs.observation import ROBOT_KEY, Features
from lam_envs.observation.instructions import STATE_KEY

COMMAND = "command"
"""Name under which experts get the command of the episode, in tasks with several commands."""


class Expert(Protocol):
    """Stateless rule from named features to a tool command.

    Without memory, it can label any state and recover from any perturbation.

    Attributes:
        version: Increase it when the commands change: its datasets, and results from these, are then outdated.
    """

    version: int

    def act(self, features: Features) -> ToolCommand:
        """Return the position of the tool and the opening of the gripper to move to.

        Args:
            features: Features of the scene by name, and privileged information, which agents do not have: in tasks
                with several commands, :data:`COMMAND` is the command of the episode, shape (numbers of a command,);
                in tasks whose objects differ, their shapes, see ``ManipulationEnv.geometry``.
        """
        ...


def expert_features(env: ManipulationEnv, observation: Observation) -> Features:
    """Return features for an expert: those of an observation, and the shapes of objects.

    With a ``tool_length_offset`` they are those of the current episode: unlike an agent, an expert knows its real
    tool.

    Args:
        env: Environment of the observation.
        observation: Observation of the current episode.
    """
    return {**env.features(None if env.tool_length_offset else observation), **env.geometry}


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
        self._has_commands = self._env.commands != [()]
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
            ValueError: The observation has a wrong shape, or is a batch of images, of a task with several commands or
                with a ``tool_length_offset``. Observations do not contain the command and the length, and images not
                the features: the expert then reads them from the current episode of its environment.
        """
        if isinstance(observation, dict):
            array = next(observation[key] for key in (ROBOT_KEY, STATE_KEY, "observation") if key in observation)
        else:
            array = observation
        if np.ndim(array) < 2:
            return self._act(observation), state
        is_image = isinstance(observation, dict) and ROBOT_KEY in observation
        if self._has_commands or is_image or self._env.tool_length_offset:
            raise ValueError(
                "experts cannot act on a batch of images, of episodes with different commands or with a "
                "tool_length_offset; expected one observation of the current episode of the expert's environment"
            )
        rows: list[Observation] = [
            {name: part[row] for name, part in observation.items()}
            if isinstance(observation, dict)
            else observation[row]
            for row in range(len(array))
        ]
        return np.stack([self._act(row) for row in rows]), state

    def features(self, observation: Observation) -> Features:
        """Return the features that the expert gets: those of an observation, and privileged ones."""
        features = expert_features(self._env, observation)
        if self._has_commands:
            features[COMMAND] = np.array(self._env.command, dtype=np.float64)
        return features

    def _act(self, observation: Observation) -> Array:
        features = self.features(observation)
        return np.asarray(self._env.action_for(self.expert.act(features), features))

"""Base of our own networks: a loss on minibatches of demonstrations, and actions from observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from agents.data.demonstrations import Transitions
from agents.types import Array, Memory, Observation, Space, Start, Tensors
from demos.datasets.statistics import Statistics
from demos.datasets.tree import tree_leaves, tree_map


class TorchPolicy(nn.Module, ABC):
    """Policy with its normalizer inside. :class:`agents.training.loop.TrainingLoop` trains it.

    Args:
        observation_space: Space of the observations: a Box, or a Dict of such.
        action_space: Space of the actions.
    """

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space

    @abstractmethod
    def compute_loss(self, batch: Transitions) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a minibatch.

        Args:
            batch: Observations of shape (N, ...) and actions of shape (N, ...), on the policy's device.

        Returns:
            The loss, shape (), and its parts for the log, each of shape ().
        """

    @abstractmethod
    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return actions.

        Args:
            observation: Tensor of shape (N, ...), or a dict of such, on the policy's device.
            memory: Memory of the policy, as the previous step returned it; None at the start of an episode.
            deterministic: Return the most likely action, or draw one.

        Returns:
            Actions of shape (N, ...), and the memory for the next step.
        """

    @abstractmethod
    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: Sequence[int] = ()) -> None:
        """Set the normalizer of the observations.

        Args:
            statistics: Statistics of :attr:`agents.data.demonstrations.DemonstrationData.statistics`.
            masked: Indices of the observation dimensions that the policy must not use.
        """

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @torch.no_grad()
    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return actions for one observation or a batch, as Stable-Baselines3's ``predict`` does.

        Args:
            observation: Array of the space's shape, or with a batch axis in front; a dict of such.
            state: Memory of the policy.
            episode_start: True where an episode starts; its memory is discarded.
            deterministic: Return the most likely action, or draw one.

        Returns:
            The action, or a batch of them, within the bounds of the action space; and the memory.
        """
        if self.training:
            self.eval()
        arrays = tree_map(np.asarray, observation)
        is_batch = self._is_batch(arrays)
        seen = tree_map(
            lambda values: torch.as_tensor(values if is_batch else values[None], device=self.device), arrays
        )
        memory = None if episode_start is not None and np.all(episode_start) else state
        chosen, memory = self.predict_action(seen, memory, deterministic=deterministic)
        actions: Array = chosen.cpu().numpy()
        if isinstance(self.action_space, gym.spaces.Box):
            actions = np.clip(actions, self.action_space.low, self.action_space.high)
        return (actions if is_batch else actions[0]), memory

    def _is_batch(self, observation: Observation) -> bool:
        """Return True if an observation has a batch axis in front."""
        space = self.observation_space
        name, values = next(iter(tree_leaves(observation)))
        for key in name.split("/") if name else ():
            space = space[key]  # type: ignore[index]  # a Dict
        expected = space.shape or ()
        if values.shape == expected:
            return False
        if values.shape[1:] == expected:
            return True
        raise ValueError(
            f"observation {name or 'array'} has shape {values.shape}; expected {expected}, or "
            f"(N, {', '.join(map(str, expected))})"
        )

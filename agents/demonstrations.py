"""Demonstrations as learners take them: transitions in tensors, of an agent's own spaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import torch

from agents.storage import brief
from demos.episode import episodes_of, mapped


@dataclass(frozen=True)
class Transitions:
    """Steps of episodes, one after the other.

    Attributes:
        observations: Before each action; shape (N, ...), or a dict of such.
        actions: Shape (N, ...).
    """

    observations: Any
    actions: torch.Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.actions)

    def __getitem__(self, rows: Any) -> Transitions:
        """Returns some of them."""
        return Transitions(mapped(lambda values: values[rows], self.observations), self.actions[rows])

    def to(self, device: torch.device) -> Transitions:
        """Returns them on a device."""
        return Transitions(mapped(lambda values: values.to(device), self.observations), self.actions.to(device))


def transitions(
    demonstrations: minari.MinariDataset,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
    indices: Iterable[int] | None = None,
) -> Transitions:
    """Reads demonstrations.

    Args:
        demonstrations: Any dataset.
        observation_space: Of the agent.
        action_space: Of the agent.
        indices: Numbers of the episodes; by default all.

    Raises:
        ValueError: The dataset has other spaces.
    """
    for what, found, own in (
        ("observation", demonstrations.observation_space, observation_space),
        ("action", demonstrations.action_space, action_space),
    ):
        if found != own:
            raise ValueError(
                f"dataset {demonstrations.id} has {what}s of {brief(str(found))}; "
                f"this agent's environment has {brief(str(own))}"
            )
    episodes = list(episodes_of(demonstrations, indices))
    return Transitions(
        _joined([mapped(lambda values: values[:-1], episode.observations) for episode in episodes]),
        _joined([episode.actions for episode in episodes]),
    )


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return torch.from_numpy(np.concatenate(parts))

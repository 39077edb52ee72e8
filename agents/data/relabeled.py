"""Demonstrations whose actions are replaced by inferred ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from agents.data.demonstrations import DemonstrationData, Transitions
from agents.data.sequences import Sequences, Steps
from agents.types import Array
from demos.datasets.episode import Episode


class RelabeledDemonstrations(DemonstrationData):
    """Demonstrations with replaced actions. Observations of large datasets stay in their files.

    Id, checksum and statistics are those of the original demonstrations.

    Args:
        data: Demonstrations.
        actions: Action of each step of all episodes, in order, shape (steps, ...).
    """

    def __init__(self, data: DemonstrationData, actions: Array) -> None:
        vars(self).update(vars(data))
        if len(actions) != data.total_steps:
            raise ValueError(f"there are {len(actions)} actions; expected the {data.total_steps} of {data.id}")
        self._actions = torch.from_numpy(actions)

    def transitions(self, numbers: Iterable[int] | None = None, idle_steps: int | None = None) -> Transitions:
        """Return the steps of episodes with their new actions; see the base class."""
        selected = self._selected(numbers)
        rows = torch.from_numpy(self._steps(selected, idle_steps).rows)
        return Transitions(super().transitions(selected, idle_steps).observations, self._actions[rows])

    def iterate_episodes(self, numbers: Iterable[int] | None = None) -> Iterator[Episode]:
        """Yield episodes with their new actions; see the base class."""
        selected = self._selected(numbers)
        for number, episode in zip(selected, super().iterate_episodes(selected), strict=True):
            rows = torch.from_numpy(Steps.of(self._lengths, [number]).rows)
            yield replace(episode, actions=self._actions[rows].numpy(), digest=None)

    def sequences(
        self,
        obs_horizon: int = 1,
        action_horizon: int = 1,
        past_actions: int = 0,
        numbers: Iterable[int] | None = None,
        idle_steps: int | None = None,
    ) -> Sequences:
        """Raise an error: only single steps are relabeled."""
        raise ValueError(
            "demonstrations with inferred actions have no sequences: use an agent that learns from single steps"
        )

"""Labels of an expert: observations of whole episodes, and the action that the expert would take at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from agents.data.demonstrations import DemonstrationData, Transitions, concatenate_transitions
from agents.data.sequences import Sequences, Steps
from agents.types import State
from demos.datasets.statistics import Statistics, array_statistics
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction


@dataclass(frozen=True)
class Labels:
    """Labeled steps of episodes, one after the other.

    Attributes:
        steps: Observations, and actions of the expert, of all N steps.
        lengths: Number of steps of each episode.
    """

    steps: Transitions
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, data: DemonstrationData, episodes: Sequence[int]) -> Labels:
        """Return the steps of demonstrations, whose actions are labels already."""
        return cls(data.transitions(episodes), tuple(data.episodes[number].length for number in episodes))

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.steps)

    def __add__(self, others: Labels) -> Labels:
        """Return these labels and others after them; all of them are in memory then."""
        return Labels(concatenate_transitions([self.steps, others.steps]), self.lengths + others.lengths)

    def sequences(self, obs_horizon: int, action_horizon: int, past_actions: int) -> Sequences:
        """Return windows around the steps; see :meth:`agents.data.demonstrations.DemonstrationData.sequences`."""
        steps = self.steps[:]
        where = Steps.of(self.lengths, range(len(self.lengths)))
        return Sequences((steps.observations, steps.actions), where, obs_horizon, action_horizon, past_actions)

    def statistics(self) -> dict[str, Statistics]:
        """Return the statistics of observations and actions, by the names of :func:`demos.statistics`."""
        actions = array_statistics(self.steps.actions.numpy())["observation"]
        return {**array_statistics(self.steps[:].observations), "action": actions}

    def instructions(self) -> list[str]:
        """Return the instruction of each episode; none where observations have no instruction."""
        observations = self.steps[:].observations
        if not (isinstance(observations, dict) and INSTRUCTION_KEY in observations):
            return []
        first = torch.tensor((0, *self.lengths[:-1])).cumsum(dim=0)
        return [decode_instruction(encoded.numpy()) for encoded in observations[INSTRUCTION_KEY][first]]

    def state(self) -> State:
        """Return the labels for a checkpoint."""
        return {**vars(self.steps[:]), "lengths": list(self.lengths)}

    @classmethod
    def from_state(cls, state: State) -> Labels:
        """Return the labels of :meth:`state`."""
        return cls(Transitions(state["observations"], state["actions"]), tuple(state["lengths"]))

"""Labels of an expert: observations of episodes, and the action that the expert would take at each.

Labels of rollouts are in memory. Demonstrations that are mapped stay in their files, where they are labels already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import torch

from agents.data.demonstrations import DemonstrationData, Transitions, concatenate_transitions
from agents.data.joined import JoinedExamples
from agents.data.sequences import Sequences, Steps
from agents.training.loop import Examples
from agents.types import State
from demos.datasets.statistics import StatisticsSums
from lam_envs.observation.instructions import INSTRUCTION_KEY, decode_instruction


class LabeledSteps(Protocol):
    """Labeled steps of episodes, one after the other, in memory or in files."""

    def __len__(self) -> int:
        """Return the number of labels."""
        ...

    def transitions(self) -> Examples:
        """Return the labeled steps; minibatches are :class:`Transitions`."""
        ...

    def sequences(self, obs_horizon: int, action_horizon: int, past_actions: int) -> Examples:
        """Return windows around the labels; see :meth:`agents.data.demonstrations.DemonstrationData.sequences`."""
        ...

    def statistics_sums(self) -> StatisticsSums:
        """Return the sums that the statistics of observations and labels follow from."""
        ...

    def instructions(self) -> list[str]:
        """Return the instruction of each episode; none where observations have no instruction."""
        ...


@dataclass(frozen=True)
class Labels:
    """Labels in memory.

    Attributes:
        steps: Observations and actions of all N steps, one episode after the other.
        lengths: Number of steps of each episode.
        labeled: True for steps whose action is a label, shape (N,); None if all are. The other steps are the history
            of policies that see several observations.
    """

    steps: Transitions
    lengths: tuple[int, ...]
    labeled: torch.Tensor | None = None

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.steps) if self.labeled is None else int(self.labeled.sum())

    def __add__(self, others: Labels) -> Labels:
        """Return these labels and others after them."""
        labeled = None
        if not (self.labeled is None and others.labeled is None):
            labeled = torch.cat([self._mask(), others._mask()])
        return Labels(concatenate_transitions([self.steps, others.steps]), self.lengths + others.lengths, labeled)

    def _mask(self) -> torch.Tensor:
        return torch.ones(len(self.steps), dtype=torch.bool) if self.labeled is None else self.labeled

    def without_history(self) -> Labels:
        """Return the labels without the other steps, for policies that see one observation."""
        each = torch.split(self._mask(), list(self.lengths))
        return Labels(self.transitions(), tuple(int(episode.sum()) for episode in each))

    def transitions(self) -> Transitions:
        """Return the labeled steps."""
        return self.steps if self.labeled is None else self.steps[self.labeled]

    def sequences(self, obs_horizon: int, action_horizon: int, past_actions: int) -> Sequences:
        """Return windows around the labels; actions that are no labels are padding."""
        where = Steps.of(self.lengths, range(len(self.lengths)))
        labeled = None if self.labeled is None else self.labeled.numpy()
        return Sequences(
            (self.steps.observations, self.steps.actions),
            where if labeled is None else where[labeled],
            obs_horizon,
            action_horizon,
            past_actions,
            labeled,
        )

    def statistics_sums(self) -> StatisticsSums:
        """Return the sums of the labeled steps."""
        sums = StatisticsSums()
        if len(self):
            steps = self.transitions()
            sums.add_steps(steps.observations, steps.actions.numpy())
        return sums

    def instructions(self) -> list[str]:
        """Return the instruction of each episode; none where observations have no instruction."""
        observations = self.steps.observations
        if not (isinstance(observations, dict) and INSTRUCTION_KEY in observations):
            return []
        first = [
            number for number, length in zip(accumulate((0, *self.lengths)), self.lengths, strict=False) if length
        ]
        return [decode_instruction(encoded.numpy()) for encoded in observations[INSTRUCTION_KEY][first]]

    def state(self) -> State:
        """Return the labels for a checkpoint."""
        return {**vars(self.steps), "lengths": list(self.lengths), "labeled": self.labeled}

    @classmethod
    def from_state(cls, state: State) -> Labels:
        """Return the labels of :meth:`state`."""
        steps = Transitions(state["observations"], state["actions"])
        return cls(steps, tuple(state["lengths"]), state.get("labeled"))


@dataclass(frozen=True)
class MappedDemonstrations:
    """Demonstrations that are read from their files when a minibatch needs them.

    Attributes:
        data: Demonstrations.
        numbers: Numbers of the episodes to learn from.
    """

    data: DemonstrationData
    numbers: tuple[int, ...]

    @property
    def _lengths(self) -> list[int]:
        return [self.data.episodes[number].length for number in self.numbers]

    def __len__(self) -> int:
        """Return the number of steps."""
        return sum(self._lengths)

    def transitions(self) -> Transitions:
        """Return the steps, whose observations are read when they are indexed."""
        return self.data.transitions(self.numbers)

    def sequences(self, obs_horizon: int, action_horizon: int, past_actions: int) -> Sequences:
        """Return windows around the steps, which are read when they are indexed."""
        return self.data.sequences(obs_horizon, action_horizon, past_actions, self.numbers)

    def statistics_sums(self) -> StatisticsSums:
        """Return the sums of the steps; the first call reads the files, one episode at a time."""
        return self._sums

    @cached_property
    def _sums(self) -> StatisticsSums:
        sums, steps, end = StatisticsSums(), self.transitions(), 0
        for length in self._lengths:
            read = steps[end : end + length]
            sums.add_steps(read.observations, read.actions.numpy())
            end += length
        return sums

    def instructions(self) -> list[str]:
        """Return the recorded instructions."""
        found = (self.data.episodes[number].instruction for number in self.numbers)
        return [instruction for instruction in found if instruction]


@dataclass(frozen=True)
class JoinedLabels:
    """Labeled steps of several sources, one after the other, each where it is.

    Attributes:
        parts: Sources.
    """

    parts: tuple[LabeledSteps, ...]

    def __len__(self) -> int:
        """Return the number of labels."""
        return sum(len(part) for part in self.parts)

    def transitions(self) -> JoinedExamples:
        """Return the labeled steps."""
        return JoinedExamples([part.transitions() for part in self.parts])

    def sequences(self, obs_horizon: int, action_horizon: int, past_actions: int) -> JoinedExamples:
        """Return windows around the labels. Episodes are numbered within each source."""
        return JoinedExamples([part.sequences(obs_horizon, action_horizon, past_actions) for part in self.parts])

    def statistics_sums(self) -> StatisticsSums:
        """Return the sums of all labeled steps."""
        sums = StatisticsSums()
        for part in self.parts:
            sums.merge(part.statistics_sums())
        return sums

    def instructions(self) -> list[str]:
        """Return the instruction of each episode; none where observations have no instruction."""
        return [instruction for part in self.parts for instruction in part.instructions()]


def demonstrated(data: DemonstrationData, numbers: Sequence[int]) -> LabeledSteps:
    """Return the steps of demonstrations, whose actions are labels already.

    Args:
        data: Demonstrations; those that are not in memory stay in their files.
        numbers: Numbers of the episodes.
    """
    if not data.is_in_memory:
        return MappedDemonstrations(data, tuple(numbers))
    return Labels(data.transitions(numbers), tuple(data.episodes[number].length for number in numbers))


def joined(first: LabeledSteps, second: LabeledSteps) -> LabeledSteps:
    """Return labeled steps, one after the other: concatenated if both are in memory, else each where it is."""
    if isinstance(first, Labels) and isinstance(second, Labels):
        return first + second
    return JoinedLabels((first, second))

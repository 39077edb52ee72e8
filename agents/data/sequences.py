"""Windows of demonstrations for policies that remember and plan: histories of observations, chunks of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from agents.types import Tensors
from demos.datasets.tree import tree_map
from demos.datasets.windows import Windows

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SequenceBatch:
    """Minibatch of N windows with H observations and A actions each.

    Attributes:
        observations: Observations up to the step, shape (N, H, ...); a dict of such.
        observation_is_pad: Shape (N, H): True where the first observation is repeated before the start.
        actions: Actions, shape (N, A, ...).
        action_is_pad: Shape (N, A): True where an action is repeated outside the episode, or is not to be learned.
        episodes: Number of the episode of each window, shape (N,).
    """

    observations: Tensors
    observation_is_pad: torch.Tensor
    actions: torch.Tensor
    action_is_pad: torch.Tensor
    episodes: torch.Tensor

    def __len__(self) -> int:
        """Return the number of windows, N."""
        return len(self.actions)

    def to(self, device: torch.device) -> SequenceBatch:
        """Return the windows, with the same shapes, on a device."""
        return SequenceBatch(*(tree_map(lambda values: values.to(device), part) for part in vars(self).values()))


@dataclass(frozen=True)
class Steps:
    """Position of the step of each window.

    Attributes:
        rows: Number of the step in the data, counted through all episodes, shape (N,).
        starts: Number of the first step of its episode, shape (N,).
        ends: Number after the last step of its episode, shape (N,).
        episodes: Number of its episode, shape (N,).
    """

    rows: Rows
    starts: Rows
    ends: Rows
    episodes: Rows

    @classmethod
    def of(cls, lengths: Sequence[int], numbers: Sequence[int]) -> Steps:
        """Return the steps of episodes.

        Args:
            lengths: Length of every episode in the data.
            numbers: Numbers of the episodes to use.
        """
        borders = np.cumsum([0, *lengths])
        episodes = np.repeat(np.asarray(numbers, dtype=np.int64), [lengths[number] for number in numbers])
        parts = [np.arange(borders[number], borders[number + 1]) for number in numbers]
        return cls(np.concatenate(parts), borders[episodes], borders[episodes + 1], episodes)

    def until(self, lengths: Sequence[int]) -> Steps:
        """Return the positions of the first steps of each episode.

        Args:
            lengths: Number of steps to return of every episode in the data.
        """
        return self[self.rows - self.starts < np.asarray(lengths)[self.episodes]]

    def __getitem__(self, rows: Any) -> Steps:
        """Return the positions of some windows."""
        return Steps(*(part[rows] for part in vars(self).values()))


class Sequences:
    """Windows around the steps of demonstrations. Indexing gives a :class:`SequenceBatch`.

    Window ``i`` belongs to step t of an episode: ``obs_horizon`` observations up to t, and the actions from
    ``t - past_actions`` to ``t + action_horizon - 1``. Outside the episode the first or last one is repeated and
    marked as padding.

    Args:
        source: All observations and actions in memory, shapes (steps, ...), or windows of each dataset.
        steps: Step of each window.
        obs_horizon: Number of observations.
        action_horizon: Number of actions from the step on.
        past_actions: Number of actions before the step.
        labeled: True for steps whose action is to be learned, shape (steps,); the actions of others are marked as
            padding. None for all.
    """

    def __init__(
        self,
        source: tuple[Tensors, torch.Tensor] | Sequence[Windows],
        steps: Steps,
        obs_horizon: int,
        action_horizon: int,
        past_actions: int,
        labeled: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self._source = source
        self._steps = steps
        self._labeled = labeled
        self._observed = np.arange(1 - obs_horizon, 1)
        self._acted = np.arange(-past_actions, action_horizon)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._steps.rows)

    def __getitem__(self, rows: Any) -> SequenceBatch:
        """Return some windows: N windows for a slice or for N indices."""
        steps = self._steps[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        observed = steps.rows[:, None] + self._observed
        acted = steps.rows[:, None] + self._acted
        starts, ends = steps.starts[:, None], steps.ends[:, None]
        if isinstance(self._source, tuple):
            held, held_actions = self._source
            before = torch.from_numpy(np.maximum(observed, starts))
            observations = tree_map(lambda values: values[before], held)
            actions = held_actions[torch.from_numpy(np.clip(acted, starts, ends - 1))]
        else:
            observations, actions = read_windows(self._source, steps.rows)
        is_pad = (acted < starts) | (acted >= ends)
        if self._labeled is not None:
            is_pad |= ~self._labeled[np.clip(acted, starts, ends - 1)]
        return SequenceBatch(
            observations,
            torch.from_numpy(observed < starts),
            actions,
            torch.from_numpy(is_pad),
            torch.from_numpy(steps.episodes),
        )


def read_windows(windows: Sequence[Windows], rows: Rows) -> tuple[Tensors, torch.Tensor]:
    """Read windows of several datasets from their files.

    Args:
        windows: Windows of each dataset.
        rows: Numbers of windows, counted through all datasets, shape (N,).

    Returns:
        Observations of shape (N, H, ...), or a dict of such, and actions of shape (N, A, ...).
    """
    starts = np.cumsum([0, *(len(each) for each in windows)])
    dataset_numbers = np.searchsorted(starts, rows, side="right") - 1
    observations, actions, order = [], [], []
    for number in np.unique(dataset_numbers):
        positions = np.flatnonzero(dataset_numbers == number)
        read = windows[number][rows[positions] - starts[number]]
        observations.append(tree_map(torch.from_numpy, read["observation"]))
        actions.append(torch.from_numpy(read["action"]))
        order.append(positions)
    inverse_order = torch.from_numpy(np.argsort(np.concatenate(order)))
    arranged: Tensors = tree_map(lambda values: values[inverse_order], concatenate(observations))
    return arranged, torch.cat(actions)[inverse_order]


def concatenate(parts: Sequence[Any]) -> Any:
    """Return tensors of shapes (N_i, ...), or dicts of such, one after the other: shape (sum of N_i, ...)."""
    if isinstance(parts[0], dict):
        return {name: concatenate([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(list(parts))

"""Demonstrations as learners take them: transitions in tensors, of an agent's own spaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import torch

from agents.saving.storage import brief
from demos.datasets.dataset import environment_rate, rate_of
from demos.datasets.episode import episodes_of, tree_map


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
        return Transitions(tree_map(lambda values: values[rows], self.observations), self.actions[rows])

    def to(self, device: torch.device) -> Transitions:
        """Returns them on a device."""
        return Transitions(tree_map(lambda values: values.to(device), self.observations), self.actions.to(device))


AXES = ("x", "y", "z")


def feature_indices(names: Sequence[str], env: gym.Env[Any, Any]) -> list[int]:
    """Returns where features stand in an observation that is one array.

    Args:
        names: Of features, such as ``object/rotation``, or of one number of a vector, such as ``tool/position/x``.
        env: Of ours.

    Raises:
        ValueError: There is no such feature, or observations are no single array; names what there is.
    """
    layout: Any = getattr(env.unwrapped, "layout", None)
    if names and (layout is None or not isinstance(env.observation_space, gym.spaces.Box)):
        raise ValueError(f'features {", ".join(names)} have no place here: only obs="state" of lam_envs has names')
    places: list[int] = []
    for name in names:
        whole, _, axis = name.rpartition("/")
        if name in layout:
            places += range(layout[name].slice.start, layout[name].slice.stop)
        elif axis in AXES and whole in layout and layout[whole].slice.stop - layout[whole].slice.start == len(AXES):
            places.append(layout[whole].slice.start + AXES.index(axis))
        else:
            raise ValueError(f"there is no feature {name!r}; expected one of {', '.join(layout)}, or NAME/x, /y, /z")
    return places


def joined(parts: Sequence[Transitions]) -> Transitions:
    """Returns transitions, one after the other."""
    return Transitions(_joined([part.observations for part in parts]), torch.cat([part.actions for part in parts]))


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
        ValueError: The dataset has other spaces or another rate.
    """
    check_spaces(demonstrations, observation_space, action_space)
    episodes = list(episodes_of(demonstrations, indices))
    return Transitions(
        _joined(
            [tree_map(lambda values: torch.from_numpy(values[:-1]), episode.observations) for episode in episodes]
        ),
        torch.from_numpy(np.concatenate([episode.actions for episode in episodes])),
    )


def check_spaces(
    demonstrations: minari.MinariDataset, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> None:
    """Refuses demonstrations of other spaces, or of another rate than that of the environment they come from.

    Raises:
        ValueError: They are.
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
    rate, played = rate_of(demonstrations), environment_rate(demonstrations)
    if rate is not None and played is not None and rate != played:
        raise ValueError(
            f"dataset {demonstrations.id} has {rate:g} steps per second and its environment has {played:g}: its "
            "actions do not fit. Learn from the dataset before it was resampled"
        )


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return torch.cat(parts)

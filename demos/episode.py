"""One recorded episode: its parts, how two compare, and how datasets hold it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import minari
import numpy as np
import numpy.typing as npt
from minari.data_collector import EpisodeBuffer

STATE = "state"
"""Name of the info that holds the simulator's state at each moment."""
EXECUTED = "executed_action"
"""Name of the info that holds what was executed where the recorded action is only its label."""
QUALITY, STRATEGY = "quality", "strategy"
NOTES = (QUALITY, STRATEGY, EXECUTED)
"""Names of the infos that a collection adds: numbers of the plan's ``qualities`` and ``strategies``."""
SUCCESS = ("is_success", "success")
"""Infos that say whether an episode succeeded, ours and others'."""


@dataclass(frozen=True)
class Episode:
    """One episode of T steps.

    Attributes:
        seed: What ``reset`` was given; None where nobody knows.
        observations: T + 1 observations, stacked; a dict of stacks for dict spaces.
        actions: Shape (T, ...).
        rewards: Shape (T,).
        terminations: Shape (T,).
        truncations: Shape (T,).
        infos: T + 1 values of each info, and of the simulator's state; a dict of such for a dict.
    """

    seed: int | None
    observations: Any
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: dict[str, Any]

    def __len__(self) -> int:
        """Steps."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """Sum of the rewards."""
        return float(np.sum(self.rewards))

    @property
    def success(self) -> bool | None:
        """Whether it succeeded at its end; None if its environment does not say."""
        for name in SUCCESS:
            flags = self.infos.get(name)
            # Somebody else may call a dict or a vector so.
            if flags is not None and not isinstance(flags, dict) and np.ndim(flags) == 1:
                return bool(flags[-1])
        return None

    @property
    def executed_actions(self) -> Any:
        """What the environment was given: the actions, or where these are only labels, the info."""
        return self.infos[EXECUTED][1:] if EXECUTED in self.infos else self.actions

    def differs_from(self, other: Episode) -> str | None:
        """Returns the name of the first part that is not bit-identical to another episode's, or None."""
        for name in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            if not identical(getattr(self, name), getattr(other, name)):
                return name
        return None

    def buffer(self) -> EpisodeBuffer:
        """The same for Minari."""
        return EpisodeBuffer(
            seed=self.seed,
            observations=self.observations,
            actions=self.actions,
            rewards=self.rewards.tolist(),
            terminations=self.terminations.tolist(),
            truncations=self.truncations.tolist(),
            infos=self.infos,
        )


def episodes_of(dataset: minari.MinariDataset, indices: Iterable[int] | None = None) -> Iterator[Episode]:
    """Reads episodes of a dataset, one at a time.

    Args:
        dataset: Any dataset of Minari.
        indices: Which, by their numbers in the file; by default those of the dataset, in its order.
    """
    chosen = [int(index) for index in (dataset.episode_indices if indices is None else indices)]
    storage = dataset.storage
    for metadata, parts in zip(storage.get_episode_metadata(chosen), storage.get_episodes(chosen), strict=True):
        yield Episode(
            seed=metadata.get("seed"),
            observations=parts["observations"],
            actions=parts["actions"],
            rewards=parts["rewards"],
            terminations=parts["terminations"],
            truncations=parts["truncations"],
            infos=parts["infos"] or {},
        )


def mapped(function: Any, part: Any) -> Any:
    """Applies a function to every array of a part, which is one or a dict of such."""
    if isinstance(part, dict):
        return {name: mapped(function, inner) for name, inner in part.items()}
    return function(part)


def leaves(part: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every array of a part, which is one or a dict of such, with its way from it: ``wrist/rgb``."""
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from leaves(inner, f"{name}/{key}" if name else key)
    else:
        yield name, part


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Returns a dict of dicts of what stands under ways such as ``wrist/rgb``: the inverse of :func:`leaves`."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split("/")
        inner = result
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return result


def identical(left: Any, right: Any) -> bool:
    """Whether two parts are the same, bit for bit: types, shapes, values."""
    if isinstance(left, dict) or isinstance(right, dict):
        return (
            isinstance(left, dict)
            and isinstance(right, dict)
            and left.keys() == right.keys()
            and all(identical(left[name], right[name]) for name in left)
        )
    a, b = np.asarray(left), np.asarray(right)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

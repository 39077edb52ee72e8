"""One recorded episode: its parts, and how it compares with another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from minari.data_collector import EpisodeBuffer

from demos.datasets.tree import identical

DIGEST = "sha256"
"""Name of the attribute of an episode that holds its digest."""
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
        options: Options that ``reset`` was given; None if none are recorded.
        digest: SHA-256 that the episode is signed with; None if it is not signed.
    """

    seed: int | None
    observations: Any
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: dict[str, Any]
    options: dict[str, Any] | None = None
    digest: str | None = None

    def __len__(self) -> int:
        """Steps."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """Sum of the rewards."""
        return float(np.sum(self.rewards))

    @property
    def success_flags(self) -> npt.NDArray[Any] | None:
        """Success at each moment, shape (T + 1,); None if it is not recorded."""
        for name in SUCCESS:
            flags = self.infos.get(name)
            # Somebody else may call a dict or a vector so.
            if flags is not None and not isinstance(flags, dict) and np.ndim(flags) == 1:
                return np.asarray(flags)
        return None

    @property
    def success(self) -> bool | None:
        """Success at the end; None if it is not recorded."""
        flags = self.success_flags
        return None if flags is None else bool(flags[-1])

    @property
    def executed_actions(self) -> Any:
        """What the environment was given: the actions, or where these are only labels, the info."""
        return self.infos[EXECUTED][1:] if EXECUTED in self.infos else self.actions

    def differs_from(self, other: Episode) -> str | None:
        """Return the name of the first part that is not bit-identical to another episode's, or None."""
        for name in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            if not identical(getattr(self, name), getattr(other, name)):
                return name
        return None

    def buffer(self) -> EpisodeBuffer:
        """The same for Minari."""
        return EpisodeBuffer(
            seed=self.seed,
            options=self.options,
            observations=self.observations,
            actions=self.actions,
            rewards=self.rewards.tolist(),
            terminations=self.terminations.tolist(),
            truncations=self.truncations.tolist(),
            infos=self.infos,
        )

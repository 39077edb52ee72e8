"""One recorded episode: its parts, and how it compares with another."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from minari.data_collector import EpisodeBuffer

from demos.datasets.tree import identical
from demos.runtime.types import Array, Info, Keywords
from lam_envs.observation.instructions import decode_instruction

DIGEST = "sha256"
"""Attribute of an episode that holds its digest."""
INSTRUCTION = "instruction"
"""Attribute of an episode that holds its instruction as text; name of the info and of the reset option, too."""
STATE = "state"
"""Info that holds the simulator's state at each step."""
EXECUTED = "executed_action"
"""Info that holds the executed action where the recorded action is only a label."""
QUALITY, STRATEGY = "quality", "strategy"
KEPT_DEVIATION, PATH_DISTANCE = "kept_deviation", "path_distance"
"""Infos of demonstrations that imitate a person: the fraction of the person's deviation from straight lines that was
kept, and the distance from their path, meters."""
INTERVENTION = "intervention"
"""Info of episodes that a person drove: True where the person, and not a policy, chose the action."""
NOTES = (QUALITY, STRATEGY, EXECUTED, KEPT_DEVIATION, PATH_DISTANCE, INTERVENTION)
"""Infos that a collection adds; the first two index the plan's ``qualities`` (demonstrators) and ``strategies``."""
SUCCESS = ("is_success", "success")
"""Infos that record success, in our environments and in others."""


@dataclass(frozen=True)
class Episode:
    """Episode of T steps.

    Attributes:
        seed: Seed of ``reset``; None if unknown.
        observations: T + 1 stacked observations; a dict of arrays for dict spaces.
        actions: Actions, shape (T, ...).
        rewards: Rewards, shape (T,).
        terminations: Flags, shape (T,).
        truncations: Flags, shape (T,).
        infos: T + 1 values of each info and of the simulator's state; nested dicts for dicts.
        options: Options of ``reset``; None if none are recorded.
        digest: Stored SHA-256 of the episode; None if none is stored.
        instruction: Instruction at the reset as text; None if none is recorded.
    """

    seed: int | None
    observations: Any
    actions: Array
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: Info
    options: Keywords | None = None
    digest: str | None = None
    instruction: str | None = None

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """Sum of the rewards."""
        return float(np.sum(self.rewards))

    @property
    def success_flags(self) -> Array | None:
        """Success at the reset and at each step, shape (T + 1,); None if it is not recorded."""
        for name in SUCCESS:
            flags = self.infos.get(name)
            # In third-party datasets, an info of this name may be a dict or a vector.
            if flags is not None and not isinstance(flags, dict) and np.ndim(flags) == 1:
                return np.asarray(flags)
        return None

    @property
    def success(self) -> bool | None:
        """Success at the end; None if it is not recorded."""
        flags = self.success_flags
        return None if flags is None else bool(flags[-1])

    @property
    def executed_actions(self) -> Array:
        """Actions that the environment executed, which may differ from the recorded labels."""
        return self.infos[EXECUTED][1:] if EXECUTED in self.infos else self.actions

    def differs_from(self, other: Episode) -> str | None:
        """Return the name of the first part that is not bit-identical to another episode's, or None."""
        for name in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            if not identical(getattr(self, name), getattr(other, name)):
                return name
        return None

    def attributes(self) -> dict[str, object]:
        """Return the attributes of the episode in a file that Minari does not know."""
        return {} if self.instruction is None else {INSTRUCTION: self.instruction}

    def to_buffer(self) -> EpisodeBuffer:
        """Return the episode as a buffer of Minari."""
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


def instruction_in(info: Info) -> str | None:
    """Return the instruction in an info, as text, UTF-8 or the bytes of our environments; None without one."""
    value = info.get(INSTRUCTION)
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        # HDF5 files return texts in arrays as UTF-8.
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 1:
        with contextlib.suppress(ValueError):
            return decode_instruction(value) or None
    return None

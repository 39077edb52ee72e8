"""Re-execute recorded actions and see whether the same episodes come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import minari
from rich.progress import track

from demos.dataset import episode_seeds, make_env
from demos.recording import Episode, record, replayed


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        episodes: How many were replayed.
        differences: Number of the episode and the first part that was not bit-identical.
        successes: How many replayed episodes ended in success.
    """

    episodes: int
    differences: tuple[tuple[int, str], ...]
    successes: int

    @property
    def identical(self) -> int:
        """How many episodes came out bit-identical."""
        return self.episodes - len(self.differences)


def recorded_episodes(dataset: minari.MinariDataset) -> list[Episode]:
    """Reads every episode of a dataset with its seed."""
    return [
        Episode(
            seed=seed,
            observations=data.observations,
            actions=data.actions,
            rewards=data.rewards,
            terminations=data.terminations,
            truncations=data.truncations,
            infos=data.infos,
        )
        for seed, data in zip(episode_seeds(dataset), dataset.iterate_episodes(), strict=True)
    ]


def replay(dataset: minari.MinariDataset, *, progress: bool = False) -> ReplayReport:
    """Replays every episode in a fresh environment and compares everything that was recorded.

    Args:
        dataset: A dataset of :func:`demos.collect`.
        progress: Show a bar.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or has no seeds.
    """
    differences: list[tuple[int, str]] = []
    successes = 0
    episodes = recorded_episodes(dataset)
    env = make_env(dataset)
    try:
        numbered: Any = track(list(enumerate(episodes)), "replaying", disable=not progress)
        for number, episode in numbered:
            again = record(env, replayed(env, episode.actions, episode.seed), episode.seed)
            successes += bool(again.infos["is_success"][-1])
            difference = episode.differs_from(again)
            if difference is not None:
                differences.append((number, difference))
    finally:
        env.close()
    return ReplayReport(len(episodes), tuple(differences), successes)

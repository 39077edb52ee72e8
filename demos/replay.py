"""Re-execute recorded actions and see whether the same episodes come out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import minari
from rich.progress import track

from demos.dataset import episode_seeds, make_env
from demos.recording import Episode, executed_actions, record, replayed
from demos.shards import NOTES


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
            given = executed_actions(episode.actions, episode.infos)
            again = record(env, replayed(env, given, episode.seed), episode.seed)
            again = replace(again, actions=episode.actions, infos=_with_notes(again.infos, episode.infos))
            successes += bool(again.infos["is_success"][-1])
            difference = episode.differs_from(again)
            if difference is not None:
                differences.append((number, difference))
    finally:
        env.close()
    return ReplayReport(len(episodes), tuple(differences), successes)


def _with_notes(infos: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """Adds what the collection noted, which the environment does not tell."""
    return {**infos, **{name: recorded[name] for name in NOTES if name in recorded}}

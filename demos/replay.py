"""Re-execute demonstrations: their actions give the same episodes, their states the same success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import minari
from rich.progress import track

from demos.dataset import changes_of, episode_seeds, make_env
from demos.episode import NOTES, STATE, SUCCESS, Episode, episodes_of
from demos.recording import commanded, record, replayed

HELD_STEPS = 3
"""For how long the end of an episode is held before it is judged anew, 0.15 s."""


@dataclass(frozen=True)
class ReplayReport:
    """What a replay by actions found.

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


@dataclass(frozen=True)
class StatesReport:
    """What a replay by states found.

    Attributes:
        episodes: How many were replayed.
        differences: Numbers of the episodes that end with another success than was recorded.
        successes: How many replayed episodes ended in success.
        moments: How many states were set.
        moments_alike: How many of them, just set, are judged as they were recorded.
    """

    episodes: int
    differences: tuple[int, ...]
    successes: int
    moments: int
    moments_alike: int

    @property
    def alike(self) -> int:
        """How many episodes ended with the success that was recorded."""
        return self.episodes - len(self.differences)


def replay(dataset: minari.MinariDataset, *, progress: bool = False) -> ReplayReport:
    """Replays the actions of every episode in a fresh environment and compares everything that was recorded.

    Args:
        dataset: A dataset of :func:`demos.collect`, or some of its episodes.
        progress: Show a bar.

    Raises:
        ValueError: The dataset names no environment of lam_envs, has no seeds, its episodes were changed since they
            were collected, or its pictures are stored as JPEG.
    """
    changed = changes_of(dataset)
    if changed:
        raise ValueError(
            f"the episodes of {dataset.id} were changed ({', '.join(changed)}): their actions no longer give them. "
            "Replay the states instead: python -m demos replay --states"
        )
    if dataset.storage.jpeg_encoding:
        raise ValueError(
            f"the pictures of {dataset.id} are stored as JPEG and are not what was seen: nothing is bit-identical. "
            "Replay the states instead: python -m demos replay --states"
        )
    differences: list[tuple[int, str]] = []
    successes = 0
    env = make_env(dataset)
    try:
        episode_seeds(dataset)
        for number, episode in _shown(dataset, progress=progress):
            difference, success = replayed_difference(env, episode)
            successes += success
            if difference is not None:
                differences.append((number, difference))
    finally:
        env.close()
    return ReplayReport(dataset.total_episodes, tuple(differences), successes)


def replayed_difference(env: gym.Env[Any, Any], episode: Episode) -> tuple[str | None, bool]:
    """Replays the actions of one episode.

    Args:
        env: What it was recorded in.
        episode: With a seed.

    Returns:
        The first part that is not bit-identical, or None; and whether the replayed episode ended in success.
    """
    assert episode.seed is not None  # noqa: S101  (what has none was refused)
    again = record(env, replayed(env, episode.executed_actions, episode.seed), episode.seed)
    # What the collection noted, the environment does not tell.
    noted = {name: episode.infos[name] for name in NOTES if name in episode.infos}
    again = replace(again, actions=episode.actions, infos={**again.infos, **noted})
    return episode.differs_from(again), bool(again.success)


def replay_states(dataset: minari.MinariDataset, *, progress: bool = False) -> StatesReport:
    """Sets every recorded state in a fresh environment and compares the success of each, and after the last one.

    At the end of an episode the robot keeps to what it was told for three steps more: a finger that only just touches
    what it holds is found to touch by a step, and not by setting a state.

    Args:
        dataset: A dataset of :func:`demos.collect`, changed since or not.
        progress: Show a bar.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or holds no states of it.
    """
    differences: list[int] = []
    successes = moments = alike = 0
    # Observed images would only take time.
    env = make_env(dataset, obs="state")
    inner: Any = env.unwrapped
    try:
        for number, episode in _shown(dataset, progress=progress):
            name = next((name for name in SUCCESS if name in episode.infos), None)
            if STATE not in episode.infos or name is None:
                raise ValueError(f"episode {number} of dataset {dataset.id} has no states, or says no success")
            recorded = [bool(flag) for flag in episode.infos[name]]
            for state, before in zip(episode.infos[STATE], recorded, strict=True):
                alike += inner.set_state(state)[1][name] == before
                moments += 1
            now = _held(inner)[name]
            successes += now
            if now != recorded[-1]:
                differences.append(number)
    finally:
        env.close()
    return StatesReport(dataset.total_episodes, tuple(differences), successes, moments, alike)


def _held(inner: Any) -> dict[str, Any]:
    """Lets the robot keep to what it was told for a few steps; returns the last info.

    What only just touches is found to touch by a step, not by setting a state, and the contact found anew may push
    what is held for another one: of 1,000 grasps 2 were at rest after the second step only.
    """
    info: dict[str, Any] = {}
    for _ in range(HELD_STEPS):
        features = inner.features()
        info = inner.step(inner.action_for(commanded(features), features))[-1]
    return info


def _shown(dataset: minari.MinariDataset, *, progress: bool) -> Iterator[tuple[int, Episode]]:
    """Yields each episode with its number, one at a time, and shows a bar."""
    numbered = zip(map(int, dataset.episode_indices), episodes_of(dataset), strict=True)
    yield from track(numbered, "replaying", total=dataset.total_episodes, disable=not progress)

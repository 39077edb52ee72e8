"""Re-execute demonstrations: their actions give the same episodes, their states the same success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from minari.dataset.minari_storage import is_image_space
from rich.progress import track

from demos.collection.recording import commanded, record, replayed
from demos.datasets.environment import make_env
from demos.datasets.episode import NOTES, STATE, SUCCESS, Episode
from demos.datasets.metadata import changes_of, episode_seeds, is_collected, plan_of, stores_jpeg
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from lam_envs.registration import is_ours

JUDGED = SUCCESS[0]
"""Info in which environments of lam_envs report success."""
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
        moments: How many states were set whose success was recorded.
        moments_alike: How many of them, just set, are judged as they were recorded.
        without_success: How many episodes do not record success: these are not compared.
    """

    episodes: int
    differences: tuple[int, ...]
    successes: int
    moments: int
    moments_alike: int
    without_success: int = 0

    @property
    def alike(self) -> int:
        """How many episodes ended with the success that was recorded."""
        return self.episodes - len(self.differences) - self.without_success


def replay(dataset: minari.MinariDataset, *, progress: bool = False) -> ReplayReport:
    """Replay the actions of every episode in a fresh environment and compares everything that was recorded.

    Images that are stored as JPEG have lost detail: they are not compared.

    Args:
        dataset: Any dataset of Minari that names a registered environment, or some of its episodes.
        progress: Show a bar.

    Raises:
        ValueError: The dataset names no registered environment or one of other actions, has no seeds, or its episodes
            were changed since they were collected.
    """
    changed = changes_of(dataset)
    if changed:
        raise ValueError(
            f"the episodes of {dataset.id} were changed ({', '.join(changed)}): their actions no longer give them. "
            "Replay the states instead: python -m demos replay --states"
        )
    differences: list[tuple[int, str]] = []
    successes = 0
    collected, jpeg = is_collected(dataset.storage.metadata), stores_jpeg(dataset)
    env = make_env(dataset)
    try:
        _check_actions(env, dataset)
        episode_seeds(dataset)
        for number, episode in _shown(dataset, progress=progress):
            difference, success = replayed_difference(env, episode, all_infos=collected, jpeg=jpeg)
            successes += success
            if difference is not None:
                differences.append((number, difference))
    finally:
        env.close()
    return ReplayReport(dataset.total_episodes, tuple(differences), successes)


def _check_actions(env: gym.Env[Any, Any], dataset: minari.MinariDataset) -> None:
    """Refuse to execute actions of another space, such as that of a wrapper around the environment.

    Raises:
        ValueError: The action spaces differ.
    """
    if env.action_space != dataset.action_space:
        raise ValueError(
            f"{plan_of(dataset)['env_id']} has actions of {env.action_space}, and {dataset.id} has those of "
            f"{dataset.action_space}: they cannot be executed in it"
        )


def replayed_difference(
    env: gym.Env[Any, Any], episode: Episode, *, all_infos: bool = True, jpeg: bool = False
) -> tuple[str | None, bool]:
    """Replay the actions of one episode.

    Args:
        env: What it was recorded in.
        episode: With a seed.
        all_infos: Whether the recorder saved every info, as :func:`demos.collect` does. Otherwise the infos that both
            have are compared, rewards as precisely as they were recorded, and an episode may have been cut off.
        jpeg: Whether images were stored as JPEG, and are not to be compared.

    Returns:
        The first part that is not bit-identical, or None; and whether the replayed episode ended in success.
    """
    assert episode.seed is not None  # noqa: S101  (what has none was refused)
    steps = replayed(env, episode.executed_actions, episode.seed, episode.options)
    again = record(env, steps, episode.seed)
    # What the collection noted, the environment does not tell.
    noted = {name: episode.infos[name] for name in NOTES if name in episode.infos}
    success = bool(again.success)
    again = replace(again, actions=episode.actions, infos={**again.infos, **noted})
    if jpeg:
        episode, again = (
            replace(one, observations=_without_images(one.observations, env.observation_space))
            for one in (episode, again)
        )
    if not all_infos:
        episode, again = _comparable(episode, again)
    return episode.differs_from(again), success


def _without_images(observations: Any, space: gym.Space[Any]) -> Any:
    """Return the observations without the parts that Minari takes for images."""
    if isinstance(observations, dict) and isinstance(space, gym.spaces.Dict):
        return {
            name: _without_images(part, space[name])
            for name, part in observations.items()
            if not is_image_space(space[name])
        }
    return {} if is_image_space(space) else observations


def _comparable(episode: Episode, again: Episode) -> tuple[Episode, Episode]:
    """Return the comparable parts of two episodes, of which a third party recorded the first."""
    recorded, given = dict(tree_leaves(episode.infos)), dict(tree_leaves(again.infos))
    both = [name for name in recorded if name in given]
    # The infos of the reset may not have been recorded.
    infos = {name: recorded[name][1:] for name in both}
    found = {name: np.asarray(given[name][1:], dtype=infos[name].dtype) for name in both}
    truncations = again.truncations
    if len(again) == len(episode) and not again.terminations[-1]:
        # A recorder may stop at any moment, which Minari's DataCollector calls a truncation.
        truncations = np.append(truncations[:-1], episode.truncations[-1])
    rewards = np.asarray(again.rewards, dtype=episode.rewards.dtype)
    return (
        replace(episode, infos=infos),
        replace(again, rewards=rewards, truncations=truncations, infos=found),
    )


def replay_states(dataset: minari.MinariDataset, *, progress: bool = False) -> StatesReport:
    """Set every recorded state in a fresh environment and compares the success of each, and after the last one.

    At the end of an episode the robot keeps to what it was told for three steps more: a finger that only just touches
    what it holds is found to touch by a step, and not by setting a state.

    Args:
        dataset: Any dataset of Minari whose infos hold the states of an environment of lam_envs as ``state``, changed
            since or not.
        progress: Show a bar.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or holds no states of it.
    """
    differences: list[int] = []
    successes = moments = alike = unsaid = 0
    if not is_ours(plan_of(dataset)["env_id"]):
        raise ValueError(
            f"states of {plan_of(dataset)['env_id']} cannot be set: it is not an environment of lam_envs"
        )
    # Image observations are not needed, and take time.
    env = make_env(dataset, obs="state")
    inner: Any = env.unwrapped
    try:
        for number, episode in _shown(dataset, progress=progress):
            if STATE not in episode.infos:
                raise ValueError(
                    f"episode {number} of dataset {dataset.id} has no states: the info {STATE!r} is missing. If it "
                    "has a seed, replay the actions instead: python -m demos replay"
                )
            judged = [bool(inner.set_state(state)[1][JUDGED]) for state in episode.infos[STATE]]
            now = bool(_held(inner)[JUDGED])
            successes += now
            flags = episode.success_flags
            if flags is None:
                unsaid += 1
                continue
            moments += len(flags)
            alike += sum(bool(before) == again for before, again in zip(flags, judged, strict=True))
            if now != episode.success:
                differences.append(number)
    finally:
        env.close()
    return StatesReport(dataset.total_episodes, tuple(differences), successes, moments, alike, unsaid)


def _held(inner: Any) -> dict[str, Any]:
    """Let the robot keep to what it was told for a few steps; returns the last info.

    What only just touches is found to touch by a step, not by setting a state, and the contact found anew may push
    what is held for another one: of 1,000 grasps 2 were at rest after the second step only.
    """
    info: dict[str, Any] = {}
    for _ in range(HELD_STEPS):
        features = inner.features()
        info = inner.step(inner.action_for(commanded(features), features))[-1]
    return info


def _shown(dataset: minari.MinariDataset, *, progress: bool) -> Iterator[tuple[int, Episode]]:
    """Yield each episode with its number, one at a time, and shows a bar."""
    numbered = zip(map(int, dataset.episode_indices), episodes_of(dataset), strict=True)
    yield from track(numbered, "replaying", total=dataset.total_episodes, disable=not progress)

"""Replay datasets: execute their actions and compare the episodes, or set their states and compare success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import gymnasium as gym
import minari
import numpy as np
from minari.dataset.minari_storage import is_image_space
from rich.progress import track

from demos.collection.recording import last_command, record, replay_steps
from demos.datasets.environment import make_env
from demos.datasets.episode import INTERVENTION, NOTES, STATE, SUCCESS, Episode
from demos.datasets.metadata import changes_of, episode_seeds, is_collected, plan_of, stores_jpeg
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.runtime.types import Env, Info, Space
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_lam_env

SUCCESS_INFO = SUCCESS[0]
"""Info in which environments of lam_envs report success."""
HOLD_STEPS = 3
"""Steps that the robot holds the final state before success is evaluated, 0.15 s."""


@dataclass(frozen=True)
class ReplayReport:
    """Result of a replay of actions.

    Attributes:
        episodes: Number of replayed episodes.
        differences: Number of each episode that was not bit-identical, and its first different part.
        successes: Number of replayed episodes that ended in success.
    """

    episodes: int
    differences: tuple[tuple[int, str], ...]
    successes: int

    @property
    def identical(self) -> int:
        """Number of bit-identical episodes."""
        return self.episodes - len(self.differences)


@dataclass(frozen=True)
class StatesReport:
    """Result of a replay of states.

    Attributes:
        episodes: Number of replayed episodes.
        differences: Indices of the episodes whose final success differs from the recorded one.
        successes: Number of replayed episodes that ended in success.
        states: Number of states with a recorded success.
        matching_states: Number of states that give the recorded success right after they are set.
        without_success: Number of episodes without a recorded success, which are not compared.
    """

    episodes: int
    differences: tuple[int, ...]
    successes: int
    states: int
    matching_states: int
    without_success: int = 0

    @property
    def matching(self) -> int:
        """Number of episodes that end with the recorded success."""
        return self.episodes - len(self.differences) - self.without_success


def replay(dataset: minari.MinariDataset, *, progress: bool = False) -> ReplayReport:
    """Execute the actions of every episode in a new environment and compare everything that was recorded.

    Images that are stored as JPEG are not compared.

    Args:
        dataset: Minari dataset of a registered environment, or some of its episodes.
        progress: Show a progress bar.

    Raises:
        ValueError: The dataset names no registered environment or one with other actions, has no seeds, or its
            episodes were changed after they were collected.
    """
    changed = changes_of(dataset)
    if changed:
        raise ValueError(
            f"the episodes of {dataset.id} were changed ({', '.join(changed)}): their actions no longer give "
            "these episodes. "
            "Replay the states instead: python -m demos replay --states"
        )
    differences: list[tuple[int, str]] = []
    successes = 0
    collected, jpeg = is_collected(dataset.storage.metadata), stores_jpeg(dataset)
    env = make_env(dataset)
    try:
        _check_actions(env, dataset)
        episode_seeds(dataset)
        for number, episode in _episodes(dataset, progress=progress):
            difference, success = replay_difference(env, episode, all_infos=collected, jpeg=jpeg)
            successes += success
            if difference is not None:
                differences.append((number, difference))
    finally:
        env.close()
    return ReplayReport(dataset.total_episodes, tuple(differences), successes)


def _check_actions(env: Env, dataset: minari.MinariDataset) -> None:
    """Check that the environment has the recorded action space, which a wrapper may change.

    Raises:
        ValueError: The action spaces differ.
    """
    if env.action_space != dataset.action_space:
        raise ValueError(
            f"{plan_of(dataset)['env_id']} has actions of {env.action_space}, and {dataset.id} has those of "
            f"{dataset.action_space}; make a dataset with the actions of the environment"
        )


def replay_difference(
    env: Env, episode: Episode, *, all_infos: bool = True, jpeg: bool = False
) -> tuple[str | None, bool]:
    """Execute the actions of one episode and compare.

    Args:
        env: Environment of the episode.
        episode: Episode with a seed.
        all_infos: True if the recorder saved every info, as :func:`demos.collect` does. Otherwise only the infos that
            both have are compared, rewards with the recorded precision, and the episode may have been cut off.
        jpeg: True if images were stored as JPEG, which are not compared.

    Returns:
        The first part that is not bit-identical, or None; and the success at the end of the replay.
    """
    assert episode.seed is not None  # noqa: S101  (checked by callers)
    steps = replay_steps(env, episode.executed_actions, episode.seed, episode.options)
    replayed = record(env, steps, episode.seed)
    # The environment does not return the infos that the collection added.
    noted = {name: episode.infos[name] for name in NOTES if name in episode.infos}
    success = bool(replayed.success)
    replayed = replace(replayed, actions=episode.actions, infos={**replayed.infos, **noted})
    if jpeg:
        episode, replayed = (
            replace(each, observations=_without_images(each.observations, env.observation_space))
            for each in (episode, replayed)
        )
    if not all_infos:
        episode, replayed = _comparable(episode, replayed)
    elif INTERVENTION in episode.infos:
        replayed = _ended_by_recorder(episode, replayed)
    return episode.differs_from(replayed), success


def _without_images(observations: Any, space: Space) -> Any:
    """Return the observations without images, as Minari defines them."""
    if isinstance(observations, dict) and isinstance(space, gym.spaces.Dict):
        return {
            name: _without_images(part, space[name])
            for name, part in observations.items()
            if not is_image_space(space[name])
        }
    return {} if is_image_space(space) else observations


def _comparable(episode: Episode, replayed: Episode) -> tuple[Episode, Episode]:
    """Return the comparable parts of a third-party episode and of its replay."""
    recorded_infos, replayed_infos = dict(tree_leaves(episode.infos)), dict(tree_leaves(replayed.infos))
    both = [name for name in recorded_infos if name in replayed_infos]
    # The infos of the reset may be missing.
    infos = {name: recorded_infos[name][1:] for name in both}
    converted_infos = {name: np.asarray(replayed_infos[name][1:], dtype=infos[name].dtype) for name in both}
    rewards = np.asarray(replayed.rewards, dtype=episode.rewards.dtype)
    replayed = _ended_by_recorder(episode, replayed)
    return replace(episode, infos=infos), replace(replayed, rewards=rewards, infos=converted_infos)


def _ended_by_recorder(episode: Episode, replayed: Episode) -> Episode:
    """Return the replayed episode with the recorded end.

    A recorder, such as Minari's DataCollector, or a person may stop at any step, which is stored as a truncation.
    """
    if len(replayed) != len(episode) or replayed.terminations[-1]:
        return replayed
    return replace(replayed, truncations=np.append(replayed.truncations[:-1], episode.truncations[-1]))


def replay_states(dataset: minari.MinariDataset, *, progress: bool = False) -> StatesReport:
    """Set every recorded state in a new environment and compare its success with the recorded one.

    At the end of an episode the robot repeats its last command for three steps, because contacts of a finger that
    barely touches an object are computed by a step, not by setting a state.

    Args:
        dataset: Minari dataset whose infos hold the states of an environment of lam_envs as ``state``; preprocessing
            may have changed it.
        progress: Show a progress bar.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or holds no states.
    """
    differences: list[int] = []
    successes = states = matching_states = without_success = 0
    if not is_lam_env(plan_of(dataset)["env_id"]):
        raise ValueError(
            f"states of {plan_of(dataset)['env_id']} cannot be set: it is not an environment of lam_envs"
        )
    # Image observations are not needed and slow.
    env = make_env(dataset, obs="state")
    inner = cast(ManipulationEnv, env.unwrapped)
    try:
        for number, episode in _episodes(dataset, progress=progress):
            if STATE not in episode.infos:
                raise ValueError(
                    f"episode {number} of dataset {dataset.id} has no states: the info {STATE!r} is missing. If it "
                    "has a seed, replay the actions instead: python -m demos replay"
                )
            evaluated = [bool(inner.set_state(state)[1][SUCCESS_INFO]) for state in episode.infos[STATE]]
            success = bool(_hold(inner)[SUCCESS_INFO])
            successes += success
            flags = episode.success_flags
            if flags is None:
                without_success += 1
                continue
            states += len(flags)
            matching_states += sum(bool(recorded) == now for recorded, now in zip(flags, evaluated, strict=True))
            if success != episode.success:
                differences.append(number)
    finally:
        env.close()
    return StatesReport(
        dataset.total_episodes, tuple(differences), successes, states, matching_states, without_success
    )


def _hold(inner: ManipulationEnv) -> Info:
    """Let the robot repeat its last command for a few steps; return the last info.

    Contacts are computed by a step, not by setting a state, and a contact may then push the held object for another
    step: of 1,000 grasps, 2 were at rest only after the second step.
    """
    info: Info = {}
    for _ in range(HOLD_STEPS):
        features = inner.features()
        info = inner.step(inner.action_for(last_command(features), features))[-1]
    return info


def _episodes(dataset: minari.MinariDataset, *, progress: bool) -> Iterator[tuple[int, Episode]]:
    """Yield each episode with its number, one at a time, with a progress bar."""
    numbered = zip(map(int, dataset.episode_indices), episodes_of(dataset), strict=True)
    yield from track(numbered, "replaying", total=dataset.total_episodes, disable=not progress)

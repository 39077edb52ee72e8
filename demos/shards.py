"""Shards: parts of a collection that are recorded on their own, by any worker, and put together in the end.

A shard appears under its name only when it is whole. What is in it depends on the plan and its number alone, not on
who records it or what was recorded before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from demos.checksum import sign
from demos.dataset import DATA_FILE, SUCCESS
from demos.files import write_json
from demos.plan import Plan, episode_seed
from demos.qualities import MIXED, MIXTURE, QUALITIES, Act, Demonstrator, policy_demonstrator
from demos.recording import EXECUTED, Episode, Step, record
from demos.strategies import STRATEGIES

SHARD_EPISODES = 25
"""A few seconds of work."""
MAX_FAILURES = 50
"""A demonstrator that fails so often from one start after the other will not succeed."""
QUALITY, STRATEGY = "quality", "strategy"
NOTES = (QUALITY, STRATEGY, EXECUTED)
"""Names of the infos that the collection adds: numbers of the plan's ``qualities`` and ``strategies``."""


@dataclass(frozen=True)
class Shard:
    """A part of a collection.

    Attributes:
        number: Which.
        first: Its first episode's number in the collection.
        size: How many episodes it has.
    """

    number: int
    first: int
    size: int

    def folder(self, partial: Path) -> Path:
        """Where it is when it is whole."""
        return partial / f"shard-{self.number:05d}"


def shards_of(episodes: int) -> list[Shard]:
    """Returns the shards of a collection."""
    starts = range(0, episodes, SHARD_EPISODES)
    return [Shard(number, first, min(SHARD_EPISODES, episodes - first)) for number, first in enumerate(starts)]


def write_shard(
    plan: Plan, spec: EnvSpec, shard: Shard, partial: Path, advance: Callable[[], None] | None = None
) -> None:
    """Records a shard.

    Args:
        plan: What to record.
        spec: Makes the environment, also where its id is registered in another process only.
        shard: Which part.
        partial: The folder of all shards.
        advance: Is called after each episode.

    Raises:
        RuntimeError: The demonstrator fails again and again.
    """
    writing = partial / f"writing-{shard.number:05d}"
    shutil.rmtree(writing, ignore_errors=True)
    env = gym.make(spec)
    try:
        storage = MinariStorage.new(
            writing, env.observation_space, env.action_space, storable(env), jpeg_encoding=plan.jpeg
        )
        recorder = Recorder(plan, env)
        dropped = 0
        for index in range(shard.first, shard.first + shard.size):
            episode, failed = recorder.episode(index)
            dropped += failed
            storage.update_episodes([_buffer(episode)])
            if advance is not None:
                advance()
    finally:
        env.close()
    sign(writing / DATA_FILE)
    write_json(writing / "shard.json", {"dropped": dropped})
    os.replace(writing, shard.folder(partial))


class Recorder:
    """Records the episodes of a plan.

    Args:
        plan: What to record.
        env: Where.
    """

    def __init__(self, plan: Plan, env: gym.Env[Any, Any]) -> None:
        self.plan = plan
        self.env = env
        self._acting: dict[tuple[str, str], Demonstrator] = {}
        self._may_differ = plan.quality in ("noisy", MIXED)

    def episode(self, index: int) -> tuple[Episode, int]:
        """Returns an episode of the collection, and how many attempts failed before."""
        for attempt in range(MAX_FAILURES):
            seed = episode_seed(self.plan.seed, index, attempt)
            quality, strategy = self._drawn(index)
            episode = record(self.env, self._steps(quality, strategy, seed), seed)
            # Nobody expects success of what acts at random.
            if self.plan.keep_failures or quality == "random" or succeeded(episode) is not False:
                return episode, attempt
        raise RuntimeError(
            f"{self.plan.policy or self.plan.quality} failed {MAX_FAILURES} times in a row in {self.plan.env_id} "
            f"with {self.plan.env_kwargs}; keep failures, or mend what fails"
        )

    def _drawn(self, index: int) -> tuple[str, str]:
        """Draws how an episode is acted: the same for each attempt."""
        rng = np.random.default_rng([self.plan.seed, index, 1])
        quality = self.plan.qualities[0]
        if self.plan.quality == MIXED:
            quality = str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
        return quality, str(rng.choice(self.plan.strategies))

    def _demonstrator(self, quality: str, strategy: str) -> Demonstrator:
        key = (quality, strategy)
        if key not in self._acting:
            if self.plan.policy is None:
                self._acting[key] = QUALITIES[quality](self.env, STRATEGIES[strategy])
            else:
                self._acting[key] = policy_demonstrator(self.plan.policy, self.env)
        return self._acting[key]

    def _steps(self, quality: str, strategy: str, seed: int) -> Iterator[Step]:
        """Plays an episode: labels as actions, and in the infos what was executed and how it is acted."""
        demonstrator = self._demonstrator(quality, strategy)
        demonstrator.begin(np.random.default_rng([seed, 2]))
        notes: dict[str, Any] = {
            QUALITY: np.int8(self.plan.qualities.index(quality)),
            STRATEGY: np.int8(self.plan.strategies.index(strategy)),
        }

        def noted(info: dict[str, Any], executed: Any) -> dict[str, Any]:
            return {**info, **notes, **({EXECUTED: executed} if self._may_differ else {})}

        observation, info = self.env.reset(seed=seed)
        step = Step(None, observation, 0.0, False, False, noted(info, np.zeros_like(self.env.action_space.sample())))
        yield step
        while not (step.terminated or step.truncated):
            act: Act = demonstrator.act(step.observation)
            observation, reward, terminated, truncated, info = self.env.step(act.executed)
            step = Step(act.label, observation, float(reward), terminated, truncated, noted(info, act.executed))
            yield step


def succeeded(episode: Episode) -> bool | None:
    """Whether an episode succeeded at its end; None if its environment does not say."""
    for name in SUCCESS:
        if name in episode.infos:
            return bool(episode.infos[name][-1])
    return None


def storable(env: gym.Env[Any, Any]) -> EnvSpec | None:
    """The specification for Minari; None where it holds a task or robot itself, which JSON cannot."""
    if env.spec is None:
        return None
    try:
        env.spec.to_json()
    except TypeError:
        return None
    return env.spec


def copy_episodes(source: Path, target: MinariStorage, indices: list[int]) -> None:
    """Appends episodes of a data file to a dataset as they are, seeds and checksums included.

    Args:
        source: The data file of another dataset of the same spaces.
        target: The dataset.
        indices: Numbers of the episodes.
    """
    count, steps = target.total_episodes, target.total_steps
    with h5py.File(source, "r") as origin, h5py.File(target.data_path / DATA_FILE, "a", track_order=True) as file:
        for index in indices:
            origin.copy(f"episode_{index}", file, name=f"episode_{count}")
            file[f"episode_{count}"].attrs["id"] = count
            steps += int(file[f"episode_{count}"].attrs["total_steps"])
            count += 1
    target.update_metadata({"total_episodes": count, "total_steps": steps, "dataset_size": target.get_size()})


def merge(plan: Plan, env: gym.Env[Any, Any], partial: Path, metadata: dict[str, Any]) -> Path:
    """Puts the shards into one dataset; returns its folder."""
    merged = partial / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    storage = MinariStorage.new(
        merged, env.observation_space, env.action_space, storable(env), jpeg_encoding=plan.jpeg
    )
    dropped = 0
    for shard in shards_of(plan.episodes):
        folder = shard.folder(partial)
        copy_episodes(folder / DATA_FILE, storage, list(range(shard.size)))
        dropped += int(json.loads((folder / "shard.json").read_text())["dropped"])
    storage.update_metadata({**metadata, "lam_envs_dropped": dropped, "minari_version": minari.__version__})
    return merged


def _buffer(episode: Episode) -> EpisodeBuffer:
    return EpisodeBuffer(
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards.tolist(),
        terminations=episode.terminations.tolist(),
        truncations=episode.truncations.tolist(),
        infos=episode.infos,
    )

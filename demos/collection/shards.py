"""Shards: parts of a collection that workers record independently and that are merged at the end.

A shard gets its name only when it is complete. Its content depends only on the plan and its number. Each run
writes into its own folder, which the next run removes: workers that outlive a killed run for a moment cannot
complete a shard.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from demos.collection.demonstrators import (
    DEMONSTRATORS,
    MIXED,
    MIXTURE,
    Demonstrator,
    demonstrate,
    make_policy_demonstrator,
)
from demos.collection.human_demonstrator import HumanDemonstrator
from demos.collection.plan import Plan, episode_seed
from demos.collection.recording import Step, record
from demos.collection.strategies import STRATEGIES
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import QUALITY, STRATEGY, Episode
from demos.datasets.metadata import FAILURES
from demos.datasets.writing import DatasetWriter
from demos.runtime.files import write_json
from demos.runtime.types import Env, Info, Metadata, Space

SHARD_EPISODES = 25
"""Episodes of a shard: a few seconds of work."""
IMAGE_SHARD_EPISODES = 4
"""The same for observations with images, whose episodes take about ten times as long. With few episodes, larger
shards would leave workers idle."""
RUN, DISCARDED = "run-", ".discarded"
"""Prefix of the folder of a run, and suffix while it is removed."""
MAX_FAILURES = 50
"""Largest number of failed attempts at one episode."""


@dataclass(frozen=True)
class Shard:
    """Part of a collection.

    Attributes:
        number: Number of the shard.
        first: Number of its first episode in the collection.
        size: Number of episodes.
    """

    number: int
    first: int
    size: int

    def folder(self, partial: Path) -> Path:
        """Return the folder of the complete shard."""
        return partial / f"shard-{self.first:05d}-{self.size}"


def shards_of(episodes: int, observation_space: Space) -> list[Shard]:
    """Return the shards of a collection.

    Args:
        episodes: Number of episodes.
        observation_space: Space of the observations.
    """
    size = min(SHARD_EPISODES, IMAGE_SHARD_EPISODES) if _has_images(observation_space) else SHARD_EPISODES
    starts = range(0, episodes, size)
    return [Shard(number, first, min(size, episodes - first)) for number, first in enumerate(starts)]


def _has_images(space: Space) -> bool:
    """Return True if a space is one of images, or a dict with such a part."""
    if isinstance(space, gym.spaces.Dict):
        return any(_has_images(part) for part in space.spaces.values())
    return len(space.shape or ()) >= 3


def begin_run(partial: Path) -> Path:
    """Remove the unfinished files of earlier runs and return a new folder for this run.

    Args:
        partial: Folder of all shards.
    """
    for stale in partial.glob(f"{RUN}*"):
        # Rename first, so that no worker can complete a shard in it meanwhile.
        discarded = stale if stale.name.endswith(DISCARDED) else stale.with_name(stale.name + DISCARDED)
        os.replace(stale, discarded)
        shutil.rmtree(discarded, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=RUN, dir=partial))


def write_shard(
    plan: Plan, spec: EnvSpec, shard: Shard, run: Path, advance: Callable[[], None] | None = None
) -> None:
    """Record a shard and move it beside the folder of the run.

    Args:
        plan: Plan of the collection.
        spec: Specification of the environment, whose id may be registered only in another process.
        shard: Shard to record.
        run: Folder that :func:`begin_run` made.
        advance: Called after each episode.

    Raises:
        FileNotFoundError: Another run has begun.
        RuntimeError: The demonstrator fails too often.
    """
    env = gym.make(spec)
    try:
        writing = run / f"writing-{shard.number:05d}"
        writer = DatasetWriter(writing, env.observation_space, env.action_space, env.spec, jpeg=plan.jpeg)
        recorder = Recorder(plan, env)
        dropped = 0
        for index in range(shard.first, shard.first + shard.size):
            episode, failed = recorder.episode(index)
            dropped += failed
            writer.add(episode)
            if advance is not None:
                advance()
    finally:
        env.close()
    write_json(writing / "shard.json", {"dropped": dropped, "failures": recorder.failures})
    os.replace(writing, shard.folder(run.parent))


class Recorder:
    """Recorder of the episodes of a plan.

    Args:
        plan: Plan of the collection.
        env: Environment to record in.
    """

    def __init__(self, plan: Plan, env: Env) -> None:
        self.plan = plan
        self.env = env
        self._demonstrators: dict[tuple[str, str], Demonstrator] = {}
        self.failures: Counter[str] = Counter()
        """Number of failed attempts by reason, of demonstrators that give one."""
        self._records_executed = plan.demonstrator in ("noisy", MIXED)

    def episode(self, index: int) -> tuple[Episode, int]:
        """Return an episode of the collection and the number of failed attempts before it."""
        for attempt in range(MAX_FAILURES):
            seed = episode_seed(self.plan.seed, index, attempt)
            demonstrator_name, strategy = self._draw(index)
            episode = record(self.env, self._steps(demonstrator_name, strategy, seed), seed)
            # Random actions are not expected to succeed.
            if self.plan.keep_failures or demonstrator_name == "random" or episode.success is not False:
                return episode, attempt
            last = {name: values[-1] for name, values in episode.infos.items() if not isinstance(values, dict)}
            reason = self._demonstrator(demonstrator_name, strategy).failure(last)
            self.failures.update([reason] if reason else [])
        reasons = ", ".join(f"{reason} {count} times" for reason, count in self.failures.most_common(3))
        raise RuntimeError(
            f"{self.plan.policy or self.plan.demonstrator} failed {MAX_FAILURES} times in a row in "
            f"{self.plan.env_id} with {self.plan.env_kwargs}{f' ({reasons})' if reasons else ''}; keep failures, "
            "or fix their cause"
        )

    def _draw(self, index: int) -> tuple[str, str]:
        """Draw demonstrator and strategy of an episode, the same for each attempt."""
        rng = np.random.default_rng([self.plan.seed, index, 1])
        demonstrator_name = self.plan.demonstrators[0]
        if self.plan.demonstrator == MIXED:
            demonstrator_name = str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
        return demonstrator_name, str(rng.choice(self.plan.strategies))

    def _demonstrator(self, demonstrator_name: str, strategy: str) -> Demonstrator:
        key = (demonstrator_name, strategy)
        if key not in self._demonstrators:
            if self.plan.motion is not None:
                self._demonstrators[key] = HumanDemonstrator(self.env, self.plan.motion)
            elif self.plan.policy is None:
                self._demonstrators[key] = DEMONSTRATORS[demonstrator_name](self.env, STRATEGIES[strategy])
            else:
                self._demonstrators[key] = make_policy_demonstrator(self.plan.policy, self.env)
        return self._demonstrators[key]

    def _steps(self, demonstrator_name: str, strategy: str, seed: int) -> Iterator[Step]:
        """Yield the steps of an episode."""
        notes: Info = {
            QUALITY: np.int8(self.plan.demonstrators.index(demonstrator_name)),
            STRATEGY: np.int8(self.plan.strategies.index(strategy)),
        }
        demonstrator = self._demonstrator(demonstrator_name, strategy)
        return demonstrate(self.env, demonstrator, seed, notes, records_executed=self._records_executed)


def merge(plan: Plan, env: Env, partial: Path, metadata: Metadata) -> Path:
    """Merge the shards into one dataset; return its folder."""
    writer = DatasetWriter(partial / "merged", env.observation_space, env.action_space, env.spec, jpeg=plan.jpeg)
    dropped = 0
    failures: Counter[str] = Counter()
    for shard in shards_of(plan.episodes, env.observation_space):
        folder = shard.folder(partial)
        writer.copy(folder / DATA_FILE, range(shard.size))
        counts = json.loads((folder / "shard.json").read_text())
        dropped += int(counts["dropped"])
        # Shards of an interrupted collection of an earlier version have no reasons.
        failures.update(counts.get("failures", {}))
    reasons = {FAILURES: dict(sorted(failures.items()))} if plan.motion is not None else {}
    writer.finish({**metadata, "lam_envs_dropped": dropped, **reasons})
    return writer.folder

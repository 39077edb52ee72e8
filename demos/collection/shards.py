"""Shards: parts of a collection that are recorded on their own, by any worker, and put together in the end.

A shard appears under its name only when it is whole. What is in it depends on the plan and its number alone, not on
who records it or what was recorded before. Each run writes in a folder of its own, which the next run takes away:
workers that outlive a killed run for a moment can then finish nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from demos.collection.demonstrators import DEMONSTRATORS, MIXED, MIXTURE, Act, Demonstrator, policy_demonstrator
from demos.collection.plan import Plan, episode_seed
from demos.collection.recording import Step, record
from demos.collection.strategies import STRATEGIES
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import EXECUTED, QUALITY, STRATEGY, Episode
from demos.datasets.writing import Draft
from demos.runtime.files import write_json

SHARD_EPISODES = 25
"""A few seconds of work."""
RUN, DOOMED = "run-", ".discarded"
"""How the folder of a run is called, and ends when it is being removed."""
MAX_FAILURES = 50
"""A demonstrator that fails so often from one start after the other will not succeed."""


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
    """Return the shards of a collection."""
    starts = range(0, episodes, SHARD_EPISODES)
    return [Shard(number, first, min(SHARD_EPISODES, episodes - first)) for number, first in enumerate(starts)]


def begin_run(partial: Path) -> Path:
    """Take away what earlier runs were writing, and returns a new folder for this run to write in.

    Args:
        partial: The folder of all shards.
    """
    for stale in partial.glob(f"{RUN}*"):
        # Moved first: then nothing in it can be renamed to a whole shard while it is being removed.
        doomed = stale if stale.name.endswith(DOOMED) else stale.with_name(stale.name + DOOMED)
        os.replace(stale, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=RUN, dir=partial))


def write_shard(
    plan: Plan, spec: EnvSpec, shard: Shard, run: Path, advance: Callable[[], None] | None = None
) -> None:
    """Record a shard and puts it beside the folder of the run.

    Args:
        plan: What to record.
        spec: Makes the environment, also where its id is registered in another process only.
        shard: Which part.
        run: The folder that :func:`begin_run` made.
        advance: Is called after each episode.

    Raises:
        FileNotFoundError: Another run has begun.
        RuntimeError: The demonstrator fails again and again.
    """
    env = gym.make(spec)
    try:
        writing = run / f"writing-{shard.number:05d}"
        draft = Draft(writing, env.observation_space, env.action_space, env.spec, jpeg=plan.jpeg)
        recorder = Recorder(plan, env)
        dropped = 0
        for index in range(shard.first, shard.first + shard.size):
            episode, failed = recorder.episode(index)
            dropped += failed
            draft.add(episode)
            if advance is not None:
                advance()
    finally:
        env.close()
    write_json(writing / "shard.json", {"dropped": dropped})
    os.replace(writing, shard.folder(run.parent))


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
        self._may_differ = plan.demonstrator in ("noisy", MIXED)

    def episode(self, index: int) -> tuple[Episode, int]:
        """Return an episode of the collection, and how many attempts failed before."""
        for attempt in range(MAX_FAILURES):
            seed = episode_seed(self.plan.seed, index, attempt)
            demonstrator_name, strategy = self._drawn(index)
            episode = record(self.env, self._steps(demonstrator_name, strategy, seed), seed)
            # Nobody expects success of what acts at random.
            if self.plan.keep_failures or demonstrator_name == "random" or episode.success is not False:
                return episode, attempt
        raise RuntimeError(
            f"{self.plan.policy or self.plan.demonstrator} failed {MAX_FAILURES} times in a row in "
            f"{self.plan.env_id} with {self.plan.env_kwargs}; keep failures, or fix their cause"
        )

    def _drawn(self, index: int) -> tuple[str, str]:
        """Draw how an episode is acted: the same for each attempt."""
        rng = np.random.default_rng([self.plan.seed, index, 1])
        demonstrator_name = self.plan.demonstrators[0]
        if self.plan.demonstrator == MIXED:
            demonstrator_name = str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
        return demonstrator_name, str(rng.choice(self.plan.strategies))

    def _demonstrator(self, demonstrator_name: str, strategy: str) -> Demonstrator:
        key = (demonstrator_name, strategy)
        if key not in self._acting:
            if self.plan.policy is None:
                self._acting[key] = DEMONSTRATORS[demonstrator_name](self.env, STRATEGIES[strategy])
            else:
                self._acting[key] = policy_demonstrator(self.plan.policy, self.env)
        return self._acting[key]

    def _steps(self, demonstrator_name: str, strategy: str, seed: int) -> Iterator[Step]:
        """Play an episode: labels as actions, and in the infos what was executed and how it is acted."""
        demonstrator = self._demonstrator(demonstrator_name, strategy)
        demonstrator.begin(np.random.default_rng([seed, 2]))
        notes: dict[str, Any] = {
            QUALITY: np.int8(self.plan.demonstrators.index(demonstrator_name)),
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


def merge(plan: Plan, env: gym.Env[Any, Any], partial: Path, metadata: dict[str, Any]) -> Path:
    """Put the shards into one dataset; returns its folder."""
    draft = Draft(partial / "merged", env.observation_space, env.action_space, env.spec, jpeg=plan.jpeg)
    dropped = 0
    for shard in shards_of(plan.episodes):
        folder = shard.folder(partial)
        draft.copy(folder / DATA_FILE, range(shard.size))
        dropped += int(json.loads((folder / "shard.json").read_text())["dropped"])
    draft.finish({**metadata, "lam_envs_dropped": dropped})
    return draft.folder

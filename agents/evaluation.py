"""Let an agent act on fixed seeds and judge what it did."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from rich.progress import track

import lam_envs
from demos.intervals import wilson_interval
from demos.recording import Acting, rollout


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went.

    Attributes:
        seed: What ``reset`` was given.
        success: Whether the task was done at the last step.
        steps_to_success: Steps until it was done and stayed done to the end; None without success.
        episode_return: Sum of rewards.
        length: Steps.
    """

    seed: int
    success: bool
    steps_to_success: int | None
    episode_return: float
    length: int


@dataclass(frozen=True)
class Evaluation:
    """How an agent did on a set of seeds.

    Attributes:
        episodes: One an episode, in the order of the seeds.
        step_seconds: Simulated seconds a step takes.
    """

    episodes: tuple[EpisodeResult, ...]
    step_seconds: float

    @property
    def successes(self) -> int:
        """How many episodes ended in success."""
        return sum(episode.success for episode in self.episodes)

    @property
    def success_rate(self) -> float:
        """Share of episodes that ended in success."""
        return self.successes / len(self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson score interval of the success rate (Wilson 1927)."""
        return wilson_interval(self.successes, len(self.episodes))

    @property
    def mean_steps_to_success(self) -> float | None:
        """Mean over the successful episodes; None if there is none."""
        steps = [episode.steps_to_success for episode in self.episodes if episode.steps_to_success is not None]
        return float(np.mean(steps)) if steps else None

    @property
    def mean_seconds_to_success(self) -> float | None:
        """The same in simulated seconds."""
        steps = self.mean_steps_to_success
        return None if steps is None else steps * self.step_seconds

    @property
    def mean_return(self) -> float:
        """Mean sum of rewards."""
        return float(np.mean([episode.episode_return for episode in self.episodes]))


def evaluate(
    agent: Acting,
    env: str | gym.Env[Any, Any],
    *,
    seeds: Iterable[int],
    progress: bool = False,
    **env_kwargs: Any,
) -> Evaluation:
    """Lets an agent act for one episode a seed.

    The seeds are fixed before the first step, so that long and short episodes count alike; success is judged at
    the last step.

    Args:
        agent: Anything with ``predict``; it acts deterministically.
        env: Id of an environment, or one with a time limit.
        seeds: Of the episodes: not those of the demonstrations.
        progress: Show a bar.
        env_kwargs: Keywords for ``gym.make``.

    Raises:
        TypeError: The agent has no ``predict``.
        ValueError: No seeds, an unknown id, keywords for an environment that is made already, or an environment
            whose info has no ``is_success``.
    """
    if not isinstance(agent, Acting):
        raise TypeError(f"a {type(agent).__name__} is no agent: it has no predict(observation, ...)")
    chosen = list(seeds)
    if not chosen:
        raise ValueError("no seeds: expected at least one, such as range(1000, 1200)")
    if min(chosen) < 0:
        raise ValueError(f"seed {min(chosen)} is negative; expected seeds of at least 0")
    if env_kwargs and not isinstance(env, str):
        raise ValueError(f"keywords {', '.join(env_kwargs)} for an environment that is made already: give its id")
    made = make_env(env, **env_kwargs) if isinstance(env, str) else env
    try:
        shown = track(chosen, "evaluating", disable=not progress)
        episodes = tuple(_episode(agent, made, seed) for seed in shown)
    finally:
        if isinstance(env, str):
            made.close()
    return Evaluation(episodes, 1.0 / float(made.metadata.get("render_fps", 20)))


def make_env(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """Makes an environment by its id.

    Raises:
        ValueError: Gymnasium does not know the id; says which of ours there are.
    """
    try:
        return gym.make(env_id, **kwargs)
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise ValueError(
            f"cannot make {env_id!r} ({error}); environments of lam_envs: {', '.join(lam_envs.ENV_IDS)}"
        ) from error


def _episode(agent: Acting, env: gym.Env[Any, Any], seed: int) -> EpisodeResult:
    total, length, since = 0.0, 0, None
    for step in rollout(env, agent, seed):
        if "is_success" not in step.info:
            raise ValueError(f"the info of {env} has no is_success: nothing says whether the task is done")
        if step.action is None:
            continue
        total += step.reward
        length += 1
        if not step.info["is_success"]:
            since = None
        elif since is None:
            since = length
    return EpisodeResult(seed, since is not None, since, total, length)

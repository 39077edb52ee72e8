"""Evaluation of an agent on fixed seeds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from rich.progress import track

import lam_envs
from agents.evaluation.episode import EpisodeMeasurement, EpisodeResult, step_seconds
from agents.evaluation.rollouts import EpisodeStep, check_takes_batches, copies, one_at_a_time, several_at_once
from agents.types import Action, Env, Memory, Observation, Start
from demos.collection.recording import Policy
from demos.runtime.intervals import wilson_interval

VERSION = 1
"""Increase it when the same agent gets different results in the same episodes: all results are then outdated."""
EPISODE_SECONDS = 3600.0
"""Default limit to the wall time of an episode. Slow models on slow machines need far less."""


@dataclass(frozen=True)
class Evaluation:
    """Results of an agent on a set of seeds.

    Attributes:
        episodes: Results of the episodes, in the order of the seeds.
        step_seconds: Simulated time of a step, seconds.
        inference_latency_ms: Median wall time of a call of ``predict``, milliseconds.
        mean_inference_latency_ms: Mean wall time of a call; None in earlier results. An agent that executes chunks
            computes in some calls only: its mean is above its median.
    """

    episodes: tuple[EpisodeResult, ...]
    step_seconds: float
    inference_latency_ms: float = field(compare=False)
    mean_inference_latency_ms: float | None = field(default=None, compare=False)

    @property
    def successes(self) -> int:
        """Number of episodes that ended in success."""
        return sum(episode.success for episode in self.episodes)

    @property
    def success_rate(self) -> float:
        """Fraction of episodes that ended in success."""
        return self.successes / len(self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson score interval of the success rate (Wilson 1927)."""
        return wilson_interval(self.successes, len(self.episodes))

    @property
    def mean_steps_to_success(self) -> float | None:
        """Mean steps to success of the successful episodes; None without one."""
        steps = [episode.steps_to_success for episode in self.episodes if episode.steps_to_success is not None]
        return float(np.mean(steps)) if steps else None

    @property
    def mean_seconds_to_success(self) -> float | None:
        """Mean time to success of the successful episodes, simulated seconds; None without one."""
        steps = self.mean_steps_to_success
        return None if steps is None else steps * self.step_seconds

    @property
    def ever_success_rate(self) -> float:
        """Fraction of episodes in which the task is solved after any step."""
        return float(np.mean([episode.ever_success for episode in self.episodes]))

    @property
    def mean_jerk(self) -> float | None:
        """Mean jerk over the episodes, m/s^3; None if unknown."""
        return _mean([episode.jerk for episode in self.episodes])

    @property
    def mean_completed(self) -> float | None:
        """Mean number of successive commands that are done; None in tasks without any."""
        return _mean([episode.completed for episode in self.episodes])

    @property
    def mean_peak_force(self) -> float | None:
        """Mean peak force over the episodes, newtons; None if unknown."""
        return _mean([episode.peak_force for episode in self.episodes])

    @property
    def mean_return(self) -> float:
        """Mean sum of rewards."""
        return float(np.mean([episode.episode_return for episode in self.episodes]))


def _mean(numbers: list[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return float(np.mean(known)) if known else None


class _Timed:
    """Wrapper of an agent that measures the wall time of each ``predict``."""

    def __init__(self, agent: Policy) -> None:
        self.seconds: list[float] = []
        self._agent = agent

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        began = time.perf_counter()
        chosen = self._agent.predict(
            observation, state=state, episode_start=episode_start, deterministic=deterministic
        )
        self.seconds.append(time.perf_counter() - began)
        return chosen


def evaluate(
    agent: Policy,
    env: str | Env,
    *,
    seeds: Iterable[int],
    progress: bool = False,
    episode_seconds: float | None = EPISODE_SECONDS,
    on_episode: Callable[[int], None] | None = None,
    num_envs: int = 1,
    **env_kwargs: Any,
) -> Evaluation:
    """Run an agent for one episode per seed.

    The seeds are fixed before the first step, so that long and short episodes count alike. Success is that of the
    last step.

    With ``num_envs`` above 1, several episodes run at once in this process, and the agent acts on batches of
    observations. The episodes and the order of the results are the same, and environments return the same bits for
    the same actions. Networks round batches in another way than single observations, so that some episodes can end
    differently: compare only results with the same ``num_envs``. Published results have 1.

    An episode that takes too long is an error after its present step. A call of ``predict`` that never returns is not
    interrupted; suites (``python -m benchmarks run``) run each job in a process of its own and end that.

    Args:
        agent: Anything with ``predict``; it acts deterministically. A model of Stable-Baselines3 that has its
            training environment sees observations as there, normalized by VecNormalize or stacked by VecFrameStack.
        env: Id of an environment, or one with a time limit.
        seeds: Seeds of the episodes: not those of the demonstrations.
        progress: Show a progress bar.
        episode_seconds: Wall time that an episode may take, seconds; None for no limit. Episodes that run at once
            take longer.
        on_episode: Called with the seed of each episode before it begins.
        num_envs: Number of environments, copies of ``env``, whose episodes run at once; at most one for each seed is
            used. More than 1 is for agents that act on batches (:class:`agents.spec.TakesBatches`). The
            inference latency is that of a batch then.
        env_kwargs: Keywords for ``gym.make``.

    Raises:
        TimeoutError: An episode took longer than ``episode_seconds``; names its seed.
        TypeError: The agent is a class, has no ``predict``, or its result is not a tuple of two items.
        ValueError: No seeds, an unknown id, keywords for an environment that exists already, an environment
            whose info has no ``is_success``, a time limit that is not a positive number, ``num_envs`` below 1, or
            above 1 for an agent that does not act on batches or an environment without a spec.
    """
    _check_agent(agent)
    chosen = _checked_seeds(seeds)
    if env_kwargs and not isinstance(env, str):
        raise ValueError(
            f"env_kwargs {', '.join(env_kwargs)} need an environment id, but env is an environment: pass its id"
        )
    if episode_seconds is not None and not (math.isfinite(episode_seconds) and episode_seconds > 0):
        raise ValueError(
            f"episode_seconds is {episode_seconds}; expected seconds above 0, or None for no limit to an episode"
        )
    if type(num_envs) is not int or num_envs < 1:
        raise ValueError(f"num_envs is {num_envs!r}; expected a whole number of at least 1")
    environment = make_env(env, **env_kwargs) if isinstance(env, str) else env
    made = [environment] if isinstance(env, str) else []
    running: dict[int, EpisodeMeasurement] = {}

    def begin(number: int) -> None:
        if on_episode is not None:
            on_episode(chosen[number])
        running[number] = EpisodeMeasurement(chosen[number], episode_seconds)

    try:
        if "stable_baselines3" in sys.modules:
            from agents.evaluation import vecenv  # late: it imports PyTorch

            agent = vecenv.as_trained(agent, environment)
        timed = _Timed(agent)
        if num_envs == 1:
            steps = one_at_a_time(environment, timed, chosen, begin)
        else:
            check_takes_batches(agent, num_envs)
            further = copies(environment, min(num_envs, len(chosen)) - 1)
            made += further
            steps = several_at_once([environment, *further], timed, chosen, begin)
        results = _results(steps, running)
        episodes = dict(track(results, "evaluating", total=len(chosen), disable=not progress))
    finally:
        for each in made:
            each.close()
    median, mean = (1000.0 * float(statistic(timed.seconds)) for statistic in (np.median, np.mean))
    ordered = tuple(episodes[number] for number in range(len(chosen)))
    return Evaluation(ordered, step_seconds(environment), median, mean)


def _check_agent(agent: object) -> None:
    """Check that an agent has ``predict``, and is no class.

    Raises:
        TypeError: It is a class, or has none.
    """
    if isinstance(agent, type):
        raise TypeError(f"{agent.__name__} is a class; expected an agent: make one, such as {agent.__name__}(env)")
    if not isinstance(agent, Policy):
        hint = '. Make an agent of a function by agents.make("module:function", env)' if callable(agent) else ""
        raise TypeError(f"{agent!r} is not an agent: it has no predict(observation, ...){hint}")


def _checked_seeds(seeds: Iterable[int]) -> list[int]:
    """Return seeds as a list.

    Raises:
        TypeError: They are not several numbers.
        ValueError: There is none, or one is negative.
    """
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds is {seeds!r}; expected several seeds, such as range(1000, 1020)")
    chosen = list(seeds)
    if not chosen:
        raise ValueError("no seeds: expected at least one, such as range(1000, 1200)")
    if min(chosen) < 0:
        raise ValueError(f"seed {min(chosen)} is negative; expected seeds of at least 0")
    return chosen


def _results(
    steps: Iterator[EpisodeStep], running: dict[int, EpisodeMeasurement]
) -> Iterator[tuple[int, EpisodeResult]]:
    """Measure episodes step by step; yield the number and the result of each when it ends."""
    for number, env, step in steps:
        running[number].add(env, step)
        if step.terminated or step.truncated:
            yield number, running.pop(number).result(env, step)


def make_env(env_id: str, **kwargs: Any) -> Env:
    """Make an environment by its id.

    Raises:
        ValueError: The id is unknown, or ``max_episode_steps`` is below 1.
    """
    steps = kwargs.get("max_episode_steps")
    if steps is not None and not (type(steps) is int and steps >= 1):
        raise ValueError(f"max_episode_steps is {steps!r}; expected a whole number of at least 1")
    try:
        return gym.make(env_id, **kwargs)
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise ValueError(
            f"cannot make {env_id!r} ({error}); environments of lam_envs: {', '.join(lam_envs.ENV_IDS)}. Write one "
            "of your own as module:Id-v0, with the module that registers it"
        ) from error

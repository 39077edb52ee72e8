"""Episodes of an agent, one after the other, or several at once with batches of observations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import gymnasium as gym
import numpy as np

from agents.spec import TakesBatches
from agents.types import Env
from demos.collection.recording import Policy, Step, predicted, rollout, stack, take_step


class EpisodeStep(NamedTuple):
    """Step of one of several episodes.

    Attributes:
        number: Number of the episode, in the order of the seeds.
        env: Environment after the step.
        step: The step; that of the reset is the first of an episode.
    """

    number: int
    env: Env
    step: Step


def one_at_a_time(
    env: Env, agent: Policy, seeds: Sequence[int], begin: Callable[[int], None]
) -> Iterator[EpisodeStep]:
    """Roll out an agent, deterministically, for one episode per seed.

    Args:
        env: Environment with a time limit.
        agent: Agent.
        seeds: Seeds of the episodes.
        begin: Called with the number of each episode before its reset.

    Yields:
        All steps of the first episode, then those of the next.

    Raises:
        TypeError: ``predict`` returns something else than an action and a state.
    """
    for number, seed in enumerate(seeds):
        begin(number)
        for step in rollout(env, agent, seed):
            yield EpisodeStep(number, env, step)


def several_at_once(
    envs: Sequence[Env], agent: Policy, seeds: Sequence[int], begin: Callable[[int], None]
) -> Iterator[EpisodeStep]:
    """Roll out an agent, deterministically, for one episode per seed, in several environments at once.

    The agent acts on a batch with one row for each environment. Where an episode ends, that of the next seed begins.
    When no seeds are left, the rows of idle environments repeat their last observation; their actions are ignored.

    Args:
        envs: Copies of an environment with a time limit, at most as many as seeds.
        agent: Agent that acts on batches (:func:`check_takes_batches`).
        seeds: Seeds of the episodes.
        begin: Called with the number of each episode before its reset.

    Yields:
        A step of each running episode in turn.

    Raises:
        TypeError: ``predict`` returns something else than actions and a state.
        ValueError: The actions have another shape than a batch of them.
    """
    shape = (len(envs), *(envs[0].action_space.shape or ()))
    started = 0
    latest: list[EpisodeStep] = []
    for env in envs:
        begin(started)
        latest.append(_first(started, env, seeds))
        yield latest[-1]
        started += 1
    running, starts, state = set(range(len(envs))), np.ones(len(envs), dtype=bool), None
    while running:
        observations = stack([each.step.observation for each in latest])
        actions, state = predicted(agent, observations, state, starts)
        if np.shape(actions) != shape:
            raise ValueError(
                f"predict returned actions of shape {np.shape(actions)} for {len(envs)} observations; expected "
                f"{shape}: use num_envs=1 for an agent that does not act on batches"
            )
        starts = np.zeros(len(envs), dtype=bool)
        for row in sorted(running):
            number, env, _ = latest[row]
            latest[row] = EpisodeStep(number, env, take_step(env, actions[row]))
            yield latest[row]
            if not (latest[row].step.terminated or latest[row].step.truncated):
                continue
            if started == len(seeds):
                running.remove(row)
                continue
            begin(started)
            latest[row], starts[row] = _first(started, env, seeds), True
            yield latest[row]
            started += 1


def _first(number: int, env: Env, seeds: Sequence[int]) -> EpisodeStep:
    """Reset an environment; return the first step of an episode."""
    observation, info = env.reset(seed=seeds[number])
    return EpisodeStep(number, env, Step(None, observation, 0.0, False, False, info))


def check_takes_batches(agent: Policy, num_envs: int) -> None:
    """Check that an agent acts on batches of observations of several episodes.

    Models and policies of Stable-Baselines3 do. All others declare it (:class:`agents.spec.TakesBatches`).

    Args:
        agent: Agent of any kind.
        num_envs: Number of episodes at once.

    Raises:
        ValueError: It does not.
    """
    if isinstance(agent, TakesBatches) and agent.takes_batches:
        return
    if "stable_baselines3" in sys.modules:
        from agents.evaluation.vecenv import is_stable_baselines  # late: it imports PyTorch

        if is_stable_baselines(agent):
            return
    raise ValueError(
        f"num_envs is {num_envs}, but {type(agent).__name__} acts in one episode at a time: use num_envs=1. An agent "
        "whose predict takes batches, with a state of one row for each episode, declares takes_batches = True"
    )


def copies(env: Env, count: int) -> list[Env]:
    """Return copies of an environment.

    Args:
        env: Environment made by ``gym.make``.
        count: Number of copies.

    Raises:
        ValueError: The environment has no spec to make copies from.
    """
    if count and env.spec is None:
        raise ValueError(f"{env} has no spec to make copies from: give the id of an environment, or use num_envs=1")
    return [gym.make(env.spec) for _ in range(count)]  # type: ignore[arg-type]  # None only without copies

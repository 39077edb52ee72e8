"""Speed of vector environments, in alternation with one process, and of a training that uses them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

from benchmarks.speed.measuring import Measured, median
from lam_envs.vector import make_vec

ENV_ID = "LamGrasp-v0"
TRAINING_ENV_ID = "LamReach-v0"
ENVIRONMENTS = 16
WORKERS = 2
WARM_UP_STEPS = 5
FORMER_BATCH_SIZE = 64
"""Transitions in a minibatch of version 1 of ppo, which the speed of a training is compared with."""
LIBRARIES = ("gymnasium", "numpy", "pybullet", "stable-baselines3", "torch")
EVALUATED = range(1000, 1100)
"""Seeds of the episodes that evaluate a trained policy."""


class _Loop:
    """Environments in this process that a loop steps.

    Args:
        name: Name in the figures.
        env_id: Id of the environments.
        count: Number of environments: more need more of the processor's cache.
    """

    def __init__(self, name: str, env_id: str, count: int) -> None:
        self.name = name
        self._envs = [gym.make(env_id) for _ in range(count)]
        for number, env in enumerate(self._envs):
            env.reset(seed=number)

    def steps(self, batches: list[Any]) -> None:
        """Do all actions of all batches, one after the other."""
        for batch in batches:
            for env, action in zip(itertools.cycle(self._envs), batch, strict=False):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()


class _IndependentProcesses:
    """Processes that each step their part of the environments by a loop, without exchanging anything.

    No vector environment with as many workers can be faster: this is what the processor allows.

    Args:
        name: Name in the figures.
        env_id: Id of the environments.
    """

    def __init__(self, name: str, env_id: str) -> None:
        self.name = name
        self._count = ENVIRONMENTS // WORKERS
        self._connections = []
        for number in range(WORKERS):
            here, there = multiprocessing.Pipe()
            multiprocessing.Process(
                target=_step_without_exchange,
                args=(there, f"{name}, process {number}", env_id, self._count),
                daemon=True,
            ).start()
            self._connections.append(here)

    def steps(self, batches: list[Any]) -> None:
        """Do all actions of all batches, each process those of its environments."""
        for number, connection in enumerate(self._connections):
            first = number * self._count
            connection.send([batch[first : first + self._count] for batch in batches])
        for connection in self._connections:
            connection.recv()

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.send(None)


def _step_without_exchange(connection: Connection, name: str, env_id: str, count: int) -> None:
    """Do the actions that another process sends, until it sends None."""
    loop = _Loop(name, env_id, count)
    while (batches := connection.recv()) is not None:
        loop.steps(batches)
        connection.send(None)
    loop.close()


class _Vector:
    """Vector environment.

    Args:
        name: Name in the figures.
        make: Makes it.
    """

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self.envs = make()
        self.envs.reset(seed=0)

    def steps(self, batches: list[Any]) -> None:
        """Step all environments with each batch of actions."""
        for batch in batches:
            self.envs.step(batch)

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()


def measure(
    env_id: str = ENV_ID, *, steps: int, rounds: int, training_steps: int = 0, training_rounds: int = 1
) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        env_id: Id of the environments.
        steps: Steps of each environment in a round.
        rounds: Number of rounds; what is compared alternates.
        training_steps: Steps of a training of PPO; 0 for none.
        training_rounds: Number of trainings of each kind.
    """
    several, one, theirs = f"{WORKERS} workers", "1 worker", f"AsyncVectorEnv of {ENVIRONMENTS}"
    independent = _IndependentProcesses(f"{WORKERS} processes that exchange nothing", env_id)
    loops = [
        _Loop("a loop over 1 environment", env_id, 1),
        _Loop(f"a loop over {ENVIRONMENTS} environments", env_id, ENVIRONMENTS),
    ]
    vectors = [
        _Vector(several, partial(make_vec, env_id, ENVIRONMENTS, num_workers=WORKERS)),
        _Vector(one, partial(make_vec, env_id, ENVIRONMENTS, num_workers=1)),
        _Vector(theirs, lambda: AsyncVectorEnv([partial(gym.make, env_id)] * ENVIRONMENTS)),
    ]
    measured: list[Any] = [*loops, independent, *vectors]
    space = vectors[0].envs.action_space
    space.seed(0)
    batches = [space.sample() for _ in range(steps)]
    rates: dict[str, list[float]] = {each.name: [] for each in measured}
    costs: dict[str, list[float]] = {each.name: [] for each in measured}
    step_seconds = 1.0 / vectors[0].envs.metadata["render_fps"]
    try:
        for each in measured:
            each.steps(batches[:WARM_UP_STEPS])
        for _ in range(rounds):
            for each in measured:
                start, used = time.perf_counter(), _processor_seconds()
                each.steps(batches)
                count = steps * ENVIRONMENTS
                rates[each.name].append(count / (time.perf_counter() - start))
                costs[each.name].append(1000.0 * (_processor_seconds() - used) / count)
    finally:
        for each in measured:
            each.close()
    for name, values in rates.items():
        yield median(f"{env_id}, {name}", values, "steps/s")
        yield median(f"{env_id}, {name}: real-time factor", [rate * step_seconds for rate in values], "")
        yield median(f"{env_id}, {name}: processor time of all processes", costs[name], "ms a step")
    pairs = [
        (several, theirs),
        (several, independent.name),
        *((ours, loop.name) for ours in (several, one, independent.name) for loop in loops),
    ]
    for ours, against in pairs:
        ratios = [mine / other for mine, other in zip(rates[ours], rates[against], strict=True)]
        yield median(f"{env_id}, {ours} over {against}", ratios, "")
    if training_steps:
        yield from _training(training_steps, training_rounds)


def _training(steps: int, rounds: int) -> Iterator[Measured]:
    """Measure a training of PPO as in version 1, with its environments in this process, and as now."""
    before = f"minibatches of {FORMER_BATCH_SIZE}, environments in this process"
    now = "default settings"
    found: dict[str, list[tuple[float, float]]] = {before: [], now: []}
    for _ in range(rounds):
        for name, results in found.items():
            results.append(_trained(steps, is_former=name == before))
    for name, results in found.items():
        title = f"ppo, {TRAINING_ENV_ID}, {steps:,} steps, {name}"
        yield median(title, [seconds for seconds, _ in results], "s")
        yield median(f"{title}: success", [success for _, success in results], "")
    ratios = [new[0] / old[0] for new, old in zip(found[now], found[before], strict=True)]
    yield median(
        "training time of ppo with the default settings over that with the settings of version 1", ratios, ""
    )


def _trained(steps: int, *, is_former: bool) -> tuple[float, float]:
    """Train PPO, as in its version 1 or as now; return seconds and success rate."""
    # PyTorch takes seconds to import.
    from stable_baselines3.common.vec_env import DummyVecEnv

    import agents
    from agents.training.randomness import isolated_rng
    from agents.training.run import Run
    from agents.training.stable_baselines.training import horizon_of, rollout_env, train, training_envs

    env = gym.make(TRAINING_ENV_ID)
    settings = {"batch_size": FORMER_BATCH_SIZE} if is_former else {}
    agent: Any = agents.make("ppo", env, **settings)
    functions: list[Any] = [partial(rollout_env, env, 0, index) for index in range(agent.n_envs)]
    start = time.perf_counter()
    envs = DummyVecEnv(functions) if is_former else training_envs(env, 0, agent.n_envs)
    with isolated_rng(0):
        model = agent.new_model(envs, horizon_of(env), "cpu")
        model.set_random_seed(0)
        train(model, env, Run(), steps=steps)
    envs.close()
    seconds = time.perf_counter() - start
    agent.policy = model.policy
    success = agents.evaluate(agent, env, seeds=EVALUATED).success_rate
    env.close()
    return seconds, success


def _processor_seconds() -> float:
    """Return the processor time of this process and the processes that it started; 0 where it is unknown."""
    try:
        unit = os.sysconf("SC_CLK_TCK")
        stats = [
            Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
            for number in (os.getpid(), *(child.pid for child in multiprocessing.active_children()))
        ]
    except (OSError, ValueError, AttributeError):
        return 0.0
    # User and system time are the 14th and 15th of proc_pid_stat(5); the name, the second, is cut off.
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / unit

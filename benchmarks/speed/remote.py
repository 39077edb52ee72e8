"""Overhead of remote policies: a decision by a policy server, in alternation with one in this process."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

import lam_envs  # noqa: F401  (registers the ids)
from agents.types import Action, Array, Env, Memory, Observation, Start
from benchmarks.speed.measuring import Measured, median
from demos.collection.recording import Policy

CASES = {"state": "LamGrasp-v0", "two images of 84x84": "LamGraspPixels-v0"}
"""Environment of each kind of observation."""
WARM_UP = 50
"""Calls before those that are measured."""
CONNECTIONS = 20
"""Episodes in a round; each begins with a connection."""
LIBRARIES = ("gymnasium", "msgpack", "numpy", "websockets")


class Still:
    """Policy that computes nothing, so that the figures have no inference time of a network.

    Args:
        env: Environment whose middle action it returns.
    """

    def __init__(self, env: Env) -> None:
        space = env.action_space
        assert isinstance(space, gym.spaces.Box)  # noqa: S101  (the cases have continuous actions)
        self._action = np.zeros(space.shape, dtype=space.dtype)

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        """Return the same action for any observation."""
        return self._action, state


def measure(*, calls: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        calls: Decisions of a round.
        rounds: Number of rounds; remote decisions and those of this process alternate.
    """
    from agents.deployment.remote.agent import RemoteAgent  # late: an extra of its own

    connecting: list[float] = []
    for name, env_id in CASES.items():
        env = gym.make(env_id)
        own = Still(env)
        observations = _observations(env)
        with _served(env_id) as address:
            remote = RemoteAgent(address, env)
            _seconds(remote, observations, WARM_UP)
            differences = []
            for _ in range(rounds):
                times = np.array([_seconds(policy, observations, calls) for policy in (own, remote)])
                differences.append(1000.0 * float(np.median(times[1]) - np.median(times[0])))
                if name == "state":
                    starts = [_first(remote, observations[0]) for _ in range(CONNECTIONS)]
                    connecting.append(1000.0 * float(np.median(starts)) - differences[-1])
            remote.close()
        env.close()
        yield median(f"overhead of a remote decision, {name}", differences, "ms")
    yield median("time to connect, once an episode", connecting, "ms")


def _observations(env: Env) -> list[Observation]:
    """Return the observations of an episode with random actions."""
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    found = [observation]
    for _ in range(20):
        found.append(env.step(env.action_space.sample())[0])
    return found


def _seconds(policy: Policy, observations: list[Observation], calls: int) -> Array:
    """Return the wall time of each decision after the first of an episode, shape (calls,)."""
    _, state = policy.predict(observations[0])
    times = np.empty(calls)
    for number in range(calls):
        observation = observations[number % len(observations)]
        began = time.perf_counter()
        _, state = policy.predict(observation, state, np.array([False]))
        times[number] = time.perf_counter() - began
    return times


def _first(policy: Policy, observation: Observation) -> float:
    """Return the wall time of the first decision of an episode."""
    began = time.perf_counter()
    policy.predict(observation)
    return time.perf_counter() - began


@contextlib.contextmanager
def _served(env_id: str) -> Iterator[str]:
    """Serve the policy in a process of its own; yield the address."""
    context: Any = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = context.Process(target=_serve, args=(env_id, listening), daemon=True)
        process.start()
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.terminate()
            process.join()


def _serve(env_id: str, listening: socket.socket) -> None:
    from agents.deployment.remote.server import PolicyServer

    env = gym.make(env_id)
    PolicyServer(Still(env), env, {"version": "still 1"}).run(listening)

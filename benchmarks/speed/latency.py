"""Inference latency: the time in which each kind of policy plans its actions for one observation, on one core."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

import agents
from agents.types import Keywords
from benchmarks.speed.measuring import Measured, median
from demos.collection.recording import Policy

STATE: tuple[str, Keywords] = ("LamGrasp-v0", {})
IMAGES: tuple[str, Keywords] = ("LamGraspPixels-v0", {})
PLAN_EACH: Keywords = {"executed_actions": 1}
"""Settings with which an agent plans a chunk of actions at every step."""
CASES: dict[str, tuple[str, tuple[str, Keywords], Keywords]] = {
    "bc, state": ("bc", STATE, {}),
    "bc-rnn, state": ("bc-rnn", STATE, PLAN_EACH),
    "act, state": ("act", STATE, PLAN_EACH),
    "diffusion, state": ("diffusion", STATE, PLAN_EACH),
    "lam, state": ("lam", STATE, PLAN_EACH),
    "lam, six objects and an instruction": ("lam", ("LamTable-v0", {"instruct": True, "cubes": 5}), PLAN_EACH),
    "bc, two images of 84x84": ("bc", IMAGES, {}),
    "bc-rnn, two images of 84x84": ("bc-rnn", IMAGES, PLAN_EACH),
    "act, two images of 84x84": ("act", IMAGES, PLAN_EACH),
    "diffusion, two images of 84x84": ("diffusion", IMAGES, PLAN_EACH),
    "keypoints, two images of 84x84": ("keypoints", IMAGES, {}),
    "keypoints with diffusion, two images of 84x84": (
        "keypoints",
        IMAGES,
        {"learner": "diffusion", **PLAN_EACH},
    ),
}
"""Agent, environment and settings of each figure. The weights are random: the time does not depend on them."""
WARM_UP = 20
"""Calls before those that are measured."""
LIBRARIES = ("gymnasium", "numpy", "torch")


def measure(*, calls: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Every call plans a whole chunk of actions, because only one action of each chunk is executed
    (``executed_actions=1``). The first call of an episode is not measured.

    Args:
        calls: Calls of ``predict`` in a round.
        rounds: Number of rounds.
    """
    import torch  # late: other commands do not need it

    from agents.training.randomness import isolated_rng

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, (agent, (env_id, keywords), settings) in CASES.items():
            env = gym.make(env_id, **keywords)
            observation, _ = env.reset(seed=0)
            with isolated_rng(0):
                policy = agents.make(agent, env, **settings)
            _milliseconds(policy, observation, WARM_UP)
            times = [_milliseconds(policy, observation, calls) for _ in range(rounds)]
            yield median(f"inference latency of {name}", times, "ms")
            env.close()
    finally:
        torch.set_num_threads(threads)


def _milliseconds(policy: Policy, observation: Any, calls: int) -> float:
    """Return the median wall time of a call after the first one of an episode, ms."""
    times = np.empty(calls)
    _, state = policy.predict(observation, None, np.array([True]), deterministic=True)
    for number in range(calls):
        began = time.perf_counter()
        _, state = policy.predict(observation, state, np.array([False]), deterministic=True)
        times[number] = time.perf_counter() - began
    return 1000.0 * float(np.median(times))

"""Run an episode with given actions and record every bit of its results. Also a script for other processes."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

import lam_envs  # noqa: F401  (registers the ids)

TARGETS = ("object/position", "handle/position", "goal/position")
"""Features whose position the hand moves to, the first that a task has."""


def contact_rich_actions(env: gym.Env[Any, Any], seed: int, steps: int = 10**6) -> list[Any]:
    """Return an episode of actions that push, squeeze and drop: at the object seven times in ten, else anywhere.

    Args:
        env: The environment.
        seed: Seed of the episode and of the actions.
        steps: Largest number of steps.
    """
    from lam_envs.control import ToolCommand

    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    inner: Any = env.unwrapped
    env.reset(seed=seed)
    actions: list[Any] = []
    over = False
    while not over and len(actions) < steps:
        features = inner.features()
        target = next(features[name] for name in TARGETS if name in features)
        command = ToolCommand(tuple(target.tolist()), float(rng.choice([0.0, 0.08])))
        wanted = inner.action_for(command, features)
        actions.append(wanted if rng.random() < 0.7 else env.action_space.sample())
        _, _, terminated, truncated, _ = env.step(actions[-1])
        over = terminated or truncated
    return actions


def play(env: gym.Env[Any, Any], seed: int, actions: list[Any]) -> Iterator[tuple[Any, float, bool, bool, Any]]:
    """Reset, and yield the result of each action's step."""
    env.reset(seed=seed)
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        yield observation, float(reward), terminated, truncated, info


def fingerprint(parts: list[Any]) -> str:
    """Hash arrays, numbers and dicts of them, bit for bit."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, dict):
            for name in sorted(part):
                digest.update(name.encode())
                add(part[name])
        else:
            array: npt.NDArray[Any] = np.asarray(part)
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())

    for one in parts:
        add(one)
    return digest.hexdigest()


def trace(env: gym.Env[Any, Any], seed: int, actions: list[Any], options: dict[str, Any] | None = None) -> str:
    """Fingerprint observations, rewards and infos of an episode."""
    observation, info = env.reset(seed=seed, options=options)
    parts = [observation, info]
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        parts += [observation, float(reward), terminated, truncated, info]
    return fingerprint(parts)


if __name__ == "__main__":
    prints = []
    for env_id, keywords, seed, actions in json.load(sys.stdin):
        made = gym.make(env_id, **keywords)
        dtype = made.action_space.dtype
        prints.append(trace(made, seed, [np.array(action, dtype=dtype) for action in actions]))
        made.close()
    json.dump(prints, sys.stdout)

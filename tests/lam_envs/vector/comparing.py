"""Vector environments of a few small environments, and exact comparison of what they return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from lam_envs.vector import ParallelVectorEnv

SMALL_IMAGES = {"cameras": ("front",), "image_width": 16, "image_height": 16}


@contextmanager
def vector(env_id: str = "LamReach-v0", count: int = 3, **keywords: Any) -> Iterator[ParallelVectorEnv]:
    """Make a vector environment by Gymnasium, and close it at the end."""
    envs: Any = gym.make_vec(env_id, num_envs=count, **keywords)
    assert isinstance(envs, ParallelVectorEnv)
    try:
        yield envs
    finally:
        envs.close()


def assert_same(found: Any, expected: Any, where: str = "result") -> None:
    """Check that two results have the same types, shapes and bits."""
    if isinstance(expected, dict):
        assert isinstance(found, dict), where
        assert set(found) == set(expected), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}[{key!r}]")
    elif isinstance(expected, tuple | list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    elif isinstance(expected, np.ndarray) and expected.dtype == object:
        assert found.dtype == object, where
        assert_same(list(found), list(expected), where)
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray), where
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        assert found.tobytes() == expected.tobytes(), where
    else:
        assert found == expected, where


def batches(envs: gym.vector.VectorEnv[Any, Any, Any], steps: int, seed: int = 0) -> list[Any]:
    """Return random batches of actions."""
    envs.action_space.seed(seed)
    return [envs.action_space.sample() for _ in range(steps)]

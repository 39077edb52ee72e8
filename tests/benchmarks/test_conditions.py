"""Conditions change an environment as they say, and the same way for the same seed."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from benchmarks.suite.conditions import NoisyActions


def test_noisy_actions_have_the_noise_that_was_asked_for_and_repeat() -> None:
    env = NoisyActions(gym.make("LamReach-v0"), 0.1)
    zero = np.zeros(4, dtype=np.float32)
    env.reset(seed=5)
    noises = np.array([env.action(zero) for _ in range(2000)])
    assert noises.dtype == np.float32
    assert np.abs(noises.std(axis=0) - 0.1).max() < 0.01
    assert np.abs(noises.mean(axis=0)).max() < 0.01
    env.reset(seed=5)
    np.testing.assert_array_equal(env.action(zero), noises[0])
    env.reset(seed=5)
    # An agent that rounds its actions gets the same noise.
    np.testing.assert_array_equal(env.action(np.zeros(4, dtype=np.int64)), noises[0])
    env.close()

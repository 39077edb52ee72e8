"""Checks for every agent that learns from images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import agents
from agents.registry import TrainableAgent


def check_that_actions_depend_on_images(agent: TrainableAgent, env: gym.Env[Any, Any], folder: Path) -> None:
    """Check that actions are valid, depend on the image of camera `front`, and stay the same after saving."""
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    assert env.action_space.contains(action)
    loaded = agents.load(agent.save(folder / "agent"), env)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], action)
    blank = {**observation, "front": np.zeros_like(observation["front"])}
    assert not np.array_equal(loaded.predict(blank, deterministic=True)[0], action)

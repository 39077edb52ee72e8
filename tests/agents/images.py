"""Checks for every agent that learns from images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import agents
from agents.spec import TrainableAgent


def check_that_actions_depend_on_images(agent: TrainableAgent, env: gym.Env[Any, Any], folder: Path) -> None:
    """Check that actions are valid, depend on the image of camera `front`, and stay the same after saving."""
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    assert env.action_space.contains(action)
    loaded = agents.load(agent.save(folder / "agent"), env)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], action)
    blank = {**observation, "front": np.zeros_like(observation["front"])}
    assert not np.array_equal(loaded.predict(blank, deterministic=True)[0], action)


def check_that_the_last_action_is_hidden(agent: TrainableAgent, env: gym.Env[Any, Any]) -> None:
    """Check that actions do not depend on the lag and the velocity of the tool, but on its position."""
    layout: Any = env.get_wrapper_attr("layout")
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    for feature, used in (("tool/lag", False), ("tool/velocity", False), ("tool/position", True)):
        changed = {**observation, "robot": observation["robot"].copy()}
        changed["robot"][layout[feature].slice] += 1.0
        assert np.array_equal(agent.predict(changed, deterministic=True)[0], action) != used, feature

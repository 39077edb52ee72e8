"""Demonstrations of pushes with small images, for the tests of keypoints."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

import demos
from agents.data.demonstrations import DemonstrationData
from agents.estimation.scenes import PixelObservations, Scenes, read_scenes

from ...conftest import Make

SIZE = {"image_width": 40, "image_height": 32}


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Demonstrations of LamPushPixels-v0."""
    root = tmp_path_factory.mktemp("push")
    return demos.collect("LamPushPixels-v0", episodes=2, env_kwargs=SIZE, root=root)


@pytest.fixture
def env(make: Make) -> Any:
    return make("LamPushPixels-v0", **SIZE)


@pytest.fixture(scope="module")
def scenes(push: Any) -> Scenes:
    env = gym.make("LamPushPixels-v0", **SIZE)
    found = read_scenes(DemonstrationData(push), PixelObservations.of(env))
    env.close()
    return found

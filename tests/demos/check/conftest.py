"""Datasets to damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

import demos

from .damage import EPISODES


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets by name; not to be changed."""
    root = tmp_path_factory.mktemp("collected")
    small = {"image_width": 32, "image_height": 32, "max_episode_steps": 10}
    pixels: Any = {"episodes": 2, "env_kwargs": small, "keep_failures": True, "root": root}
    made = {
        "reach": demos.collect("LamReach-v0", episodes=EPISODES, root=root),
        "pixels": demos.collect("LamReachPixels-v0", **pixels),
        "jpeg": demos.collect("LamReachPixels-v0", jpeg=True, **pixels),
    }
    return {name: Path(dataset.storage.data_path) for name, dataset in made.items()}


@pytest.fixture
def reach(collected: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected["reach"], tmp_path / "data"))


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A dataset that Minari wrote, of infos that are empty."""
    env = gym.make("CartPole-v1")
    storage = MinariStorage.new(tmp_path, env.observation_space, env.action_space, env.spec)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        storage.update_episodes(
            [
                EpisodeBuffer(
                    seed=seed,
                    observations=0.4 * rng.random((11, 4), dtype=np.float32),
                    actions=rng.integers(2, size=10),
                    rewards=[1.0] * 10,
                    terminations=[False] * 9 + [True],
                    truncations=[False] * 10,
                    infos={},
                )
            ]
        )
    storage.update_metadata({"dataset_id": "others/pole-v0", "minari_version": minari.__version__})
    return tmp_path

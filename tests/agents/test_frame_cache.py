"""Trainings from a frame cache give the same agents as trainings that decode images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.data.demonstrations import DemonstrationData
from demos.datasets.windows.frame_cache import cache_frames, frame_cache_file, has_frame_cache

ID = "small/jpeg-v0"
KEYWORDS: dict[str, Any] = {"image_width": 32, "image_height": 32, "max_episode_steps": 10}
SETTINGS: dict[str, dict[str, Any]] = {
    "bc": {"batch_size": 16, "hidden_sizes": (8,), "image_readout": "spatial_softmax"},
    "act": {"batch_size": 16, "width": 16, "encoder_layers": 1, "heads": 2},
}


@pytest.fixture
def dataset(tmp_path: Path) -> Any:
    return demos.collect(
        "LamReachPixels-v0", episodes=4, env_kwargs=KEYWORDS, keep_failures=True, jpeg=True, root=tmp_path,
        dataset_id=ID,
    )  # fmt: skip


def trained(name: str, dataset: Any, *, in_memory_bytes: int = 0) -> dict[str, torch.Tensor]:
    env = gym.make("LamReachPixels-v0", **KEYWORDS)
    agent = agents.make(name, env, **SETTINGS[name])
    data = DemonstrationData(dataset, in_memory_bytes=in_memory_bytes)
    assert data.is_in_memory == bool(in_memory_bytes)
    agent.learn(data, env, seed=0, budget=2)
    env.close()
    weights: dict[str, torch.Tensor] = agent.policy.state_dict()
    return weights


@pytest.mark.parametrize("name", ["bc", "act"])
def test_a_training_is_the_same_from_memory_from_files_and_from_the_cache(name: str, dataset: Any) -> None:
    held, decoded = trained(name, dataset, in_memory_bytes=2**30), trained(name, dataset)
    assert cache_frames(dataset) is not None
    cached = trained(name, dataset)
    for key, values in held.items():
        assert torch.equal(values, decoded[key]), key
        assert torch.equal(values, cached[key]), key


def test_the_command_writes_the_cache_and_reports_it(dataset: Any, tmp_path: Path) -> None:
    command = ["train", "bc", "--demos", ID, "--root", str(tmp_path), "--out", str(tmp_path / "bc"), "--budget", "1"]
    command += ["--env", "LamReachPixels-v0", "--eval-episodes", "0", "--config", "batch_size=16", "--cache-frames"]
    for name, value in KEYWORDS.items():
        command += ["--env-kwargs", f"{name}={value}"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert has_frame_cache(dataset)
    assert str(frame_cache_file(dataset)) in result.output.replace("\n", "")

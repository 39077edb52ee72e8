"""A training reads datasets of any size from their files, within a fixed memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import demos
from demos.datasets.windows.frame_cache import cache_frames
from demos.datasets.writing import dataset_writer

KEYWORDS: dict[str, Any] = {"image_width": 128, "image_height": 128, "max_episode_steps": 60}
TRAIN = """
import resource, sys
import torch
import demos
from agents.data.demonstrations import DemonstrationData
from agents.policies.torch_policy import TorchPolicy
from agents.training.loop import LoopSettings, TrainingLoop

class MeanColor(TorchPolicy):
    def __init__(self, data):
        super().__init__(data.observation_space, data.action_space)
        self.guess = torch.nn.Parameter(torch.zeros(1))
    def compute_loss(self, batch):
        pixels = batch.observations["front"].float() / 255.0
        return (pixels.mean() - self.guess).square().mean(), {}
    def predict_action(self, observation, memory=None, *, deterministic=True):
        raise NotImplementedError
    def fit_normalizer(self, statistics, masked=()):
        pass

torch.set_num_threads(1)
data = DemonstrationData(demos.load(sys.argv[1], sys.argv[2]), in_memory_bytes=2**24)
assert not data.is_in_memory
loop = TrainingLoop(MeanColor(data), data.sequences(2, 8), LoopSettings(1, 128, 0.1), seed=0, device="cpu")
loop.epoch()
print(len(data.sequences(2, 8)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def written(small: Any, times: int, name: str, root: Path, *, jpeg: bool = False) -> int:
    """Write a dataset that repeats a small one, and its frame cache if it has JPEG images; return the size, MB."""
    source = small.storage.data_path / "main_data.hdf5"
    spaces = (small.observation_space, small.action_space)
    with dataset_writer(name, *spaces, None, {}, root=root, jpeg=jpeg) as writer:
        for _ in range(times):
            writer.copy(source, range(small.total_episodes))
    path = cache_frames(demos.load(name, root))
    assert (path is not None) == jpeg
    return (
        int(path.stat().st_size // 2**20)
        if path is not None
        else int((root / name / "data" / "main_data.hdf5").stat().st_size // 2**20)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="pages of mapped files are released on Linux")
@pytest.mark.parametrize("jpeg", [False, True], ids=["files", "frame cache"])
def test_memory_of_a_training_does_not_grow_with_the_dataset(jpeg: bool, tmp_path: Path) -> None:
    small = demos.collect(
        "LamReachPixels-v0", episodes=4, env_kwargs=KEYWORDS, keep_failures=True, jpeg=jpeg, root=tmp_path,
        dataset_id="small-v0",
    )  # fmt: skip
    sizes, peaks, steps = [], [], []
    for name, times in (("some-v0", 10), ("many-v0", 30)):
        sizes.append(written(small, times, name, tmp_path, jpeg=jpeg))
        command = [sys.executable, "-c", TRAIN, name, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        peaks.append(peak)
        steps.append(count)
    assert steps[1] == 3 * steps[0]
    assert sizes[1] - sizes[0] > 400
    assert peaks[1] - peaks[0] < 200, (sizes, peaks)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 < 2048

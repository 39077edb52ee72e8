"""A training reads datasets of any size from their files, within a fixed memory."""

from __future__ import annotations

import json
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

BC = """
import json, resource, sys
import gymnasium as gym
import agents, demos
from agents.data.demonstrations import DemonstrationData

data = DemonstrationData(demos.load(sys.argv[1], sys.argv[2]), in_memory_bytes=2**24)
assert not data.is_in_memory
env = gym.make("LamReachPixels-v0", **json.loads(sys.argv[3]))
settings = {"hidden_sizes": [16], "image_readout": "flatten", "image_shift": 0, "idle_steps": None}
agent = agents.make("bc", env, batch_size=64, **settings)
before = {name: weights.clone() for name, weights in agent.weights().items()}
agent.learn(data, env, seed=0, budget=1, run=agents.Run(device="cpu"))
assert any((weights != before[name]).any() for name, weights in agent.weights().items())
print(len(data.transitions()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""

DAGGER = """
import json, resource, sys
from pathlib import Path
import gymnasium as gym
import torch
import agents, demos
from agents.data.demonstrations import DemonstrationData
from agents.imitation.dagger import DAgger
from agents.imitation.ensemble_dagger import EnsembleDAgger
from agents.imitation.hg_dagger import HGDAgger
from agents.policies.torch_policy import TorchPolicy

class Checked(agents.Run):
    sizes = []
    def checkpoint(self, state, *, now=False):
        super().checkpoint(state, now=True)
        self.sizes.append((self.folder / "checkpoint.safetensors").stat().st_size)

class MeanColor(TorchPolicy):
    def __init__(self, observation_space, action_space):
        super().__init__(observation_space, action_space)
        self.guess = torch.nn.Parameter(torch.zeros(1))
    def compute_loss(self, batch):
        pixels = batch.observations["front"].float() / 255.0
        return (pixels.mean() - self.guess).square().mean(), {}
    def predict_action(self, observation, memory=None, *, deterministic=True):
        return torch.zeros(len(observation["front"]), 4), memory
    def disagreement(self, observation):
        return observation["front"].float().mean(dim=(1, 2, 3))
    def fit_normalizer(self, statistics, masked=None):
        self.color = statistics["observation/front"].mean

torch.set_num_threads(1)
kind = {"dagger": DAgger, "hg-dagger": HGDAgger, "ensemble-dagger": EnsembleDAgger}[sys.argv[3]]
class Cheap(kind):
    def new_policy(self):
        return MeanColor(self.observation_space, self.action_space)

data = DemonstrationData(demos.load(sys.argv[1], sys.argv[2]), in_memory_bytes=2**24)
assert not data.is_in_memory
env = gym.make("LamReachPixels-v0", **json.loads(sys.argv[4]))
agent = Cheap(env, initial_fraction=1.0, updates_per_iteration=1, epochs=1, **json.loads(sys.argv[5]))
run = Checked(Path(sys.argv[2]) / f"{sys.argv[1]}.training", device="cpu")
agent.learn(data, env, seed=0, budget=data.total_steps + 60, run=run)
assert data.total_steps < agent.training["labels"] <= data.total_steps + 60, agent.training["labels"]
print(data.total_steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, max(run.sizes) // 2**20)
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
@pytest.mark.parametrize(
    ("program", "jpeg"),
    [(TRAIN, False), (TRAIN, True), (BC, False)],
    ids=["loop, files", "loop, frame cache", "bc, files"],
)
def test_memory_of_a_training_does_not_grow_with_the_dataset(program: str, jpeg: bool, tmp_path: Path) -> None:
    small = demos.collect(
        "LamReachPixels-v0", episodes=4, env_kwargs=KEYWORDS, keep_failures=True, jpeg=jpeg, root=tmp_path,
        dataset_id="small-v0",
    )  # fmt: skip
    sizes, peaks, steps = [], [], []
    for name, times in (("some-v0", 10), ("many-v0", 30)):
        sizes.append(written(small, times, name, tmp_path, jpeg=jpeg))
        command = [sys.executable, "-c", program, name, str(tmp_path), json.dumps(KEYWORDS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        count, peak = map(int, done.stdout.split())
        peaks.append(peak)
        steps.append(count)
    assert steps[1] == 3 * steps[0]
    assert sizes[1] - sizes[0] > 400
    assert peaks[1] - peaks[0] < 200, (sizes, peaks)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 < 2048


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="pages of mapped files are released on Linux")
@pytest.mark.parametrize(
    ("agent", "settings"),
    [("dagger", {}), ("hg-dagger", {}), ("ensemble-dagger", {"disagreement_quantile": 0.05})],
    ids=["dagger", "hg-dagger", "ensemble-dagger"],
)
def test_memory_and_checkpoints_of_dagger_do_not_grow_with_the_demonstrations(
    agent: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    small = demos.collect(
        "LamReachPixels-v0", episodes=4, env_kwargs=KEYWORDS, keep_failures=True, root=tmp_path,
        dataset_id="small-v0",
    )  # fmt: skip
    sizes, peaks, checkpoints, steps = [], [], [], []
    for name, times in (("some-v0", 10), ("many-v0", 30)):
        sizes.append(written(small, times, name, tmp_path))
        command = [sys.executable, "-c", DAGGER, name, str(tmp_path), agent, *map(json.dumps, (KEYWORDS, settings))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        count, peak, checkpoint = map(int, done.stdout.split())
        steps.append(count)
        peaks.append(peak)
        checkpoints.append(checkpoint)
    assert steps[1] == 3 * steps[0]
    assert sizes[1] - sizes[0] > 400
    assert peaks[1] - peaks[0] < 200, (sizes, peaks)
    # The images of one episode of rollouts.
    assert checkpoints[0] == checkpoints[1] <= 6, (sizes, checkpoints)

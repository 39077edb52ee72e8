"""Speed and memory of trainings on images, by where the frames come from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym

import agents
import demos
from benchmarks.speed.measuring import Measured, median, run_in_new_process
from demos.datasets.windows.frame_cache import cache_frames
from demos.datasets.writing import dataset_writer

ENV_ID = "LamGraspPixels-v0"
AGENTS = ("bc", "act")
COLLECTED = 4
"""Episodes that are collected; the datasets repeat them."""
RAW, JPEG, CACHED = "bench/raw-v0", "bench/jpeg-v0", "bench/cached-v0"
IN_MEMORY = 2**40
"""Limit of observations in memory, bytes, which no dataset reaches."""
SOURCES = {
    "memory": (RAW, IN_MEMORY),
    "files": (RAW, 0),
    "JPEG files": (JPEG, 0),
    "the frame cache of JPEG files": (CACHED, 0),
}
"""Dataset and largest number of bytes in memory, by the name of the source."""


def measure_images(root: Path, *, episodes: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        root: Folder for the datasets.
        episodes: Episodes of the datasets, rounded up to a multiple of :data:`COLLECTED`. The smallest dataset whose
            frames do not all stay decoded has 28.
        rounds: Number of rounds; what is compared alternates.
    """
    _write_datasets(root, -(-episodes // COLLECTED))
    seconds, _ = run_in_new_process(_cache, root)
    yield median("writing of the frame cache", [seconds * 1000.0], "ms per step")
    for agent in AGENTS:
        rates: dict[str, list[float]] = {source: [] for source in SOURCES}
        peaks: dict[str, list[float]] = {source: [] for source in SOURCES}
        for _ in range(rounds):
            for source, (dataset_id, in_memory) in SOURCES.items():
                rate, peak = run_in_new_process(_train, root, agent, dataset_id, in_memory)
                rates[source].append(rate)
                peaks[source].append(peak)
        for source in SOURCES:
            yield median(f"training throughput of {agent} on images from {source}", rates[source], "samples/s")
        for source in SOURCES:
            yield median(f"peak memory of {agent} on images from {source}", peaks[source], "MB")
        ratios = [
            cached / decoded
            for cached, decoded in zip(rates["the frame cache of JPEG files"], rates["JPEG files"], strict=True)
        ]
        yield median(f"throughput of {agent} from the frame cache over JPEG files", ratios, "")


def _write_datasets(root: Path, times: int) -> None:
    """Write datasets that repeat a few episodes: uncompressed, and twice as JPEG."""
    for jpeg, names in ((False, (RAW,)), (True, (JPEG, CACHED))):
        small = demos.collect(ENV_ID, episodes=COLLECTED, jpeg=jpeg, root=root)
        source = small.storage.data_path / "main_data.hdf5"
        spaces = (small.observation_space, small.action_space)
        for name in names:
            with dataset_writer(name, *spaces, None, {}, root=root, jpeg=jpeg) as writer:
                for _ in range(times):
                    writer.copy(source, range(COLLECTED))


def _cache(root: Path) -> float:
    """Write the frame cache; return seconds per step."""
    dataset = demos.load(CACHED, root)
    start = time.perf_counter()
    cache_frames(dataset)
    return (time.perf_counter() - start) / int(dataset.total_steps)


def _train(root: Path, name: str, dataset_id: str, in_memory_bytes: int) -> float:
    """Return samples per second of an epoch with the agent's own settings."""
    import torch  # late, as in benchmarks.speed.learning

    from agents.data.demonstrations import DemonstrationData

    torch.set_num_threads(1)
    env: gym.Env[Any, Any] = gym.make(ENV_ID)
    data = DemonstrationData(demos.load(dataset_id, root), in_memory_bytes=in_memory_bytes)
    agent: Any = agents.make(name, env)
    size = min(int(agent.settings.batch_size), data.total_steps)
    start = time.perf_counter()
    agent.learn(data, env, seed=0, budget=1)
    seconds = time.perf_counter() - start
    env.close()
    return float(data.total_steps // size * size / seconds)

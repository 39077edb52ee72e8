"""Speed and memory of recording and reading demonstrations."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import numpy as np

import demos
from benchmarks.speed.measuring import Measured, median, run_in_new_process
from demos.collection.plan import episode_seed
from demos.collection.recording import rollout
from demos.collection.shards import shards_of
from demos.datasets.writing import dataset_writer
from demos.runtime.engines import Job, LocalEngine
from demos.runtime.engines.local import usable_cores

LIBRARIES = ("gymnasium", "h5py", "minari", "numpy", "pybullet", "torch")
"""Libraries whose versions are recorded."""
ENV_ID = "LamGrasp-v0"
PIXELS_ENV_ID = "LamGraspPixels-v0"
WORKERS = 2
BATCH = 256
LEARNED = 128
"""Windows in a minibatch of a training."""
LEARNED_SHARE = 8
"""A training reads one in so many windows of the streamed dataset."""
GIGABYTE = 10**9
WINDOWS = ((1, 1), (2, 8), (2, 16))
"""Observations before and actions after a step."""


def measure(*, episodes: int, rounds: int, gigabytes: float) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        episodes: Episodes of a collection.
        rounds: Number of rounds; what is compared alternates.
        gigabytes: Size of the dataset that is streamed.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield from _collections(root, episodes, rounds)
        dataset = demos.collect(ENV_ID, episodes=episodes, workers=WORKERS, root=root, dataset_id="bench/states-v0")
        for history, chunk in WINDOWS:
            speeds = [
                run_in_new_process(_windows_per_second, root, dataset.id, history, chunk)[0] for _ in range(rounds)
            ]
            yield median(
                f"windows of {_plural(history, 'state')} and {_plural(chunk, 'action')}, batches of {BATCH}",
                speeds,
                "windows/s",
            )
        yield from _image_collections(root, max(8, episodes // 25), rounds)
        yield from _streamed(root, gigabytes)


def _collections(root: Path, episodes: int, rounds: int) -> Iterator[Measured]:
    ratios, rates, peaks = [], [], []
    for number in range(rounds):
        bare, _ = run_in_new_process(_roll_out, episodes)
        recorded, peak = run_in_new_process(_collect, root, f"bench/round{number}-v0", episodes)
        ratios.append(recorded / bare)
        rates.append(episodes / recorded)
        peaks.append(peak)
    few = [run_in_new_process(_collect, root, f"bench/few{number}-v0", episodes // 4)[1] for number in range(rounds)]
    yield median(f"collection of {episodes} episodes by {WORKERS} workers", rates, "episodes/s")
    yield median("time of collection over time of rollouts without recording", ratios, "")
    yield median(f"peak memory of collection, {episodes} episodes", peaks, "MB")
    yield median(f"peak memory of collection, {episodes // 4} episodes", few, "MB")


def _image_collections(root: Path, episodes: int, rounds: int) -> Iterator[Measured]:
    """Yield how fast one worker and all workers collect images, one worker for each core."""
    workers = usable_cores()
    alone, together, peaks = [], [], []
    for number in range(rounds):
        alone.append(run_in_new_process(_collected_steps, root, f"bench/images{number}-one-v0", episodes, 1)[0])
        rate, peak = run_in_new_process(_collected_steps, root, f"bench/images{number}-all-v0", episodes, workers)
        together.append(rate)
        peaks.append(peak)
    every = f"all {workers} workers" if workers > 1 else "all workers, 1"
    yield median(f"collection of {episodes} episodes of images by 1 worker", alone, "steps/s")
    yield median(f"collection of {episodes} episodes of images by {every}", together, "steps/s")
    ratios = [both / one for both, one in zip(together, alone, strict=True)]
    yield median("speedup of collecting images by all workers", ratios, "")
    yield median("peak memory of collecting images by all workers", peaks, "MB")


def _streamed(root: Path, gigabytes: float) -> Iterator[Measured]:
    size = run_in_new_process(_repeat, root, gigabytes)[0]
    yield median("size of the streamed dataset", [size], "GB")
    speed, peak = run_in_new_process(_stream, root)
    yield median("random reads of the streamed dataset", [speed], "windows/s")
    yield median("peak memory of streaming", [peak], "MB")
    speed, peak = run_in_new_process(_learn, root)
    yield median(f"minibatches of {LEARNED} windows in a training on the streamed dataset", [speed], "windows/s")
    yield median("peak memory of a training on the streamed dataset", [peak], "MB")


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


# Measurements, each in its own process


def _collect(root: Path, name: str, episodes: int) -> float:
    start = time.perf_counter()
    demos.collect(ENV_ID, episodes=episodes, workers=WORKERS, root=root, dataset_id=name)
    return time.perf_counter() - start


def _collected_steps(root: Path, name: str, episodes: int, workers: int) -> float:
    """Collect images; return steps per second."""
    start = time.perf_counter()
    dataset = demos.collect(PIXELS_ENV_ID, episodes=episodes, workers=workers, root=root, dataset_id=name)
    return int(dataset.total_steps) / (time.perf_counter() - start)


def _roll_out(episodes: int) -> float:
    """Run the episodes of a collection without recording; return seconds."""
    start = time.perf_counter()
    shards = shards_of(episodes, gym.make(ENV_ID).observation_space)
    jobs = [Job(f"{shard.number}", _bare, (shard.first, shard.size)) for shard in shards]
    for _ in LocalEngine(WORKERS).run(jobs):
        pass
    return time.perf_counter() - start


def _bare(first: int, count: int) -> None:
    env = gym.make(ENV_ID)
    expert = demos.make_expert(env)
    for index in range(first, first + count):
        for _ in rollout(env, expert, episode_seed(0, index)):
            pass
    env.close()


def _windows_per_second(root: Path, dataset_id: str, obs_horizon: int, action_horizon: int) -> float:
    # PyTorch takes seconds to import.
    from demos.datasets.torch_dataset import WindowDataset

    dataset = demos.load(dataset_id, root)
    loader = WindowDataset(dataset, obs_horizon=obs_horizon, action_horizon=action_horizon).loader(BATCH)
    count = sum(len(batch["action"]) for batch in loader)
    start = time.perf_counter()
    for _ in range(2):
        for _ in loader:
            pass
    return 2 * count / (time.perf_counter() - start)


def _repeat(root: Path, gigabytes: float) -> float:
    """Write a large dataset of images; return its size, gigabytes."""
    small = demos.collect(PIXELS_ENV_ID, episodes=4, root=root)
    source = small.storage.data_path / "main_data.hdf5"
    times = int(gigabytes * GIGABYTE / source.stat().st_size) + 1
    spaces = (small.observation_space, small.action_space)
    with dataset_writer("bench/large-v0", *spaces, None, {}, root=root) as writer:
        for _ in range(times):
            writer.copy(source, range(4))
    return (root / "bench/large-v0/data/main_data.hdf5").stat().st_size / GIGABYTE


def _stream(root: Path) -> float:
    """Read every window once, in random order; return windows per second."""
    from demos.datasets.torch_dataset import WindowDataset

    windows = WindowDataset(demos.load("bench/large-v0", root), obs_horizon=2, action_horizon=8)
    start = time.perf_counter()
    for _ in windows.loader(BATCH):
        pass
    return len(windows) / (time.perf_counter() - start)


def _learn(root: Path) -> float:
    """Read minibatches as a training does, in random order; return windows per second."""
    from agents.data.demonstrations import DemonstrationData

    windows = DemonstrationData(demos.load("bench/large-v0", root)).sequences(2, 8)
    order = np.random.default_rng(0).permutation(len(windows))[: len(windows) // LEARNED_SHARE]
    start = time.perf_counter()
    for first in range(0, len(order), LEARNED):
        windows[order[first : first + LEARNED]]
    return len(order) / (time.perf_counter() - start)

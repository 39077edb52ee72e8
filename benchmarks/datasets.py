"""How fast demonstrations are recorded and read, and how much memory that takes.

Each measurement runs in a process of its own, whose largest memory the system tells.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata as packages
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import demos
import lam_envs
from benchmarks.throughput import machine
from demos.engines import Job, LocalEngine
from demos.files import code_fingerprint
from demos.plan import episode_seed
from demos.recording import rollout
from demos.shards import shards_of
from demos.writing import draft_of

ENV_ID = "LamGrasp-v0"
PICTURES = "LamGraspPixels-v0"
WORKERS = 2
BATCH = 256
MEGABYTE = 2**20
GIGABYTE = 10**9
WINDOWS = ((1, 1), (2, 8), (2, 16))
"""Observations before and actions after a step."""


@dataclass(frozen=True)
class Measured:
    """A figure.

    Attributes:
        what: Of what.
        value: The figure, the median of its rounds.
        unit: Of the figure.
        rounds: The figure of each round.
    """

    what: str
    value: float
    unit: str
    rounds: tuple[float, ...]


def measure(*, episodes: int, rounds: int, gigabytes: float) -> Iterator[Measured]:
    """Yields each figure when it is known.

    Args:
        episodes: Of a collection.
        rounds: How often what is timed is done; what is compared alternates.
        gigabytes: Size of the dataset that is streamed.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        yield from _collections(root, episodes, rounds)
        dataset = demos.collect(ENV_ID, episodes=episodes, workers=WORKERS, root=root, dataset_id="bench/states-v0")
        for history, chunk in WINDOWS:
            speeds = [_alone(_windows_a_second, root, dataset.id, history, chunk)[0] for _ in range(rounds)]
            yield _median(
                f"windows of {_plural(history, 'state')} and {_plural(chunk, 'action')}, batches of {BATCH}",
                speeds,
                "windows/s",
            )
        yield from _streamed(root, gigabytes)


def _collections(root: Path, episodes: int, rounds: int) -> Iterator[Measured]:
    ratios, rates, peaks = [], [], []
    for number in range(rounds):
        bare, _ = _alone(_roll_out, episodes)
        recorded, peak = _alone(_collect, root, f"bench/round{number}-v0", episodes)
        ratios.append(recorded / bare)
        rates.append(episodes / recorded)
        peaks.append(peak)
    few = [_alone(_collect, root, f"bench/few{number}-v0", episodes // 4)[1] for number in range(rounds)]
    yield _median(f"collection of {episodes} episodes by {WORKERS} workers", rates, "episodes/s")
    yield _median("its time, as a multiple of bare roll-outs by as many processes", ratios, "")
    yield _median(f"its peak memory, {episodes} episodes", peaks, "MB")
    yield _median(f"its peak memory, {episodes // 4} episodes", few, "MB")


def _streamed(root: Path, gigabytes: float) -> Iterator[Measured]:
    size = _alone(_repeat, root, gigabytes)[0]
    yield _median("size of the dataset that is streamed", [size], "GB")
    speed, peak = _alone(_stream, root)
    yield _median("every window of it, in random order", [speed], "windows/s")
    yield _median("peak memory of that", [peak], "MB")


def _plural(count: int, name: str) -> str:
    return f"{count} {name}{'s' * (count != 1)}"


def _median(what: str, values: list[float], unit: str) -> Measured:
    return Measured(what, float(np.median(values)), unit, tuple(values))


# What is measured, in its own process


def _collect(root: Path, name: str, episodes: int) -> float:
    start = time.perf_counter()
    demos.collect(ENV_ID, episodes=episodes, workers=WORKERS, root=root, dataset_id=name)
    return time.perf_counter() - start


def _roll_out(episodes: int) -> float:
    """The expert's episodes without a record, split as a collection splits them."""
    start = time.perf_counter()
    jobs = [Job(f"{shard.number}", _bare, (shard.first, shard.size)) for shard in shards_of(episodes)]
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


def _windows_a_second(root: Path, dataset_id: str, history: int, chunk: int) -> float:
    # PyTorch takes seconds to import.
    from demos.torch_dataset import WindowDataset

    loader = WindowDataset(demos.load(dataset_id, root), history=history, chunk=chunk).loader(BATCH)
    count = sum(len(batch["action"]) for batch in loader)
    start = time.perf_counter()
    for _ in range(2):
        for _ in loader:
            pass
    return 2 * count / (time.perf_counter() - start)


def _repeat(root: Path, gigabytes: float) -> float:
    """Writes a large dataset of pictures; returns its gigabytes."""
    small = demos.collect(PICTURES, episodes=4, root=root)
    source = small.storage.data_path / "main_data.hdf5"
    times = int(gigabytes * GIGABYTE / source.stat().st_size) + 1
    spaces = (small.observation_space, small.action_space)
    with draft_of("bench/large-v0", *spaces, None, {}, root=root) as draft:
        for _ in range(times):
            draft.copy(source, range(4))
    return (root / "bench/large-v0/data/main_data.hdf5").stat().st_size / GIGABYTE


def _stream(root: Path) -> float:
    """Reads every window once, in random order; returns windows a second."""
    from demos.torch_dataset import WindowDataset

    windows = WindowDataset(demos.load("bench/large-v0", root), history=2, chunk=8)
    start = time.perf_counter()
    for _ in windows.loader(BATCH):
        pass
    return len(windows) / (time.perf_counter() - start)


# How it is measured


def _alone(function: Callable[..., float], *arguments: Any) -> tuple[float, float]:
    """Calls a function in a new process; returns its result and the largest memory of it or its workers, MB."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_tell, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        result, peak = ours.recv()
    except EOFError:
        raise RuntimeError(f"the measurement {function.__name__} failed; see above") from None
    finally:
        process.join()
    return result, peak


def _tell(pipe: Connection, function: Callable[..., float], arguments: tuple[Any, ...]) -> None:
    result = function(*arguments)
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    pipe.send((result, max(peaks) * 1024 / MEGABYTE))


def as_json(measured: list[Measured], *, episodes: int, rounds: int, gigabytes: float) -> dict[str, Any]:
    """The figures as plain data, with their conditions."""
    return {
        "machine": machine(),
        "episodes": episodes,
        "rounds": rounds,
        "gigabytes": gigabytes,
        "versions": {
            "lam_envs": lam_envs.__version__,
            "code": code_fingerprint("lam_envs", "demos"),
            "python": platform.python_version(),
            **{
                name: packages.version(name) for name in ("gymnasium", "h5py", "minari", "numpy", "pybullet", "torch")
            },
        },
        "figures": [asdict(each) for each in measured],
    }

"""Speed and memory of trainings of agent ``lam`` by number of weights, processes and precision, on a CPU or a GPU."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import gymnasium as gym

import demos
from benchmarks.speed.measuring import Measured, median, run_in_new_process
from lam_envs.env import ManipulationEnv

if TYPE_CHECKING:
    from agents.imitation.lam.fitting import Fit
    from agents.imitation.lam.networks.base import ChunkNetwork

LIBRARIES = ("numpy", "torch")
"""Libraries whose versions are recorded."""
ENV_IDS = ("LamReach-v0", "LamPush-v0", "LamGrasp-v0", "LamPickPlace-v0", "LamStack-v0", "LamInsert-v0")
FIRST_SEED = 600_000
"""Seed of the demonstrations; no result uses it."""
DEVICES = ("cpu", "cuda")
MODELS = {"1x": (128, 2), "10x": (384, 4), "100x": (1024, 8)}
"""Token size and layers of the default model, and of models with about 10 and 100 times its weights."""
DECISIONS = 20
"""Decisions whose time is measured."""


@dataclass(frozen=True)
class Case:
    """Training whose speed is measured.

    Attributes:
        model: Name of the model (:data:`MODELS`).
        size: Its token size and layers.
        batch_size: Examples of a minibatch.
        processes: Processes that train together.
        device: ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``.
    """

    model: str
    size: tuple[int, int]
    batch_size: int
    processes: int
    device: str
    precision: str

    @property
    def name(self) -> str:
        """Name of its figures."""
        return (
            f"model {self.model}, batch {self.batch_size}, {self.device}, {self.precision}, "
            f"{self.processes} process{'es' if self.processes > 1 else ''}"
        )


def cases(device: str, batch_size: int, processes: int) -> list[Case]:
    """Return the trainings that are measured on a device, small models first.

    Args:
        device: ``cpu`` or ``cuda``.
        batch_size: Examples of a minibatch; on a GPU also 16 times as many.
        processes: Largest number of processes; on a GPU, only one is measured.
    """
    if device == "cuda":
        return [
            Case(model, size, examples, 1, device, precision)
            for model, size in MODELS.items()
            for examples in (batch_size, 16 * batch_size)
            for precision in ("float32", "bfloat16")
        ]
    return [
        Case(model, size, batch_size, count, device, "float32")
        for model, size in MODELS.items()
        for count in sorted({1, processes})
    ]


def measure(
    *, device: str, episodes: int, batch_size: int, processes: int, seconds: float, minutes: float
) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        device: ``cpu`` or ``cuda``.
        episodes: Demonstrations of each of six tasks.
        batch_size: Examples of a minibatch.
        processes: Largest number of processes.
        seconds: Time for each figure, at least one minibatch.
        minutes: Time after which no further training is measured.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for env_id in ENV_IDS:
            demos.collect(env_id, episodes=episodes, seed=FIRST_SEED, root=root, dataset_id=_dataset(env_id))
        made = run_in_new_process(_examples_per_second, root, batch_size, seconds)[0]
        yield median("examples made by the CPU", [made], "examples/s")
        for model, size in MODELS.items():
            yield median(f"weights, model {model}", [run_in_new_process(_weights, size)[0]], "")
            yield median(f"decision, model {model}", [run_in_new_process(_decision, size)[0]], "ms")
        for case in cases(device, batch_size, processes):
            if time.monotonic() - began > 60.0 * minutes:
                return
            rate, memory = run_in_new_process(_training_rate, root, case, seconds)
            yield median(f"training, {case.name}", [rate], "examples/s")
            if case.processes == 1 and device == "cpu":
                yield median(f"peak memory, {case.name}", [memory], "MB")


def gpu_name() -> str:
    """Return the name of the GPU."""
    import torch

    return torch.cuda.get_device_name()


def _dataset(env_id: str) -> str:
    return f"bench/{env_id}"


# Measurements. Imports are late, because reading the figures needs no PyTorch.


def _weights(size: tuple[int, int]) -> float:
    """Return the number of weights of a model of six tasks and one robot."""
    from agents.imitation.lam.entities import Schema
    from agents.imitation.lam.networks.base import Sizes
    from agents.imitation.lam.networks.transformer import LamNetwork

    width, layers = size
    layouts = [cast(ManipulationEnv, gym.make(env_id).unwrapped).layout for env_id in ENV_IDS]
    network = LamNetwork(Schema.of(layouts), ["panda"], 4, Sizes(width, layers, 8))
    return float(sum(values.numel() for values in network.parameters()))


def _decision(size: tuple[int, int]) -> float:
    """Return the CPU time of a decision that predicts a chunk, on one core, milliseconds."""
    import torch

    import agents

    torch.set_num_threads(1)
    env, (width, layers) = gym.make("LamInsert-v0", instruct=True), size
    agent = agents.make("lam", env, width=width, layers=layers, executed_actions=1)
    observation, _ = env.reset(seed=FIRST_SEED)
    agent.predict(observation, deterministic=True)
    start = time.process_time()
    for _ in range(DECISIONS):
        agent.predict(observation, deterministic=True)
    env.close()
    return 1000.0 * (time.process_time() - start) / DECISIONS


def _examples_per_second(root: Path, batch_size: int, seconds: float) -> float:
    """Return the examples per CPU second of making minibatches, without training on them."""
    import numpy as np

    fit, _ = _fit(root, Case("1x", MODELS["1x"], batch_size, 1, "cpu", "float32"))
    rng, mixture, count = np.random.default_rng(0), fit.mixture, 0
    order = mixture.sampler(batch_size, 1)
    start, began = time.process_time(), time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += len(mixture[order(rng)])
    return count / (time.process_time() - start)


def _fit(root: Path, case: Case) -> tuple[Fit, ChunkNetwork]:
    """Return a training of the model, and its network."""
    from agents.imitation.lam.fitting import Fit, prepare
    from agents.imitation.lam.settings import LamSettings
    from agents.imitation.lam.sources import read_source
    from agents.training.randomness import isolated_rng
    from agents.training.settings import read_settings

    width, layers = case.size
    changed = {
        "width": width,
        "layers": layers,
        "batch_size": case.batch_size,
        # A GPU computes while the CPU makes the next minibatch; the log of an epoch interrupts this.
        "batches": 20 if case.device == "cuda" else 1,
        "precision": case.precision,
    }
    settings = read_settings("lam", LamSettings, changed)
    sources = [read_source(demos.load(_dataset(env_id), root)) for env_id in ENV_IDS]
    sources += [source.mirrored() for source in sources]
    with isolated_rng(0):
        mixture, network = prepare(settings, sources, [], seed=0)
    # More epochs than any measurement needs: the learning rate hardly falls.
    return Fit(settings, mixture, sources[0].interface, 10**9, 0, None, case.device), network


def _training_rate(root: Path, case: Case, seconds: float) -> float:
    """Return the examples per second of a training, after its first epoch.

    On CPUs, the time is the CPU time of one process, which other programs hardly change: the rate is that of
    processes with a core each.
    """
    import torch

    from agents.imitation.lam.fitting import WorkerInput, run_worker
    from agents.training.parallel import processes
    from agents.training.randomness import isolated_rng

    fit, network = _fit(root, case)
    epochs, clock = 0, time.perf_counter if case.device == "cuda" else time.process_time
    with isolated_rng(0):
        loop = fit.loop(network)
        with processes(case.processes, run_worker, lambda: WorkerInput(fit, loop.state())) as group:
            loop.share(group)
            loop.epoch()
            start, began = clock(), time.perf_counter()
            while epochs == 0 or time.perf_counter() - began < seconds:
                loop.epoch()
                epochs += 1
            if case.device == "cuda":
                torch.cuda.synchronize()
            elapsed = clock() - start
    return float(epochs * fit.settings.batches * case.batch_size / elapsed)

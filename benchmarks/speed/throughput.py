"""Throughput of the environments: alone, in two processes, and in alternation with those of other projects."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

from agents.types import Env, JsonObject
from demos.collection.versions import library_versions
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.quiet import SuppressOutput

IMAGE_SIZE = 84
"""Usual size of images for agents, pixels."""
WORKERS = 2
PROCESS_ENVS = ("LamGrasp-v0", "LamStack-v0", "LamGraspPixels-v0")
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class OtherEnv:
    """Environment of another project with the same task as one of ours.

    Attributes:
        ours: Id of our environment.
        theirs: Id of the other environment.
        package: Name of the module, and of the package on the package index.
        renders: True if rendering is compared too.
    """

    ours: str
    theirs: str
    package: tuple[str, str]
    renders: bool = False


PANDA_GYM = ("panda_gym", "panda-gym")
FETCH = ("gymnasium_robotics", "gymnasium-robotics")
OTHER_ENVS = (
    OtherEnv("LamReach-v0", "PandaReach-v3", PANDA_GYM, renders=True),
    OtherEnv("LamPush-v0", "PandaPush-v3", PANDA_GYM, renders=True),
    OtherEnv("LamPickPlace-v0", "PandaPickAndPlace-v3", PANDA_GYM, renders=True),
    OtherEnv("LamStack-v0", "PandaStack-v3", PANDA_GYM, renders=True),
    OtherEnv("LamReach-v0", "FetchReach-v4", FETCH),
    OtherEnv("LamPush-v0", "FetchPush-v4", FETCH),
    OtherEnv("LamPickPlace-v0", "FetchPickAndPlace-v4", FETCH),
)


@dataclass(frozen=True)
class Speed:
    """Throughput of one environment with random actions.

    Attributes:
        env_id: Id of the environment.
        steps_per_second: Steps per second with the resets at the end of episodes, median over the rounds.
        resets_per_second: Resets per second, median over the rounds.
        reset_steps: Cost of a reset, steps.
        physics_share: Share of the time of a step in Bullet's ``stepSimulation``.
        low: Lowest steps per second of a round.
        high: Highest steps per second of a round.
    """

    env_id: str
    steps_per_second: float
    resets_per_second: float
    reset_steps: float
    physics_share: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """Ratio of two rates that are measured in alternation, so that other load slows down both.

    Attributes:
        ours: Name of what is measured.
        against: Name of what it is compared with.
        ratio: Our rate over the other, median over the rounds.
        low: Lowest ratio of a round.
        high: Highest ratio of a round.
        simulated_time_ratio: Our real-time factor over the other; None if it is not compared.
    """

    ours: str
    against: str
    ratio: float
    low: float
    high: float
    simulated_time_ratio: float | None = None


class _Runner:
    """Environment that is stepped with random actions."""

    def __init__(self, env_id: str, **keywords: Any) -> None:
        with SuppressOutput():
            # Some environments print when they are made.
            self.env = gym.make(env_id, **keywords)
        self.env.action_space.seed(0)
        self.env.reset(seed=0)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> float:
        """Do ``count`` steps and the resets at the end of episodes; return steps per second."""
        actions = [self.env.action_space.sample() for _ in range(count)]
        start = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self.env.reset()
        return count / (time.perf_counter() - start)

    def resets(self, count: int) -> float:
        """Return resets per second."""
        start = time.perf_counter()
        for _ in range(count):
            self.env.reset()
        return count / (time.perf_counter() - start)

    def frames(self, count: int) -> float:
        """Return rendered frames per second, with a step between two frames."""
        draw = self.env.unwrapped.camera_images if hasattr(self.env.unwrapped, "camera_images") else self.env.render
        inside = 0.0
        for _ in range(count):
            self.steps(1)
            start = time.perf_counter()
            draw()
            inside += time.perf_counter() - start
        return count / inside

    def physics_share(self, count: int) -> float:
        """Do ``count`` steps; return the share of their time inside Bullet's step."""
        advance: Callable[[int], None] = pybullet.stepSimulation
        timed = _Timed(advance)
        actions = [self.env.action_space.sample() for _ in range(count)]
        whole = 0.0
        pybullet.stepSimulation = timed
        try:
            for action in actions:
                start = time.perf_counter()
                _, _, terminated, truncated, _ = self.env.step(action)
                whole += time.perf_counter() - start
                if terminated or truncated:
                    self.env.reset()
        finally:
            pybullet.stepSimulation = advance
        return timed.inside / (whole - timed.calls * _Timed.cost())


class _Timed:
    """Function of one argument that sums up the time of its calls."""

    def __init__(self, function: Callable[[int], None]) -> None:
        self._function = function
        self.inside = 0.0
        self.calls = 0

    def __call__(self, argument: int) -> None:
        start = time.perf_counter()
        self._function(argument)
        self.inside += time.perf_counter() - start
        self.calls += 1

    @staticmethod
    def cost(calls: int = 2000) -> float:
        """Return the time of a call that is spent on the timing itself, seconds."""
        timed = _Timed(lambda argument: None)
        start = time.perf_counter()
        for _ in range(calls):
            timed(0)
        return (time.perf_counter() - start - timed.inside) / calls


class _VectorEnv:
    """Environments in processes of their own that are stepped together."""

    name = f"AsyncVectorEnv of {WORKERS}"

    def __init__(self, env_id: str) -> None:
        self.env = AsyncVectorEnv([lambda: gym.make(env_id)] * WORKERS)
        self.env.action_space.seed(0)
        self.env.reset(seed=0)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> float:
        """Do ``count`` steps in all; return steps per second."""
        actions = [self.env.action_space.sample() for _ in range(max(1, count // WORKERS))]
        start = time.perf_counter()
        for action in actions:
            self.env.step(action)
        return len(actions) * WORKERS / (time.perf_counter() - start)

    def close(self) -> None:
        """End the processes."""
        self.env.close()


class _IndependentProcesses:
    """Environments in processes of their own that do not wait for each other."""

    name = f"{WORKERS} processes apart"

    def __init__(self, env_id: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        self._processes = []
        for _ in range(WORKERS):
            ours, theirs = context.Pipe()
            process = context.Process(target=_step_alone, args=(env_id, theirs), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        self.steps(WORKERS)

    def steps(self, count: int) -> float:
        """Do ``count`` steps in all; return steps per second."""
        share = max(1, count // WORKERS)
        start = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(share)
        for pipe in self._pipes:
            pipe.recv()
        return share * WORKERS / (time.perf_counter() - start)

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.close()
            process.join()


def _step_alone(env_id: str, pipe: Connection) -> None:
    """Do as many steps as the pipe asks for, until it is closed."""
    runner = _Runner(env_id)
    with contextlib.suppress(EOFError):
        while True:
            runner.steps(pipe.recv())
            pipe.send(None)
    runner.env.close()


def measure(env_id: str, *, steps: int, rounds: int) -> Speed:
    """Measure one environment of ours.

    Args:
        env_id: Id of the environment.
        steps: Steps of a round.
        rounds: Number of rounds.
    """
    runner = _Runner(env_id)
    try:
        rates = [runner.steps(steps) for _ in range(rounds)]
        resets = statistics.median(runner.resets(max(1, steps // 20)) for _ in range(rounds))
        share = statistics.median(runner.physics_share(steps) for _ in range(rounds))
        rate = statistics.median(rates)
        return Speed(env_id, rate, resets, rate / resets, share, min(rates), max(rates))
    finally:
        runner.env.close()


def _ratio(ours: str, against: str, pairs: list[tuple[float, float]], time_scale: float | None = None) -> Ratio:
    ratios = [mine / theirs for mine, theirs in pairs]
    middle = statistics.median(ratios)
    return Ratio(ours, against, middle, min(ratios), max(ratios), None if time_scale is None else middle * time_scale)


def compare(ours: str, theirs: str, *, steps: int, rounds: int) -> Ratio:
    """Compare the steps per second of two environments, in alternation."""
    mine, other = _Runner(ours), _Runner(theirs)
    try:
        pairs = [(mine.steps(steps), other.steps(steps)) for _ in range(rounds)]
        time_scale = _seconds_per_step(mine.env) / _seconds_per_step(other.env)
    finally:
        mine.env.close()
        other.env.close()
    return _ratio(ours, theirs, pairs, time_scale)


def compare_rendering(ours: str, theirs: str, *, frames: int, rounds: int) -> Ratio:
    """Compare our image observation of 84 x 84 pixels with ``render`` of the other environment at that size."""
    pixels = ours.replace("-v0", "Pixels-v0")
    size = {"render_width": IMAGE_SIZE, "render_height": IMAGE_SIZE}
    mine = _Runner(pixels, cameras=("front",), image_width=IMAGE_SIZE, image_height=IMAGE_SIZE)
    other = _Runner(theirs, render_mode="rgb_array", renderer="Tiny", **size)
    try:
        pairs = [(mine.frames(frames), other.frames(frames)) for _ in range(rounds)]
    finally:
        mine.env.close()
        other.env.close()
    return _ratio(f"{pixels}, front", f"{theirs}, render()", pairs)


PROCESS_MODES: tuple[type[_VectorEnv] | type[_IndependentProcesses], ...] = (_VectorEnv, _IndependentProcesses)


def compare_processes(
    env_id: str, mode: type[_VectorEnv] | type[_IndependentProcesses], *, steps: int, rounds: int
) -> Ratio:
    """Compare environments in two processes with one environment in one process."""
    several, single = mode(env_id), _Runner(env_id)
    try:
        pairs = [(several.steps(steps), single.steps(steps)) for _ in range(rounds)]
    finally:
        several.close()
        single.env.close()
    return _ratio(f"{env_id}, {mode.name}", f"{env_id}, one process", pairs)


def _seconds_per_step(env: Env) -> float:
    return 1.0 / float(env.unwrapped.metadata["render_fps"])


def installed_others() -> list[OtherEnv]:
    """Return the environments of other projects that are installed, and register their ids."""
    installed = [other for other in OTHER_ENVS if importlib.util.find_spec(other.package[0]) is not None]
    for module in {other.package[0] for other in installed}:
        with SuppressOutput():
            # Some packages print when they are imported.
            importlib.import_module(module)
    return installed


def comparisons(*, steps: int, rounds: int) -> Iterator[Ratio]:
    """Yield all comparisons: environments of other projects, rendering, processes."""
    others = installed_others()
    for other in others:
        yield compare(other.ours, other.theirs, steps=steps, rounds=rounds)
    for other in others:
        if other.renders:
            yield compare_rendering(other.ours, other.theirs, frames=max(1, steps // 50), rounds=rounds)
    for env_id, mode in product(PROCESS_ENVS, PROCESS_MODES):
        yield compare_processes(env_id, mode, steps=steps, rounds=rounds)


def comparison_count() -> int:
    """Return the number of :func:`comparisons`."""
    others = installed_others()
    return len(others) + sum(other.renders for other in others) + len(PROCESS_ENVS) * len(PROCESS_MODES)


def machine() -> JsonObject:
    """Return a description of the machine."""
    model = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def as_json(speeds: list[Speed], compared: list[Ratio], *, steps: int, rounds: int) -> JsonObject:
    """Return the figures as plain data, with the arguments of the measurement."""
    others = sorted({other.package[1] for other in installed_others()})
    return {
        "machine": machine(),
        "steps": steps,
        "rounds": rounds,
        "versions": library_versions(("gymnasium", "numpy", "pybullet", *others)),
        "speeds": [asdict(speed) for speed in speeds],
        "comparisons": [asdict(comparison) for comparison in compared],
    }

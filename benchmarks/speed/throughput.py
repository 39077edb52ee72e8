"""How fast the environments are, alone, in two processes, and against other projects' in alternation."""

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
from importlib import metadata as packages
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

import lam_envs
from lam_envs.bullet.client import pybullet
from lam_envs.bullet.quiet import SuppressOutput

IMAGE_SIZE = 84
"""Pixels: what agents that see are usually given."""
WORKERS = 2
PROCESS_ENVS = ("LamGrasp-v0", "LamStack-v0", "LamGraspPixels-v0")
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class Neighbour:
    """Another project's environment that asks for the same.

    Attributes:
        ours: Our id.
        theirs: Theirs.
        package: What to import and what it is called on the package index.
        draws: Whether its pictures are compared too.
    """

    ours: str
    theirs: str
    package: tuple[str, str]
    draws: bool = False


PANDA_GYM = ("panda_gym", "panda-gym")
FETCH = ("gymnasium_robotics", "gymnasium-robotics")
NEIGHBOURS = (
    Neighbour("LamReach-v0", "PandaReach-v3", PANDA_GYM, draws=True),
    Neighbour("LamPush-v0", "PandaPush-v3", PANDA_GYM, draws=True),
    Neighbour("LamPickPlace-v0", "PandaPickAndPlace-v3", PANDA_GYM, draws=True),
    Neighbour("LamStack-v0", "PandaStack-v3", PANDA_GYM, draws=True),
    Neighbour("LamReach-v0", "FetchReach-v4", FETCH),
    Neighbour("LamPush-v0", "FetchPush-v4", FETCH),
    Neighbour("LamPickPlace-v0", "FetchPickAndPlace-v4", FETCH),
)


@dataclass(frozen=True)
class Speed:
    """Throughput of one environment with random actions.

    Attributes:
        env_id: Which.
        steps_per_second: Resets at the end of episodes included, median over the rounds.
        resets_per_second: Resets alone, median over the rounds.
        reset_steps: How many steps take as long as one reset.
        physics_share: Share of the time of a step that is spent in Bullet's ``stepSimulation``.
        low: Fewest steps a second of a round.
        high: Most.
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
    """Two things measured in alternation, so that what slows the machine down slows both.

    Attributes:
        ours: What was measured.
        against: Against what.
        ratio: Our rate over theirs, median over the rounds.
        low: Lowest ratio of a round.
        high: Highest.
        simulated_time_ratio: Our simulated seconds a second over theirs; None where nothing is simulated.
    """

    ours: str
    against: str
    ratio: float
    low: float
    high: float
    simulated_time_ratio: float | None = None


class _Runner:
    """An environment that is stepped with random actions, block by block."""

    def __init__(self, env_id: str, **keywords: Any) -> None:
        with SuppressOutput():
            # Some print their colours.
            self.env = gym.make(env_id, **keywords)
        self.env.action_space.seed(0)
        self.env.reset(seed=0)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> float:
        """Do ``count`` steps with the resets that fall due; returns steps a second."""
        actions = [self.env.action_space.sample() for _ in range(count)]
        start = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self.env.reset()
        return count / (time.perf_counter() - start)

    def resets(self, count: int) -> float:
        """Return resets a second."""
        start = time.perf_counter()
        for _ in range(count):
            self.env.reset()
        return count / (time.perf_counter() - start)

    def pictures(self, count: int) -> float:
        """Return images per second of a scene that moves between them."""
        draw = self.env.unwrapped.camera_images if hasattr(self.env.unwrapped, "camera_images") else self.env.render
        inside = 0.0
        for _ in range(count):
            self.steps(1)
            start = time.perf_counter()
            draw()
            inside += time.perf_counter() - start
        return count / inside

    def physics_share(self, count: int) -> float:
        """Do ``count`` steps without resets between them; returns the share of time inside Bullet's step."""
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
    """A function of one number that adds up the time inside of it."""

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
        """Seconds that a call spends on the timing itself, outside of what it adds up."""
        timed = _Timed(lambda argument: None)
        start = time.perf_counter()
        for _ in range(calls):
            timed(0)
        return (time.perf_counter() - start - timed.inside) / calls


class _Together:
    """Several environments, each in a process of its own, that are stepped together."""

    name = f"AsyncVectorEnv of {WORKERS}"

    def __init__(self, env_id: str) -> None:
        self.env = AsyncVectorEnv([lambda: gym.make(env_id)] * WORKERS)
        self.env.action_space.seed(0)
        self.env.reset(seed=0)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> float:
        """Do ``count`` steps in all; returns steps a second."""
        actions = [self.env.action_space.sample() for _ in range(max(1, count // WORKERS))]
        start = time.perf_counter()
        for action in actions:
            self.env.step(action)
        return len(actions) * WORKERS / (time.perf_counter() - start)

    def close(self) -> None:
        """End the processes."""
        self.env.close()


class _Apart:
    """As many environments, each stepped by a process of its own without waiting for the others."""

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
        """Do ``count`` steps in all; returns steps a second."""
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
    """Do as many steps as it is told, until nobody tells it any more."""
    runner = _Runner(env_id)
    with contextlib.suppress(EOFError):
        while True:
            runner.steps(pipe.recv())
            pipe.send(None)
    runner.env.close()


def measure(env_id: str, *, steps: int, rounds: int) -> Speed:
    """Measure one environment of ours.

    Args:
        env_id: Which.
        steps: A round.
        rounds: How many.
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
    """Compare the steps a second of two environments, in alternation."""
    mine, other = _Runner(ours), _Runner(theirs)
    try:
        pairs = [(mine.steps(steps), other.steps(steps)) for _ in range(rounds)]
        time_scale = _seconds_per_step(mine.env) / _seconds_per_step(other.env)
    finally:
        mine.env.close()
        other.env.close()
    return _ratio(ours, theirs, pairs, time_scale)


def compare_pictures(ours: str, theirs: str, *, pictures: int, rounds: int) -> Ratio:
    """Compare what an agent's picture of 84 x 84 pixels costs with the other's ``render`` at that size."""
    pixels = ours.replace("-v0", "Pixels-v0")
    size = {"render_width": IMAGE_SIZE, "render_height": IMAGE_SIZE}
    mine = _Runner(pixels, cameras=("front",), image_width=IMAGE_SIZE, image_height=IMAGE_SIZE)
    other = _Runner(theirs, render_mode="rgb_array", renderer="Tiny", **size)
    try:
        pairs = [(mine.pictures(pictures), other.pictures(pictures)) for _ in range(rounds)]
    finally:
        mine.env.close()
        other.env.close()
    return _ratio(f"{pixels}, front", f"{theirs}, render()", pairs)


WAYS: tuple[type[_Together] | type[_Apart], ...] = (_Together, _Apart)


def compare_processes(env_id: str, way: type[_Together] | type[_Apart], *, steps: int, rounds: int) -> Ratio:
    """Compare environments in two processes with one environment in one process."""
    several, single = way(env_id), _Runner(env_id)
    try:
        pairs = [(several.steps(steps), single.steps(steps)) for _ in range(rounds)]
    finally:
        several.close()
        single.env.close()
    return _ratio(f"{env_id}, {way.name}", f"{env_id}, one process", pairs)


def _seconds_per_step(env: gym.Env[Any, Any]) -> float:
    return 1.0 / float(env.unwrapped.metadata["render_fps"])


def neighbours() -> list[Neighbour]:
    """Those environments of others that are installed here; registers their ids."""
    found = [neighbour for neighbour in NEIGHBOURS if importlib.util.find_spec(neighbour.package[0]) is not None]
    for module in {neighbour.package[0] for neighbour in found}:
        with SuppressOutput():
            # Some advertise their other versions.
            importlib.import_module(module)
    return found


def comparisons(*, steps: int, rounds: int) -> Iterator[Ratio]:
    """Compare with everything that there is to compare with: environments of others, pictures, processes."""
    found = neighbours()
    for neighbour in found:
        yield compare(neighbour.ours, neighbour.theirs, steps=steps, rounds=rounds)
    for neighbour in found:
        if neighbour.draws:
            yield compare_pictures(neighbour.ours, neighbour.theirs, pictures=max(1, steps // 50), rounds=rounds)
    for env_id, way in product(PROCESS_ENVS, WAYS):
        yield compare_processes(env_id, way, steps=steps, rounds=rounds)


def comparison_count() -> int:
    """How many :func:`comparisons` there are."""
    found = neighbours()
    return len(found) + sum(neighbour.draws for neighbour in found) + len(PROCESS_ENVS) * len(WAYS)


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    model = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def as_json(speeds: list[Speed], compared: list[Ratio], *, steps: int, rounds: int) -> dict[str, Any]:
    """The figures as plain data, with their conditions."""
    others = sorted({neighbour.package[1] for neighbour in neighbours()})
    return {
        "machine": machine(),
        "steps": steps,
        "rounds": rounds,
        "versions": {
            "lam_envs": lam_envs.__version__,
            "python": platform.python_version(),
            **{name: packages.version(name) for name in ("gymnasium", "numpy", "pybullet", *others)},
        },
        "speeds": [asdict(speed) for speed in speeds],
        "comparisons": [asdict(comparison) for comparison in compared],
    }

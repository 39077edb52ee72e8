"""How fast the environments are, alone and against panda-gym in alternation."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from demos.files import code_fingerprint
from lam_envs.quiet import Silenced

NEIGHBOURS = {"LamReach-v0": "PandaReach-v3", "LamGrasp-v0": "PandaPickAndPlace-v3"}
"""Our id and the matching one of panda-gym."""
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class Speed:
    """Throughput of one environment with random actions.

    Attributes:
        env_id: Which.
        steps_per_second: Resets at the end of episodes included, median over the rounds.
        resets_per_second: Resets alone, median over the rounds.
        physics_share: Share of the time of a step that is spent in Bullet's ``stepSimulation``.
        low: Fewest steps a second of a round.
        high: Most.
    """

    env_id: str
    steps_per_second: float
    resets_per_second: float
    physics_share: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two environments measured in alternation.

    Attributes:
        env_id: Ours.
        neighbour: The other.
        steps_ratio: Our steps a second over theirs, median over the rounds.
        low: Lowest ratio of a round.
        high: Highest.
        simulated_time_ratio: Our simulated seconds a second over theirs.
    """

    env_id: str
    neighbour: str
    steps_ratio: float
    low: float
    high: float
    simulated_time_ratio: float


class _Runner:
    """An environment that is stepped with random actions, block by block."""

    def __init__(self, env_id: str) -> None:
        self.env = gym.make(env_id)
        self.env.action_space.seed(0)
        self.env.reset(seed=0)
        self.steps(WARM_UP_STEPS)

    def steps(self, count: int) -> float:
        """Does ``count`` steps with the resets that fall due; returns steps a second."""
        actions = [self.env.action_space.sample() for _ in range(count)]
        start = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self.env.reset()
        return count / (time.perf_counter() - start)

    def resets(self, count: int) -> float:
        """Returns resets a second."""
        start = time.perf_counter()
        for _ in range(count):
            self.env.reset()
        return count / (time.perf_counter() - start)

    def physics_share(self, count: int) -> float:
        """Does ``count`` steps without resets between them; returns the share of time inside Bullet's step."""
        simulation: Any = self.env.get_wrapper_attr("simulation")
        advance: Callable[[], None] = simulation.step
        inside = 0.0

        def timed() -> None:
            nonlocal inside
            start = time.perf_counter()
            advance()
            inside += time.perf_counter() - start

        actions = [self.env.action_space.sample() for _ in range(count)]
        whole = 0.0
        simulation.step = timed
        try:
            for action in actions:
                start = time.perf_counter()
                _, _, terminated, truncated, _ = self.env.step(action)
                whole += time.perf_counter() - start
                if terminated or truncated:
                    self.env.reset()
        finally:
            del simulation.step
        return inside / whole


def measure(env_id: str, *, steps: int, rounds: int) -> Speed:
    """Measures one environment of ours.

    Args:
        env_id: Which.
        steps: A round.
        rounds: How many.
    """
    runner = _Runner(env_id)
    try:
        rates = [runner.steps(steps) for _ in range(rounds)]
        return Speed(
            env_id,
            statistics.median(rates),
            statistics.median(runner.resets(max(1, steps // 20)) for _ in range(rounds)),
            statistics.median(runner.physics_share(steps) for _ in range(rounds)),
            min(rates),
            max(rates),
        )
    finally:
        runner.env.close()


def compare(env_id: str, neighbour: str, *, steps: int, rounds: int) -> Comparison:
    """Measures two environments in alternation: what slows the machine down slows both."""
    ours = _Runner(env_id)
    with Silenced():
        # It prints its colours.
        theirs = _Runner(neighbour)
    try:
        ratios = [ours.steps(steps) / theirs.steps(steps) for _ in range(rounds)]
        time_scale = _seconds_per_step(ours.env) / _seconds_per_step(theirs.env)
    finally:
        ours.env.close()
        theirs.env.close()
    middle = statistics.median(ratios)
    return Comparison(env_id, neighbour, middle, min(ratios), max(ratios), middle * time_scale)


def _seconds_per_step(env: gym.Env[Any, Any]) -> float:
    return 1.0 / float(env.unwrapped.metadata["render_fps"])


def has_neighbours() -> bool:
    """Whether panda-gym is installed."""
    return importlib.util.find_spec("panda_gym") is not None


def comparisons(*, steps: int, rounds: int) -> list[Comparison]:
    """Compares with every matching environment of panda-gym, if it is installed."""
    if not has_neighbours():
        return []
    importlib.import_module("panda_gym")
    return [compare(ours, theirs, steps=steps, rounds=rounds) for ours, theirs in NEIGHBOURS.items()]


def machine() -> dict[str, Any]:
    """Says what the figures were measured on."""
    model = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}


def as_json(speeds: list[Speed], compared: list[Comparison], *, steps: int, rounds: int) -> dict[str, Any]:
    """The figures as plain data, with their conditions."""
    return {
        "machine": machine(),
        "steps": steps,
        "rounds": rounds,
        "versions": {
            "lam_envs": lam_envs.__version__,
            "code": code_fingerprint("lam_envs"),
            "python": platform.python_version(),
            **{name: packages.version(name) for name in ("gymnasium", "numpy", "pybullet")},
            **({"panda-gym": packages.version("panda-gym")} if has_neighbours() else {}),
        },
        "speeds": [asdict(speed) for speed in speeds],
        "comparisons": [asdict(comparison) for comparison in compared],
    }

"""How often the experts succeed: every task on every robot, and under harder conditions on one of them."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from typing_extensions import override

import lam_envs
from agents.evaluation import evaluate, wilson_interval
from benchmarks.engines import Engine, Job
from demos.experts import make_expert
from demos.files import code_fingerprint, write_json
from lam_envs.registration import TASKS, env_id

FIRST_SEED = 300_000
"""Experts and physics were tuned on other seeds."""
EPISODES = 2000
CHUNK = 250
"""Episodes of one job: what a kill loses at most."""
DEFAULT_ROBOT = "panda"


@dataclass(frozen=True)
class Condition:
    """What an expert meets.

    Attributes:
        everywhere: Measured on every robot, or on the default one alone.
        keywords: For ``gym.make``.
        noise: Standard deviation of Gaussian noise on every number of every action.
    """

    everywhere: bool = False
    keywords: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0


CONDITIONS: dict[str, Condition] = {
    "ee": Condition(everywhere=True),
    "ee_yaw": Condition(keywords={"control": "ee_yaw"}),
    "joint": Condition(keywords={"control": "joint"}),
    "discrete": Condition(keywords={"control": "discrete"}),
    "ee, randomize=physics": Condition(keywords={"randomize": "physics"}),
    "ee, randomize=full": Condition(keywords={"randomize": "full"}),
    "ee, action noise 0.1": Condition(noise=0.1),
}


class NoisyActions(gym.ActionWrapper[Any, Any, Any]):
    """Adds Gaussian noise to every action; the same noise for the same seed.

    Args:
        env: With a continuous action space.
        scale: Standard deviation, of actions in [-1, 1].
    """

    def __init__(self, env: gym.Env[Any, Any], scale: float) -> None:
        super().__init__(env)
        self._scale = scale
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    @override
    def action(self, action: Any) -> Any:
        noisy = action + self._scale * self._rng.standard_normal(np.shape(action))
        return noisy.astype(np.asarray(action).dtype)


def cells(tasks: Iterable[str], robots: Iterable[str]) -> list[tuple[str, str, str]]:
    """Returns what there is to measure: task, robot and condition."""
    return [
        (task, robot, name)
        for task in tasks
        for name, condition in CONDITIONS.items()
        for robot in robots
        if condition.everywhere or robot == DEFAULT_ROBOT
    ]


def failures(task: str, robot: str, condition: str, first: int, count: int) -> list[int]:
    """Lets an expert act for ``count`` seeds from ``first`` on; returns those on which it failed."""
    met = CONDITIONS[condition]
    env = gym.make(env_id(task), robot=robot, **met.keywords)
    if met.noise:
        env = NoisyActions(env, met.noise)
    try:
        result = evaluate(make_expert(env), env, seeds=range(first, first + count))
    finally:
        env.close()
    return [episode.seed for episode in result.episodes if not episode.success]


def run(
    out: Path,
    engine: Engine,
    *,
    tasks: Iterable[str] = tuple(TASKS),
    robots: Iterable[str],
    episodes: int = EPISODES,
    first: int = FIRST_SEED,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measures every cell that the file does not hold yet, and writes it after each piece.

    Args:
        out: The file: of the same code, seeds and versions it is completed, of others it is measured anew.
        engine: Runs the pieces.
        tasks: Names of tasks.
        robots: Names of robots.
        episodes: Of each cell, one a seed.
        first: The first seed.
        progress: Is told a cell's name, the pieces done and all pieces, after each.

    Returns:
        The content of the file.

    Raises:
        ValueError: Fewer than one episode.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}; expected at least 1")
    conditions = {
        "first_seed": first,
        "versions": {
            "lam_envs": lam_envs.__version__,
            "code": code_fingerprint("lam_envs", "demos.experts"),
            "python": platform.python_version(),
            **{name: packages.version(name) for name in ("gymnasium", "numpy", "pybullet")},
        },
    }
    wanted = cells(tasks, robots)
    done = _pieces(out, conditions)
    jobs = [
        Job(_key(cell, start, count), failures, (*cell, first + start, count))
        for start, count in _chunks(episodes)
        for cell in wanted
        if _key(cell, start, count) not in done
    ]
    total = len(jobs)
    for number, (job, failed) in enumerate(engine.run(jobs), start=1):
        done[job.name] = failed
        write_json(out, {**conditions, "pieces": done})
        if progress is not None:
            progress(job.name, number, total)
    rows = [_row(cell, done, episodes) for cell in wanted]
    content = {**conditions, "rows": rows, "pieces": done}
    write_json(out, content)
    return content


def _chunks(episodes: int) -> list[tuple[int, int]]:
    """First episode and number of episodes of each piece of a cell."""
    return [(start, min(CHUNK, episodes - start)) for start in range(0, episodes, CHUNK)]


def _key(cell: tuple[str, str, str], start: int, count: int) -> str:
    return " | ".join((*cell, f"{count} from {start} on"))


def _pieces(out: Path, conditions: dict[str, Any]) -> dict[str, list[int]]:
    """What a file of the same conditions holds already."""
    if not out.is_file():
        return {}
    try:
        held = json.loads(out.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{out} is no JSON ({error}); remove it or name another file") from error
    if not isinstance(held, dict) or any(held.get(name) != value for name, value in conditions.items()):
        return {}
    pieces: dict[str, list[int]] = held.get("pieces", {})
    return pieces


def _row(cell: tuple[str, str, str], done: dict[str, list[int]], episodes: int) -> dict[str, Any]:
    failed = [seed for start, count in _chunks(episodes) for seed in done[_key(cell, start, count)]]
    task, robot, condition = cell
    successes = episodes - len(failed)
    low, high = wilson_interval(successes, episodes)
    return {
        "task": task,
        "robot": robot,
        "condition": condition,
        "episodes": episodes,
        "successes": successes,
        "interval": [low, high],
        "failed_seeds": failed,
    }

"""Success of the experts: every task on every robot, and under harder conditions on one robot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
from filelock import FileLock, Timeout

from agents.evaluation import evaluation
from agents.evaluation.evaluation import evaluate
from benchmarks.suite.conditions import NoisyActions
from demos.collection.versions import expert_versions, library_versions, major_versions
from demos.experts import make_expert
from demos.runtime.engines import Engine, Job
from demos.runtime.files import write_json
from demos.runtime.intervals import wilson_interval
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS
from lam_envs.versions import environment_versions

FIRST_SEED = 300_000
"""Experts and physics were tuned on other seeds."""
EPISODES = 2000
CHUNK = 250
"""Episodes of one job; an interruption loses at most these."""
DEFAULT_ROBOT = "panda"
KEY = re.compile(r"[^|]+ \| [^|]+ \| [^|]+ \| [1-9]\d* from \d+ on")
"""Pattern of the name of a piece: task, robot, condition, number of episodes and the first of them."""


@dataclass(frozen=True)
class Condition:
    """Condition of an evaluation of experts.

    Attributes:
        everywhere: True to measure on every robot, False on the default one alone.
        keywords: Keywords for ``gym.make``.
        noise: Standard deviation of Gaussian noise on each action component.
        episodes: Largest number of episodes; fewer where no success rate is expected.
    """

    everywhere: bool = False
    keywords: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0
    episodes: int = EPISODES


CONDITIONS: dict[str, Condition] = {
    "ee": Condition(everywhere=True),
    "ee_yaw": Condition(keywords={"control": "ee_yaw"}),
    "joint": Condition(keywords={"control": "joint"}),
    "discrete": Condition(keywords={"control": "discrete"}),
    "ee, randomize=physics": Condition(keywords={"randomize": "physics"}),
    "ee, randomize=full": Condition(keywords={"randomize": "full"}, episodes=CHUNK),
    "ee, action noise 0.1": Condition(noise=0.1),
}


def cells(tasks: Iterable[str], robots: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return all cells: task, robot and condition."""
    return [
        (task, robot, name)
        for task in tasks
        for name, condition in CONDITIONS.items()
        for robot in robots
        if condition.everywhere or robot == DEFAULT_ROBOT
    ]


def failures(task: str, robot: str, condition: str, first: int, count: int) -> list[int]:
    """Evaluate an expert on ``count`` seeds from ``first`` on; return the seeds of failures."""
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
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure the pieces that a results file lacks, and write the file after each piece.

    Args:
        out: File to write. Pieces in it that are up to date are not measured again.
        engine: Runs the pieces.
        tasks: Names of tasks.
        robots: Names of robots.
        episodes: Episodes of each cell.
        first: Seed of the first episode.
        overwrite: Replace a file of other seeds, conditions or major versions of libraries.
        progress: Called after each piece with its name, the number of pieces done and of all pieces.

    Returns:
        The content of the file; its ``rows`` have all its cells.

    Raises:
        ValueError: Fewer than one episode; or the file is not of this measurement, or of other seeds,
            conditions or major versions of libraries, or being written by another process.
    """
    if episodes < 1:
        raise ValueError(f"episodes is {episodes}; expected at least 1")
    if out.is_dir():
        raise ValueError(f"{out} is a folder; expected the name of a file")
    lock = out.with_name(f".{out.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            content = _measured(_held(out, _provenance(first), overwrite=overwrite), out)
            done = content["pieces"]
            jobs = [
                Job(_key(cell, start, count), failures, (*cell, first + start, count))
                for start, count in _chunks(episodes)
                for cell in cells(tasks, robots)
                if start < CONDITIONS[cell[-1]].episodes and _key(cell, start, count) not in done
            ]
            # Conditions of every robot come first.
            jobs.sort(key=lambda job: not CONDITIONS[job.arguments[2]].everywhere)
            for number, (job, failed) in enumerate(engine.run(jobs), start=1):
                done[job.name] = failed
                content = _measured(content, out)
                if progress is not None:
                    progress(job.name, number, len(jobs))
            lock.unlink(missing_ok=True)
            return content
    except Timeout:
        raise ValueError(f"{out} is being written by another process: wait for it, or name another file") from None


def _provenance(first: int) -> dict[str, Any]:
    """Return the conditions, seeds and libraries that decide the figures."""
    return {
        "first_seed": first,
        "conditions": {name: {"keywords": met.keywords, "noise": met.noise} for name, met in CONDITIONS.items()},
        "libraries": library_versions(("gymnasium", "numpy", "pybullet")),
    }


def parts_of(task: str, robot: str, condition: str) -> dict[str, int]:
    """Return the version of each part that decides how often an expert succeeds."""
    met = CONDITIONS[condition]
    environment = env_id(task)
    noise = {"action noise": NoisyActions.version} if met.noise else {}
    versions = environment_versions(environment, robot=robot, **met.keywords)
    return {**versions, **expert_versions(environment), **noise, "evaluation": evaluation.VERSION}


def _measured(content: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the file with the rows of its pieces, and return its content."""
    pieces = content["pieces"]
    versions: dict[str, int] = {}
    for task, robot, condition in sorted({_parsed(key)[:3] for key in pieces}):
        versions |= parts_of(task, robot, condition)
    content = {**content, "versions": versions, "rows": _rows(pieces), "pieces": pieces}
    write_json(out, content)
    return content


def _chunks(episodes: int) -> list[tuple[int, int]]:
    """Return first episode and number of episodes of each piece of a cell."""
    return [(start, min(CHUNK, episodes - start)) for start in range(0, episodes, CHUNK)]


def _key(cell: tuple[str, str, str], start: int, count: int) -> str:
    return " | ".join((*cell, f"{count} from {start} on"))


def _held(out: Path, provenance: dict[str, Any], *, overwrite: bool) -> dict[str, Any]:
    """Return the content of the file, given that its provenance is the same."""
    empty = {**provenance, "pieces": {}}
    if not out.is_file():
        return empty
    try:
        held = json.loads(out.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{out} is not valid JSON ({error}); remove it or name another file") from error
    pieces = held.get("pieces") if isinstance(held, dict) else None
    if not isinstance(pieces, dict) or not all(
        KEY.fullmatch(key) and isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds)
        for key, seeds in pieces.items()
    ):
        raise ValueError(f"{out} holds no measurements of experts; name another file")
    changed = [name for name, value in provenance.items() if not _same(name, held.get(name), value)]
    if not changed:
        return {**provenance, "pieces": {key: failed for key, failed in pieces.items() if _up_to_date(key, held)}}
    if overwrite:
        return empty
    raise ValueError(
        f"{out} was measured with another {' and another '.join(changed)}: name another file, or replace it "
        "with --overwrite"
    )


def _same(name: str, held: Any, now: Any) -> bool:
    """Return whether a part of the provenance is the same; major versions of libraries count."""
    if name != "libraries":
        return bool(held == now)
    return isinstance(held, dict) and major_versions(held) == major_versions(now)


def _up_to_date(key: str, held: dict[str, Any]) -> bool:
    """Return whether a piece was measured with the current versions; False for a cell that is no longer known."""
    task, robot, condition, *_ = _parsed(key)
    if task not in TASKS or robot not in ROBOTS or condition not in CONDITIONS:
        return False
    before = held.get("versions", {})
    return all(before.get(name) == version for name, version in parts_of(task, robot, condition).items())


def _rows(pieces: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Return the row of each cell, of its consecutive pieces from the first episode on."""
    found: dict[tuple[str, str, str], dict[int, tuple[int, list[int]]]] = {}
    for key, failed in pieces.items():
        task, robot, condition, start, count = _parsed(key)
        starts = found.setdefault((task, robot, condition), {})
        # The longest piece counts, where several begin with the same episode.
        starts[start] = max(starts.get(start, (0, [])), (count, failed), key=lambda piece: piece[0])
    rows = []
    for cell, starts in sorted(found.items(), key=lambda item: _place(item[0])):
        episodes = 0
        failures_so_far: list[int] = []
        while episodes in starts:
            count, failed = starts[episodes]
            episodes += count
            failures_so_far += failed
        if episodes:
            rows.append(_row(cell, episodes, failures_so_far))
    return rows


def _parsed(key: str) -> tuple[str, str, str, int, int]:
    """Return the parts of a key: the inverse of :func:`_key`."""
    task, robot, condition, piece = key.split(" | ")
    count, _, start, _ = piece.split(" ")
    return task, robot, condition, int(start), int(count)


def _place(cell: tuple[str, str, str]) -> tuple[int, int, str]:
    """Return the position of a cell in the table."""
    task, robot, condition = cell
    return [*TASKS, task].index(task), [*CONDITIONS, condition].index(condition), robot


def _row(cell: tuple[str, str, str], episodes: int, failed: list[int]) -> dict[str, Any]:
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

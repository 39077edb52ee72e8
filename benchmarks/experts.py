"""Success of the experts: every task on every robot, and under harder conditions on one robot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field

from agents.evaluation import evaluation
from agents.evaluation.evaluation import evaluate
from benchmarks.suite.conditions import Condition
from benchmarks.suite.fields import SuiteModel, problem_of
from demos.collection.versions import expert_versions, library_versions, major_versions
from demos.experts import make_expert
from demos.runtime.engines import Engine, Job
from demos.runtime.files import write_json
from demos.runtime.intervals import wilson_interval
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

FIRST_SEED = 300_000
"""Experts and physics were tuned on other seeds."""
EPISODES = 2000
CHUNK = 250
"""Episodes of one job; an interruption loses at most these."""
DEFAULT_ROBOT = "panda"
CONDITIONS = {
    "ee": Condition(),
    "ee_yaw": Condition(env={"control": "ee_yaw"}),
    "joint": Condition(env={"control": "joint"}),
    "discrete": Condition(env={"control": "discrete"}),
    "ee, randomize=physics": Condition(env={"randomize": "physics"}),
    "ee, randomize=full": Condition(env={"randomize": "full"}),
    "ee, action noise 0.1": Condition(action_noise=0.1),
}
EVERYWHERE = ("ee",)
"""Conditions that are measured on every robot, the others on the default one alone."""
MOST_EPISODES = {"ee, randomize=full": CHUNK}
"""Largest number of episodes of a condition: fewer where no success rate is expected."""


Piece = Annotated[str, Field(pattern=r"^[^|]+ \| [^|]+ \| [^|]+ \| [1-9]\d* from \d+ on$")]
"""Name of a piece: task, robot, condition, number of episodes and the first of them."""


class Measurements(SuiteModel):
    """Content of a results file."""

    first_seed: int
    conditions: dict[str, Condition]
    libraries: dict[str, str]
    pieces: dict[Piece, list[int]] = Field(default={}, description="Seeds of the failures in each piece.")
    versions: dict[str, int] = Field(default={}, description="Version of each part that decides a success.")
    rows: list[dict[str, Any]] = Field(default=[], description="Success of each cell.")

    def write(self, out: Path) -> Measurements:
        """Write the file with the versions and rows of its pieces; return its content."""
        cells = sorted({_parsed(key)[:3] for key in self.pieces})
        versions = {name: version for cell in cells for name, version in versions_of(*cell).items()}
        written = self.model_copy(update={"versions": versions, "rows": _rows(self.pieces)})
        write_json(out, written.model_dump(exclude_defaults=True))
        return written


def cells(tasks: Iterable[str], robots: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return all cells: task, robot and condition."""
    return [
        (task, robot, condition)
        for task in tasks
        for condition in CONDITIONS
        for robot in robots
        if condition in EVERYWHERE or robot == DEFAULT_ROBOT
    ]


def failures(task: str, robot: str, condition: str, first: int, count: int) -> list[int]:
    """Evaluate an expert on ``count`` seeds from ``first`` on; return the seeds of failures."""
    env = CONDITIONS[condition].make(env_id(task), robot=robot)
    try:
        result = evaluate(make_expert(env), env, seeds=range(first, first + count))
    finally:
        env.close()
    return [episode.seed for episode in result.episodes if not episode.success]


def versions_of(task: str, robot: str, condition: str) -> dict[str, int]:
    """Return the version of each part that decides how often an expert succeeds."""
    changes = CONDITIONS[condition]
    parts = changes.model_copy(update={"env": {**changes.env, "robot": robot}}).versions(env_id(task))
    return {**parts, **expert_versions(env_id(task)), "evaluation": evaluation.VERSION}


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
) -> Measurements:
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
            content = _up_to_date(out, first, overwrite=overwrite).write(out)
            jobs = [
                Job(key, failures, (*cell, first + start, count))
                for start in range(0, episodes, CHUNK)
                for cell in cells(tasks, robots)
                for count in (min(CHUNK, episodes - start),)
                if start < MOST_EPISODES.get(cell[-1], episodes)
                and (key := " | ".join((*cell, f"{count} from {start} on"))) not in content.pieces
            ]
            # Conditions of every robot come first.
            jobs.sort(key=lambda job: job.arguments[2] not in EVERYWHERE)
            for number, (job, failed) in enumerate(engine.run(jobs), start=1):
                content.pieces[job.name] = failed
                content = content.write(out)
                if progress is not None:
                    progress(job.name, number, len(jobs))
            lock.unlink(missing_ok=True)
            return content
    except Timeout:
        raise ValueError(f"{out} is being written by another process: wait for it, or name another file") from None


def _up_to_date(out: Path, first: int, *, overwrite: bool) -> Measurements:
    """Return the pieces of a file that are up to date; none if it is replaced or absent."""
    libraries = library_versions(("gymnasium", "numpy", "pybullet"))
    new = Measurements(first_seed=first, conditions=CONDITIONS, libraries=libraries)
    if not out.is_file():
        return new
    try:
        held = Measurements.model_validate_json(out.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"{out} holds no measurements of experts ({problem_of(error)}); name another file"
        ) from error
    same = {
        "first_seed": held.first_seed == first,
        "conditions": held.conditions == CONDITIONS,
        "libraries": major_versions(held.libraries) == major_versions(libraries),
    }
    if all(same.values()):
        pieces = {key: failed for key, failed in held.pieces.items() if _is_current(key, held)}
        return new.model_copy(update={"pieces": pieces})
    if overwrite:
        return new
    changed = " and another ".join(name for name, equal in same.items() if not equal)
    raise ValueError(f"{out} was measured with another {changed}: name another file, or replace it with --overwrite")


def _is_current(key: str, held: Measurements) -> bool:
    """Return True for a piece of the current versions, False also for a cell that is no longer known."""
    task, robot, condition, *_ = _parsed(key)
    if task not in TASKS or robot not in ROBOTS or condition not in CONDITIONS:
        return False
    return versions_of(task, robot, condition).items() <= held.versions.items()


def _parsed(key: str) -> tuple[str, str, str, int, int]:
    """Return task, robot, condition, first episode and number of episodes of a piece."""
    task, robot, condition, piece = key.split(" | ")
    count, _, start, _ = piece.split(" ")
    return task, robot, condition, int(start), int(count)


def _rows(pieces: dict[str, list[int]]) -> list[dict[str, Any]]:
    """Return the row of each cell, of its consecutive pieces from the first episode on."""
    found: dict[tuple[str, str, str], tuple[int, list[int]]] = {}
    # The longest piece counts, where several begin with the same episode.
    for piece in sorted(pieces, key=lambda key: (_parsed(key)[3], -_parsed(key)[4])):
        task, robot, condition, start, count = _parsed(piece)
        episodes, failed = found.get((task, robot, condition), (0, []))
        if start == episodes:
            found[task, robot, condition] = episodes + count, failed + pieces[piece]
    tasks, conditions = list(TASKS), list(CONDITIONS)
    rows = []
    for task, robot, condition in sorted(found, key=lambda c: (tasks.index(c[0]), conditions.index(c[2]), c[1])):
        episodes, failed = found[task, robot, condition]
        successes = episodes - len(failed)
        rows.append(
            {
                "task": task,
                "robot": robot,
                "condition": condition,
                "episodes": episodes,
                "successes": successes,
                "interval": list(wilson_interval(successes, episodes)),
                "failed_seeds": failed,
            }
        )
    return rows

"""Results file of the measurements of recordings: it is written after each piece, and an interruption loses one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from benchmarks.recordings.accuracy import (
    CONTROLS,
    FIRST_SEED,
    RECORDINGS,
    accuracy,
    position_errors,
    record,
    refusals,
)
from benchmarks.recordings.imitation import (
    FIRST_SCENE,
    MOTIONS,
    RECORDING_SEED,
    ROBOTS,
    TASKS,
    cells,
    imitate,
    one_recording,
)
from benchmarks.recordings.synthetic import FPS, VIEWS
from benchmarks.suite.fields import SuiteModel, problem_of
from demos.collection.environment_versions import environment_versions
from demos.collection.human_demonstrator import HumanDemonstrator
from demos.collection.versions import library_versions, major_versions
from demos.human.events import find_events
from demos.runtime.engines import Engine, Job
from demos.runtime.files import write_json
from demos.runtime.intervals import wilson_interval
from lam_envs.registration import env_id

EPISODES = 200
CHUNK = 20
"""Episodes of one piece."""
SEPARATOR = " | "


class Recordings(SuiteModel):
    """Content of a results file."""

    accuracy_seed: int = FIRST_SEED
    recordings: int = RECORDINGS
    first_seed: int = FIRST_SCENE
    libraries: dict[str, str]
    pieces: dict[str, dict[str, Any]] = Field(default={}, description="Result of each piece.")
    versions: dict[str, dict[str, int]] = Field(default={}, description="Versions that decide each cell's success.")
    one_recording: dict[str, Any] = Field(default={}, description="The recording that the robot imitates.")
    accuracy: list[dict[str, Any]] = Field(default=[], description="Events and positions, by view.")
    refusals: list[dict[str, Any]] = Field(default=[], description="Refusals of controls.")
    imitation: list[dict[str, Any]] = Field(default=[], description="Success of each cell.")

    def write(self, out: Path) -> Recordings:
        """Write the file with the rows of its pieces; return its content."""
        rows = [name for name in (*VIEWS, *CONTROLS) if name in self.pieces]
        measured = sorted({_cell(key) for key in self.pieces if SEPARATOR in key}, key=cells().index)
        written = self.model_copy(
            update={
                "versions": {SEPARATOR.join(cell): _versions(*cell) for cell in measured},
                "accuracy": [self.pieces[name] for name in rows if name in VIEWS],
                "refusals": [self.pieces[name] for name in rows if name in CONTROLS],
                "imitation": [_row(cell, self.pieces) for cell in measured],
            }
        )
        write_json(out, written.model_dump())
        return written


def run(
    out: Path,
    engine: Engine,
    *,
    tasks: Iterable[str] = TASKS,
    robots: Iterable[str] = ROBOTS,
    episodes: int = EPISODES,
    recordings: int = RECORDINGS,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Recordings:
    """Measure what a results file lacks; the same call completes it after an interruption.

    Args:
        out: File to write.
        engine: Runs the pieces.
        tasks: Names of tasks.
        robots: Names of robots.
        episodes: Episodes of each cell.
        recordings: Synthetic recordings of each view and control.
        overwrite: Replace a file of other settings or libraries.
        progress: Called after each piece with its name, the number of pieces done and of all pieces.

    Raises:
        ValueError: A number is not positive, or the file is another one.
    """
    if episodes < 1 or recordings < 1:
        raise ValueError(f"episodes is {episodes} and recordings {recordings}; expected at least 1 each")
    content = _up_to_date(out, recordings, overwrite=overwrite)
    content = content.model_copy(update={"one_recording": _described()})
    jobs = [Job(view, accuracy, (view, FIRST_SEED, recordings)) for view in VIEWS]
    jobs += [Job(control, refusals, (control, FIRST_SEED, recordings)) for control in CONTROLS]
    jobs = [job for job in jobs if job.name not in content.pieces]
    # All cells have some episodes before one has all of them, those of the person first.
    chosen = sorted(cells(tasks, robots), key=lambda cell: MOTIONS.index(cell[2]))
    measured = {cell: _episodes(cell, content.pieces) for cell in chosen}
    for first in range(FIRST_SCENE, FIRST_SCENE + episodes, CHUNK):
        for cell in chosen:
            seeds = range(first, min(first + CHUNK, FIRST_SCENE + episodes))
            # The last piece of a run with fewer episodes is shorter.
            missing = [seed for seed in seeds if seed not in measured[cell]]
            if missing:
                name = SEPARATOR.join((*cell, f"{len(missing)} from {missing[0] - FIRST_SCENE} on"))
                jobs.append(Job(name, imitate, (*cell, missing[0], len(missing))))
    for number, (job, result) in enumerate(engine.run(jobs), start=1):
        content.pieces[job.name] = result
        content = content.write(out)
        if progress is not None:
            progress(job.name, number, len(jobs))
    return content.write(out)


def _described() -> dict[str, Any]:
    """Return how exactly the one recording is understood, of which the truth is known."""
    scene, track = record("front", RECORDING_SEED)
    events, motion = find_events(track), one_recording()
    if events.grasp is None or events.release is None:
        raise RuntimeError(f"no events are found in the recording to imitate: {events.reason}")
    return {
        "seed": RECORDING_SEED,
        "view": "front",
        "frames": len(track.times),
        "event_errors_frames": [
            round(FPS * abs(events.grasp - scene.grasp), 2), round(FPS * abs(events.release - scene.release), 2)
        ],
        "position_errors_mm": [round(error, 1) for error in position_errors(scene, motion)],
    }  # fmt: skip


def _up_to_date(out: Path, recordings: int, *, overwrite: bool) -> Recordings:
    """Return the content of a file without its outdated cells; an empty one if it is replaced or absent."""
    libraries = library_versions(("gymnasium", "numpy", "pybullet", "scipy"))
    new = Recordings(libraries=libraries, recordings=recordings)
    if not out.exists():
        return new
    try:
        held = Recordings.model_validate_json(out.read_bytes())
    except (ValueError, OSError) as error:
        problem = problem_of(error) if isinstance(error, ValueError) else error
        raise ValueError(f"{out} holds no measurements of recordings ({problem}); name another file") from error
    same = (
        (held.accuracy_seed, held.recordings, held.first_seed) == (new.accuracy_seed, recordings, new.first_seed)
        and major_versions(held.libraries) == major_versions(libraries)
    )  # fmt: skip
    if same:
        known = set(cells())
        pieces = {
            key: piece
            for key, piece in held.pieces.items()
            if SEPARATOR not in key
            or (_cell(key) in known and held.versions.get(SEPARATOR.join(_cell(key))) == _versions(*_cell(key)))
        }
        return new.model_copy(update={"pieces": pieces})
    if overwrite:
        return new
    raise ValueError(
        f"{out} was measured with other settings or major versions of libraries: name another file, or replace it "
        "with --overwrite"
    )


def _cell(key: str) -> tuple[str, str, str]:
    task, robot, motion, *_ = key.split(SEPARATOR)
    return task, robot, motion


def _versions(task: str, robot: str, motion: str) -> dict[str, int]:
    """Return the version of each part that decides the success of a cell."""
    return {**environment_versions(env_id(task), robot=robot), "demonstrator human": HumanDemonstrator.version}


class _Episode(NamedTuple):
    """Outcome of an episode."""

    failure: str | None
    """Reason of the failure; None after a success."""
    kept: float
    """Kept deviation."""
    distance: float
    """Median distance to the person's path, mm."""


def _episodes(cell: tuple[str, str, str], pieces: dict[str, dict[str, Any]]) -> dict[int, _Episode]:
    """Return the measured episodes of a cell by seed: pieces of runs with other numbers of episodes can overlap."""
    found = {}
    for key, piece in pieces.items():
        if SEPARATOR in key and _cell(key) == cell:
            first = FIRST_SCENE + _start(key)
            for seed, values in enumerate(zip(piece["kept"], piece["distances"], strict=True), start=first):
                found[seed] = _Episode(piece["failures"].get(str(seed)), *values)
    return found


def _start(key: str) -> int:
    """Return the place of the first episode of a piece, such as 40 for ``20 from 40 on``."""
    _, _, start, _ = key.rpartition(SEPARATOR)[2].split()
    return int(start)


def _row(cell: tuple[str, str, str], pieces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a cell."""
    episodes = _episodes(cell, pieces).values()
    failures = Counter(each.failure for each in episodes if each.failure is not None)
    successes = len(episodes) - failures.total()
    return {
        "task": cell[0],
        "robot": cell[1],
        "motion": cell[2],
        "episodes": len(episodes),
        "successes": successes,
        "interval": list(wilson_interval(successes, len(episodes))),
        "kept_deviation": round(float(np.mean([each.kept for each in episodes])), 3),
        "path_distance_mm": round(float(np.median([each.distance for each in episodes])), 1),
        "failures": dict(failures.most_common()),
    }

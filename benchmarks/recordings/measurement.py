"""Results file of the measurements of recordings: it is written after each piece, and an interruption loses one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
    # All cells have some episodes before one has all of them, those of the person first.
    jobs += [
        Job(SEPARATOR.join((*cell, f"{count} from {start} on")), imitate, (*cell, FIRST_SCENE + start, count))
        for start in range(0, episodes, CHUNK)
        for cell in sorted(cells(tasks, robots), key=lambda cell: MOTIONS.index(cell[2]))
        for count in (min(CHUNK, episodes - start),)
    ]
    jobs = [job for job in jobs if job.name not in content.pieces]
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


def _row(cell: tuple[str, str, str], pieces: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the row of a cell."""
    found = [piece for key, piece in pieces.items() if SEPARATOR in key and _cell(key) == cell]
    failures = {seed: reason for piece in found for seed, reason in piece["failures"].items()}
    kept = [value for piece in found for value in piece["kept"]]
    distances = [value for piece in found for value in piece["distances"]]
    successes = len(kept) - len(failures)
    return {
        "task": cell[0],
        "robot": cell[1],
        "motion": cell[2],
        "episodes": len(kept),
        "successes": successes,
        "interval": list(wilson_interval(successes, len(kept))),
        "kept_deviation": round(float(np.mean(kept)), 3),
        "path_distance_mm": round(float(np.median(distances)), 1),
        "failures": dict(Counter(failures.values()).most_common()),
    }

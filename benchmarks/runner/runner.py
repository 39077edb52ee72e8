"""Carry out a suite: demonstrations, trainings, measurements, videos. Whatever is done is not done again."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from agents.registry import AGENTS
from benchmarks.runner import jobs
from benchmarks.runner.progress import ProgressDisplay
from benchmarks.runner.results import (
    CELLS,
    FAILURES,
    RECORDED_EPISODES,
    SUITE_FILE,
    cell_file,
    failure_file,
    is_done,
    is_recorded,
    read_cell,
    video_file,
    video_info_file,
    video_job_name,
    write_suite,
)
from benchmarks.runner.trained import TrainingJob, is_trained, remove_older
from benchmarks.suite.suite import Cell, Demonstrations, Suite
from demos.runtime.engines import Engine, Job, JobPath
from demos.runtime.files import write_atomically

IMPORTED_LATE = ("scipy.stats",)
"""Modules that measuring imports late. Preloading them saves a second in every process."""
IMPORTED_BY_TRAININGS = ("torch._dynamo",)
"""The same for training: two seconds."""
LOCK = ".lock"
"""Who works in a folder holds it."""


@dataclass(frozen=True)
class Missing:
    """What a results folder lacks of a suite.

    Attributes:
        datasets: To be collected.
        trainings: To be trained.
        cells: To be measured.
        videos: To be recorded.
    """

    datasets: tuple[Demonstrations, ...]
    trainings: tuple[TrainingJob, ...]
    cells: tuple[Cell, ...]
    videos: tuple[Cell, ...]

    def trainings_of(self, cell: Cell) -> list[TrainingJob]:
        """What of the trainings a cell needs."""
        wanted = TrainingJob.of(cell)
        return [each for each in self.trainings if each == wanted]

    def names(self) -> list[str]:
        """What each is called."""
        return [
            *(wanted.id for wanted in self.datasets),
            *(wanted.name for wanted in self.trainings),
            *(cell.name for cell in self.cells),
            *map(video_job_name, self.videos),
        ]


def missing(suite: Suite, folder: str | Path) -> Missing:
    """Returns what a results folder lacks of a suite, or has outdated; nothing is changed.

    What is there already needs nothing of what it was made of: results are whole without their agents.

    Args:
        suite: What to measure.
        folder: Of :func:`run`, which need not be there.
    """
    base, watched = Path(folder), suite.periodic_eval is not None
    cells = [cell for cell in suite.cells() if not is_done(base, cell, watched=watched)]
    wanted = suite.videos
    videos = [
        cell for cell in suite.recorded_cells().values() if wanted is not None and not is_recorded(base, cell, wanted)
    ]
    trainings = [each for each in _trainings([*cells, *videos]) if not is_trained(base, each, watched=watched)]
    datasets = {each.demonstrations: None for each in trainings if each.demonstrations is not None}
    return Missing(tuple(datasets), tuple(trainings), tuple(cells), tuple(videos))


def _trainings(cells: Sequence[Cell]) -> list[TrainingJob]:
    """What cells need trained: once what several need."""
    found: dict[str, TrainingJob] = {}
    for cell in cells:
        wanted = TrainingJob.of(cell)
        if wanted is not None:
            found.setdefault(wanted.key, wanted)
    return list(found.values())


def graph(suite: Suite, todo: Missing, folder: Path) -> list[Job]:
    """Returns the jobs that make what is missing: each comes after what it needs.

    Args:
        suite: What to measure.
        todo: See :func:`missing`.
        folder: Of results.
    """

    def job(
        name: str,
        work: object,
        *arguments: object,
        reads: Sequence[str] = (),
        writes: Sequence[str],
        after: Sequence[str],
    ) -> Job:
        return Job(
            name,
            jobs.attempt,
            (name, work, JobPath(), *arguments),
            folder=folder,
            reads=(*reads, *map(failure_file, after)),
            writes=(*writes, failure_file(name)),
            after=tuple(after),
            imports=imports,
        )

    # Ours alone: what a stranger's does when it is imported is that job's own affair.
    own = {AGENTS[entry.agent].partition(":")[0]: None for entry in suite.agents if entry.agent in AGENTS}
    imports = (*own, *IMPORTED_LATE, *(IMPORTED_BY_TRAININGS if todo.trainings else ()))
    made = [
        job(
            each.id,
            jobs.collect,
            each,
            suite.evaluation.seeds,
            reads=[f"{jobs.DATASETS}/{each.id}"],
            writes=[f"{jobs.DATASETS}/{each.id}"],
            after=[],
        )
        for each in todo.datasets
    ]
    measurements: dict[str, list[Job]] = {}
    for cell in todo.cells:
        trained = _trainings([cell])
        needed = [each.name for each in trained if each in todo.trainings]
        measurements.setdefault("".join(needed), []).append(
            job(
                cell.name,
                jobs.measure,
                cell,
                suite.evaluation.episode_seconds,
                reads=[each.path for each in trained],
                writes=[cell_file(cell)],
                after=[each.name for each in trained],
            )
        )
    # What needs nothing more is measured at once.
    made += measurements.pop("", [])
    for each in todo.trainings:
        shown = [] if each.demonstrations is None else [each.demonstrations.id]
        data = [f"{jobs.DATASETS}/{name}" for name in shown]
        made.append(
            job(each.name, jobs.train_agent, each, suite.periodic_eval, reads=data, writes=[each.path], after=shown)
        )
        # What is trained is measured next: results come as the suite goes.
        made += measurements.pop(each.name, [])
    for cell in todo.videos:
        trained = _trainings([cell])
        made.append(
            job(
                video_job_name(cell),
                jobs.record_videos,
                cell,
                suite.videos,
                suite.evaluation.episode_seconds,
                reads=[cell_file(cell), *(each.path for each in trained)],
                writes=[video_info_file(cell), *(video_file(cell, which) for which in RECORDED_EPISODES)],
                after=[cell.name, *(each.name for each in trained)],
            )
        )
    return made


def expected_seconds(todo: Missing, folders: Sequence[str | Path]) -> dict[str, float]:
    """Tells how long trainings and measurements take, by what the same ones took before, with whatever seed and code.

    Args:
        todo: What is to be done.
        folders: Of results.

    Returns:
        Seconds, by the name of the training or the cell, of those that are known.
    """
    trained: dict[tuple[object, ...], list[float]] = {}
    measured: dict[tuple[object, ...], list[float]] = {}
    for folder in folders:
        for path in sorted((Path(folder) / CELLS).glob("*.json")):
            with contextlib.suppress(ValueError):
                result = read_cell(path)
                measured.setdefault((result.cell.environment, result.cell.label), []).append(
                    result.evaluation_seconds
                )
                wanted = TrainingJob.of(result.cell)
                if wanted is not None and result.training is not None:
                    trained.setdefault(_kind(wanted), []).append(result.training.seconds)
    known = {each.name: trained.get(_kind(each), []) for each in todo.trainings}
    known |= {cell.name: measured.get((cell.environment, cell.label), []) for cell in todo.cells}
    return {name: sum(seconds) / len(seconds) for name, seconds in known.items() if seconds}


def _kind(wanted: TrainingJob) -> tuple[object, ...]:
    """What trainings that take equally long have in common."""
    count = None if wanted.demonstrations is None else wanted.demonstrations.count
    return wanted.environment, wanted.agent, str(wanted.settings), count


def run(suite: Suite, folder: str | Path, engine: Engine, *, progress: bool = False) -> Path:
    """Carries out what is missing of a suite.

    What fails does not stop the rest, but for what is made of it; its traceback is in ``failures``, and it is tried
    again in the next run.

    Args:
        suite: What to measure.
        folder: For datasets, trained agents, results and videos.
        engine: Where jobs run.
        progress: Show what runs and how far it is.

    Returns:
        The folder.

    Raises:
        NotADirectoryError: The folder is a file.
        ValueError: The folder holds what is not of this suite, or another run works there.
    """
    # Whole: an agent may go to another folder.
    base = Path(folder).absolute()
    check_folder(suite, base)
    base.mkdir(parents=True, exist_ok=True)
    lock = FileLock(base / LOCK, timeout=0)
    try:
        with lock:
            _carry_out(suite, base, engine, progress=progress)
    except Timeout as error:
        raise ValueError(f"another run works in {base}: wait for it, or choose another folder by --out") from error
    (base / LOCK).unlink(missing_ok=True)
    return base


def removed_agents(suite: Suite, folder: str | Path) -> list[str]:
    """Returns agents that were added to the last run in a folder and are not in this suite."""
    try:
        added = json.loads((Path(folder) / SUITE_FILE).read_text())["extra_agents"]
        labels = {entry.label for entry in suite.agents}
        return [str(label) for label in added if label not in labels]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def forget(suite: Suite, folder: str | Path, label: str) -> None:
    """Removes what was trained, measured and recorded of an agent, which is then made again.

    Args:
        suite: Has the agent.
        folder: Of :func:`run`.
        label: Of the agent.

    Raises:
        ValueError: The suite has no such agent.
    """
    base = Path(folder)
    own = [cell for cell in suite.cells() if cell.label == label]
    if not own:
        labels = ", ".join(dict.fromkeys(entry.label for entry in suite.agents))
        raise ValueError(f"no agent is called {label!r}; expected one of {labels}")
    for cell in own:
        for file in (cell_file(cell), video_info_file(cell)):
            (base / file).unlink(missing_ok=True)
    for each in _trainings(own):
        shutil.rmtree(base / each.path, ignore_errors=True)


def check_folder(suite: Suite, folder: str | Path) -> None:
    """Refuses to write where others' files would be replaced.

    Raises:
        NotADirectoryError: It is a file.
        ValueError: It holds results of another suite, or files of others by the names of ours.
    """
    base = Path(folder)
    if base.exists() and not base.is_dir():
        raise NotADirectoryError(f"{base} is a file; choose a folder by --out")
    told = base / SUITE_FILE
    if not told.is_file():
        foreign = [name for name in ("report.md", "report.html") if (base / name).exists()]
        if foreign:
            raise ValueError(f"{base} holds {', '.join(foreign)} and no {SUITE_FILE}: choose another folder by --out")
        return
    try:
        name = json.loads(told.read_text())["name"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{told} is of no suite: choose another folder by --out, or remove it") from error
    if name != suite.name:
        raise ValueError(f"{base} holds results of the suite {name!r}: choose another folder by --out")


def _carry_out(suite: Suite, base: Path, engine: Engine, *, progress: bool) -> None:
    write_suite(base, suite)
    todo = missing(suite, base)
    work = graph(suite, todo, base)
    # Whatever failed is tried again, or belongs to what the suite does not ask for any more.
    shutil.rmtree(base / FAILURES, ignore_errors=True)
    done = len(suite.cells()) - len(todo.cells)
    note = f"{done} measurements are up to date" if done else ""
    with ProgressDisplay(f"suite {suite.name}", len(work), note, disable=not progress) as shown:
        for job, problem in engine.run(work, on_crash=_died, on_progress=shown.watch if progress else None):
            shown.ended(job, failed=bool(problem))
    for each in todo.trainings:
        if is_trained(base, each, watched=False):
            remove_older(base, each)


def _died(job: Job) -> str:
    """Writes down that a job took its process down with it."""
    told = f"{job.name}: its process died: killed, out of memory, or it did not let itself be interrupted\n"
    assert job.folder is not None  # noqa: S101  (all jobs of a suite have one)
    write_atomically(job.folder / failure_file(job.name), told)
    return told


def failures(suite: Suite, folder: str | Path) -> dict[str, str]:
    """Returns what failed when it was last tried, of all that a suite takes.

    Args:
        suite: What was measured.
        folder: Of :func:`run`.

    Returns:
        The traceback by name.
    """
    cells = suite.cells()
    trainings = _trainings(cells)
    datasets = dict.fromkeys(each.demonstrations.id for each in trainings if each.demonstrations is not None)
    names = [
        *datasets,
        *(each.name for each in trainings),
        *(cell.name for cell in cells),
        *map(video_job_name, suite.recorded_cells().values()),
    ]
    paths = {name: Path(folder) / failure_file(name) for name in names}
    return {name: path.read_text(errors="replace") for name, path in paths.items() if path.is_file()}

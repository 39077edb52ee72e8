"""Run a suite: demonstrations, training runs, evaluations, videos. What is up to date is not run again."""

from __future__ import annotations

import contextlib
import json
import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from agents.registry import AGENTS
from benchmarks.runner import jobs
from benchmarks.runner.encoders import EncoderJob, is_pretrained
from benchmarks.runner.progress import progress_display
from benchmarks.runner.results import (
    FAILURES,
    RECORDED_EPISODES,
    SUITE_FILE,
    PlannedCell,
    cell_file,
    failure_file,
    is_done,
    is_recorded,
    video_file,
    video_info_file,
    video_job_name,
    write_suite,
)
from benchmarks.runner.trained import TRAINED, UNFINISHED, TrainingJob, is_trained, remove_outdated
from benchmarks.suite.demonstrations import Demonstrations
from benchmarks.suite.suite import PeriodicEvaluation, Suite
from demos.runtime.engines import Engine, Job, JobPath
from demos.runtime.files import write_atomically

IMPORTED_LATE = ("scipy.stats",)
"""Modules that evaluations import late. Preloading them saves a second in every process."""
IMPORTED_BY_TRAININGS = ("torch._dynamo",)
"""The same for training runs: two seconds."""
DRAWING_SECONDS = 600.0
"""Wall time for drawing the images of an episode, in addition to the time of its agent."""
LOCK = ".lock"
"""Lock file that the run in a folder holds."""


@dataclass(frozen=True)
class Missing:
    """Work that is left to complete the results of a suite.

    Attributes:
        datasets: Datasets to collect.
        encoders: Encoders to pre-train.
        trainings: Training runs to carry out.
        cells: Cells to measure.
        videos: Cells to record videos of.
        periodic_evals: Evaluations during the training runs that have them, by the training's key.
    """

    datasets: tuple[Demonstrations, ...]
    encoders: tuple[EncoderJob, ...]
    trainings: tuple[TrainingJob, ...]
    cells: tuple[PlannedCell, ...]
    videos: tuple[PlannedCell, ...]
    periodic_evals: dict[str, PeriodicEvaluation]

    def names(self) -> list[str]:
        """Return the names of the jobs."""
        return [
            *(dataset.id for dataset in self.datasets),
            *(encoder.name for encoder in self.encoders),
            *(training.name for training in self.trainings),
            *(planned.cell.name for planned in self.cells),
            *(video_job_name(planned.cell) for planned in self.videos),
        ]


def missing(suite: Suite, folder: str | Path) -> Missing:
    """Return the missing and outdated results of a suite in a results folder. Nothing is changed.

    A result that is there needs neither its agent nor its dataset.

    Args:
        suite: Suite to carry out.
        folder: Results folder, which need not exist.
    """
    base = Path(folder)
    plans = {cell.name: PlannedCell.of(cell) for cell in suite.cells()}
    cells = [each for each in plans.values() if not is_done(base, each, suite.periodic_eval_of(each.cell))]
    settings = suite.videos
    videos = [
        plans[cell.name]
        for cell in suite.recorded_cells().values()
        if settings is not None and not is_recorded(base, plans[cell.name], settings)
    ]
    periodic_evals = {}
    for planned in plans.values():
        evaluations = suite.periodic_eval_of(planned.cell)
        if planned.training is not None and evaluations is not None:
            for training in filter(None, (planned.training, planned.training.base)):
                periodic_evals[training.key] = evaluations
    trainings = _untrained([*cells, *videos], base, periodic_evals)
    encoders = {
        encoder.key: encoder
        for encoder in (each.encoder for each in trainings)
        if encoder is not None and not is_pretrained(base, encoder)
    }
    learning: list[EncoderJob | TrainingJob] = [*encoders.values(), *trainings]
    datasets = {dataset.id: dataset for each in learning for dataset in each.datasets}
    return Missing(
        tuple(datasets.values()),
        tuple(encoders.values()),
        tuple(trainings),
        tuple(cells),
        tuple(videos),
        periodic_evals,
    )


def _trainings(cells: Sequence[PlannedCell]) -> list[TrainingJob]:
    """Return the training runs of cells, each once."""
    return list({planned.training.key: planned.training for planned in cells if planned.training}.values())


def _untrained(
    cells: Sequence[PlannedCell], folder: Path, periodic_evals: Mapping[str, PeriodicEvaluation]
) -> list[TrainingJob]:
    """Return the missing training runs of cells, before them those whose agents they adapt."""
    found: dict[str, TrainingJob] = {}
    for training in _trainings(cells):
        if not is_trained(folder, training, periodic_evals.get(training.key)):
            adapted = training.base
            if adapted is not None and not is_trained(folder, adapted, periodic_evals.get(adapted.key)):
                found.setdefault(adapted.key, adapted)
            found.setdefault(training.key, training)
    return list(found.values())


def make_jobs(suite: Suite, todo: Missing, folder: Path) -> list[Job]:
    """Return the jobs for the missing work, each after the jobs that it needs.

    Args:
        suite: Suite to run.
        todo: Missing work, see :func:`missing`.
        folder: Results folder.
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

    # A third-party agent may do anything when it is imported: only its own job imports it.
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
    for planned in todo.cells:
        cell, trained = planned.cell, _trainings([planned])
        needed = [each.name for each in trained if each in todo.trainings]
        measurements.setdefault("".join(needed), []).append(
            job(
                cell.name,
                jobs.measure,
                planned,
                suite.evaluation.episode_seconds,
                reads=[each.path for each in trained],
                writes=[cell_file(cell)],
                after=[each.name for each in trained],
            )
        )
    # Cells that need no training come first.
    made += measurements.pop("", [])
    for encoder in todo.encoders:
        shown = [dataset.id for dataset in encoder.datasets]
        data = [f"{jobs.DATASETS}/{name}" for name in shown]
        made.append(job(encoder.name, jobs.pretrain_encoder, encoder, reads=data, writes=[encoder.path], after=shown))
    for each in todo.trainings:
        needed = [dataset.id for dataset in each.datasets]
        data = [f"{jobs.DATASETS}/{name}" for name in needed]
        if each.encoder is not None:
            needed.append(each.encoder.name)
            data.append(each.encoder.path)
        if each.base is not None:
            needed.append(each.base.name)
            data.append(each.base.path)
        work = jobs.train_agent if each.base is None else jobs.adapt_agent
        curve = todo.periodic_evals.get(each.key)
        made.append(job(each.name, work, each, curve, reads=data, writes=[each.path], after=needed))
        # Cells follow their training, so that results come early.
        made += measurements.pop(each.name, [])
    for planned in todo.videos:
        cell, trained = planned.cell, _trainings([planned])
        made.append(
            job(
                video_job_name(cell),
                jobs.record_videos,
                planned,
                suite.videos,
                suite.evaluation.episode_seconds + DRAWING_SECONDS,
                reads=[cell_file(cell), *(each.path for each in trained)],
                writes=[video_info_file(cell), *(video_file(cell, which) for which in RECORDED_EPISODES)],
                after=[cell.name, *(each.name for each in trained)],
            )
        )
    return made


def run(
    suite: Suite, folder: str | Path, engine: Engine, *, progress: bool = False, rerun: Sequence[str] = ()
) -> Path:
    """Run what is missing of a suite.

    A job that fails stops only the jobs that need it. Its traceback is in the folder ``failures``, and the next run
    tries it again.

    Args:
        suite: Suite to run.
        folder: Results folder, for datasets, trained agents, results and videos.
        engine: Engine that runs the jobs.
        progress: Show progress.
        rerun: Labels of agents that are trained and evaluated again.

    Returns:
        The folder.

    Raises:
        NotADirectoryError: The folder is a file.
        ValueError: The folder belongs to something else, another run works there, or the suite has no agent of a
            label. Nothing is deleted then.
    """
    # Absolute: an agent may change the working directory.
    base = Path(folder).absolute()
    check_folder(suite, base)
    with locked(base):
        delete_results(suite, base, rerun)
        _run(suite, base, engine, progress=progress)
    return base


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a results folder, which is created if it does not exist.

    The lock file stays: if it were removed, a run that waits for it and a later run could hold two locks.

    Raises:
        ValueError: Another run works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise ValueError(f"another run works in {folder}: wait for it, or choose another folder by --out") from error


def removed_agents(suite: Suite, folder: str | Path) -> list[str]:
    """Return the extra agents of the last run in a folder that this suite does not have."""
    try:
        extra = json.loads((Path(folder) / SUITE_FILE).read_text())["extra_agents"]
        labels = {entry.label for entry in suite.agents}
        return [str(label) for label in extra if label not in labels]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def delete_results(suite: Suite, folder: str | Path, labels: Sequence[str]) -> None:
    """Delete the trained agents, results and videos of some agents, so that the next run makes them.

    Args:
        suite: Suite with the agents.
        folder: Results folder.
        labels: Labels of the agents.

    Raises:
        ValueError: The suite has no agent of one of the labels. Nothing is deleted then.
    """
    base = Path(folder)
    known = list(dict.fromkeys(entry.label for entry in suite.agents))
    for label in labels:
        if label not in known:
            raise ValueError(f"no agent has the label {label!r}; expected one of {', '.join(known)}")
    own = [cell for cell in suite.cells() if cell.label in labels]
    for cell in own:
        for file in (cell_file(cell), video_info_file(cell)):
            (base / file).unlink(missing_ok=True)
    for each in _trainings([PlannedCell.of(cell) for cell in own]):
        for path in (each.path, each.unfinished_path):
            shutil.rmtree(base / path, ignore_errors=True)
        if each.encoder is not None:
            shutil.rmtree(base / each.encoder.path, ignore_errors=True)


def check_folder(suite: Suite, folder: str | Path) -> None:
    """Raise an error for a folder in which a run would replace files of something else.

    Raises:
        NotADirectoryError: The folder is a file.
        ValueError: The folder holds results of another suite, or other files with the names of ours.
    """
    base = Path(folder)
    if base.exists() and not base.is_dir():
        raise NotADirectoryError(f"{base} is a file; choose a folder by --out")
    suite_file = base / SUITE_FILE
    if not suite_file.is_file():
        foreign = [name for name in ("report.md", "report.html") if (base / name).exists()]
        if foreign:
            raise ValueError(f"{base} holds {', '.join(foreign)} and no {SUITE_FILE}: choose another folder by --out")
        return
    try:
        name = json.loads(suite_file.read_text())["name"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"{suite_file} is not the file of a suite: choose another folder by --out, or remove it"
        ) from error
    if name != suite.name:
        raise ValueError(f"{base} holds results of the suite {name!r}: choose another folder by --out")


def _run(suite: Suite, base: Path, engine: Engine, *, progress: bool) -> None:
    write_suite(base, suite)
    todo = missing(suite, base)
    for each in todo.trainings:
        remove_outdated(base, each, UNFINISHED)
    done = len(suite.cells()) - len(todo.cells)
    note = f"{done} results are up to date" if done else ""
    run_jobs(make_jobs(suite, todo, base), base, engine, f"suite {suite.name}", note, progress=progress)
    for each in todo.trainings:
        if is_trained(base, each):
            remove_outdated(base, each, TRAINED)


def run_jobs(
    work: Sequence[Job], folder: Path, engine: Engine, what: str, note: str = "", *, progress: bool = False
) -> None:
    """Run jobs. Tracebacks of failed jobs are written to the folder; earlier ones are deleted.

    Args:
        work: Jobs that call :func:`benchmarks.runner.jobs.attempt`.
        folder: Results folder.
        engine: Engine that runs the jobs.
        what: Name of the run, in its progress.
        note: Text about the run.
        progress: Show bars on a terminal, and lines in other output.
    """
    # Jobs that failed run again, or do not belong to the suite any more.
    shutil.rmtree(folder / FAILURES, ignore_errors=True)
    with progress_display(what, len(work), note, disable=not progress) as shown:
        for job, problem in engine.run(work, on_crash=_on_crash, on_progress=shown.update if progress else None):
            shown.ended(job, failed=bool(problem))


def _on_crash(job: Job, error: Exception) -> str:
    """Write the failure of a job whose process crashed or took too long, and return it."""
    message = "".join(traceback.format_exception(error))
    assert job.folder is not None  # noqa: S101  (all jobs of a suite have one)
    write_atomically(job.folder / failure_file(job.name), message)
    return message


def failures(folder: str | Path) -> dict[str, str]:
    """Return the tracebacks of the jobs that failed in the last run, by name, in the order in which they failed.

    Args:
        folder: Results folder.
    """
    paths = sorted((Path(folder) / FAILURES).glob("*.txt"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return {path.name.removesuffix(".txt"): path.read_text(errors="replace") for path in paths}

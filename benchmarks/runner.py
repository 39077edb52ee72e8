"""Carry out a suite: collect demonstrations, train, evaluate, film. Whatever is done is not done again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import minari
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

import agents
import demos
from agents.evaluation import evaluate, make_env
from benchmarks.deadline import Deadline
from benchmarks.results import (
    CELLS,
    CellResult,
    failure_path,
    filming_path,
    is_done,
    read_cell,
    versions_of,
    video_path,
    write_cell,
    write_suite,
)
from benchmarks.suite import Cell, Filming, Suite
from benchmarks.training import Watching, train
from demos.dataset import episode_seeds
from demos.engines import Engine, Job
from demos.files import write_atomically, write_json
from demos.video import policy_frames, write_video

DATASETS = "datasets"
AGENTS = "agents"


@dataclass(frozen=True)
class Missing:
    """What is to be done for a suite.

    Attributes:
        datasets: Environment, number and quality of demonstrations.
        cells: To be measured.
        films: Environments.
    """

    datasets: tuple[tuple[str, int, str], ...]
    cells: tuple[Cell, ...]
    films: tuple[str, ...]


def missing(suite: Suite, folder: str | Path) -> Missing:
    """Returns what a results folder lacks of a suite, or has of other code; nothing is changed.

    Args:
        suite: What to measure.
        folder: Of :func:`run`, which need not be there.
    """
    base = Path(folder)
    watched = suite.curves is not None
    cells = [
        cell for cell in suite.cells() if not is_done(base, cell, watched=watched) or _lacks_agent(suite, cell, base)
    ]
    learned = {
        (cell.environment, cell.demonstrations, cell.quality)
        for cell in cells
        if cell.demonstrations is not None and cell.quality is not None
    }
    films = [environment for environment in _filmed_environments(suite) if not _is_filmed(suite, environment, base)]
    return Missing(tuple(sorted(learned)), tuple(cells), tuple(films))


def expected_seconds(cells: Sequence[Cell], folders: Sequence[str | Path]) -> dict[str, float]:
    """Tells how long measurements take, by what the same ones took before, with whatever seed and code.

    Args:
        cells: To be measured.
        folders: Of results.

    Returns:
        Seconds, by the name of the cell, of those that are known.
    """
    took: dict[tuple[str, str], list[float]] = {}
    for folder in folders:
        for path in sorted((Path(folder) / CELLS).glob("*.json")):
            with contextlib.suppress(ValueError):
                result = read_cell(path)
                seconds = (result.training_seconds or 0.0) + result.evaluation_seconds
                took.setdefault((result.cell.environment, result.cell.label), []).append(seconds)
    known = {cell.name: took.get((cell.environment, cell.label), []) for cell in cells}
    return {name: sum(seconds) / len(seconds) for name, seconds in known.items() if seconds}


def run(suite: Suite, folder: str | Path, engine: Engine, *, progress: bool = False) -> Path:
    """Carries out what is missing of a suite.

    A measurement that fails does not stop the others; its traceback is in ``failures``, and it is tried again in the
    next run.

    Args:
        suite: What to measure.
        folder: For datasets, trained agents, results and videos.
        engine: Where jobs run.
        progress: Show a bar.

    Returns:
        The folder.

    Raises:
        ValueError: The demonstrations and the evaluation share a seed.
    """
    # Whole: an agent may go to another folder.
    base = Path(folder).absolute()
    base.mkdir(parents=True, exist_ok=True)
    write_suite(base, suite)
    todo = missing(suite, base)
    datasets = [
        Job(
            f"{count} {quality} demonstrations of {environment}",
            collect_demonstrations,
            (suite, environment, count, quality, str(base)),
        )
        for environment, count, quality in todo.datasets
    ]
    seconds = suite.evaluation.episode_seconds
    measured = [Job(cell.name, attempt, (cell, seconds, suite.curves, str(base))) for cell in todo.cells]
    films = [
        Job(f"film of {environment}", attempt_film, (_filmed(suite, environment), suite.videos, str(base)))
        for environment in todo.films
    ]
    with Progress(
        TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[last]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        disable=not progress,
    ) as bar:
        done = len(suite.cells()) - len(todo.cells)
        note = f"{done} measurements of this code were there already" if done else ""
        shown = bar.add_task(f"suite {suite.name}", total=len(datasets) + len(measured) + len(films), last=note)
        for stage in (datasets, measured, films):
            if stage:
                bar.update(shown, last=f"{stage[0].name} ...")
            for job, problem in engine.run(stage, died=_died):
                bar.update(shown, advance=1, last=f"{'FAILED' if problem else 'finished'} {job.name}")
    return base


def _died(job: Job) -> str:
    """Writes down that a job took its process down with it."""
    told = f"{job.name}: its process died, killed or out of memory\n"
    cell, *_, folder = job.arguments
    if job.function is attempt:
        write_atomically(failure_path(Path(folder), cell.name), told)
    elif job.function is attempt_film:
        write_atomically(failure_path(Path(folder), _film_name(cell.environment)), told)
    return told


def failures(suite: Suite, folder: str | Path) -> dict[str, str]:
    """Returns what went wrong with those of a suite's measurements and films that failed when they were last tried.

    Args:
        suite: What was measured.
        folder: Of :func:`run`.

    Returns:
        The traceback by the name of the cell, or of the film.
    """
    names = [cell.name for cell in suite.cells()] + [_film_name(name) for name in _filmed_environments(suite)]
    paths = {name: failure_path(Path(folder), name) for name in names}
    return {name: path.read_text() for name, path in paths.items() if path.is_file()}


def _film_name(environment: str) -> str:
    return f"film-of-{environment}"


def _lacks_agent(suite: Suite, cell: Cell, folder: Path) -> bool:
    """Whether a film is due of a trained agent that is not there, as in a clone, which holds results alone."""
    if cell.environment not in _filmed_environments(suite) or cell.training_seed is None:
        return False
    if (folder / AGENTS / cell.name).is_dir():
        return False
    return cell == _filmed(suite, cell.environment) and not _is_filmed(suite, cell.environment, folder)


def collect_demonstrations(suite: Suite, environment: str, count: int, quality: str, folder: str) -> None:
    """Job: collects one environment's demonstrations, and checks that evaluation never saw their seeds."""
    dataset = demos.collect(
        environment,
        episodes=count,
        seed=suite.demonstration_seed,
        quality=quality,
        dataset_id=_dataset_id(environment, count, quality, suite.demonstration_seed),
        root=Path(folder) / DATASETS,
        # What was collected by other code or with other settings is of no use here.
        overwrite=True,
    )
    shared = set(episode_seeds(dataset)) & set(suite.evaluation.seeds)
    if shared:
        raise ValueError(
            f"demonstrations and evaluation of {environment} share the seeds {sorted(shared)}: "
            "choose another first_seed"
        )


def attempt(cell: Cell, episode_seconds: int, curves: Watching | None, folder: str) -> str | None:
    """Job: measures a cell, or writes down why that failed.

    Returns:
        The traceback; None if nothing failed.
    """
    path = failure_path(Path(folder), cell.name)
    try:
        measure(cell, episode_seconds, curves, folder)
    except BaseException:  # whatever a stranger's agent may raise
        told = traceback.format_exc()
        write_atomically(path, told)
        return told
    path.unlink(missing_ok=True)
    return None


def measure(cell: Cell, episode_seconds: int, curves: Watching | None, folder: str) -> None:
    """Trains a cell's agent if it learns, evaluates it, writes the result.

    Args:
        cell: What to measure.
        episode_seconds: Wall time that an episode of the evaluation may take.
        curves: How closely the training is watched; None for not at all.
        folder: For the trained agent and the result.

    Raises:
        TookTooLong: An episode took longer.
    """
    _quieten()
    env = make_env(cell.environment)
    try:
        agent = agents.make(cell.agent, env, **cell.settings)
        training = None
        if cell.training_seed is not None:
            demonstrations = _demonstrations(cell, Path(folder))
            training = train(agent, demonstrations, env, seed=cell.training_seed, watching=curves)
            # Measured is what was saved: a report's figures hold for the files that others load.
            agent.save(Path(folder) / AGENTS / cell.name)
            agent = type(agent).load(Path(folder) / AGENTS / cell.name, env)
        began = time.perf_counter()
        with Deadline(agent, episode_seconds) as limited:
            result = evaluate(limited, env, seeds=range(cell.first_seed, cell.first_seed + cell.episodes))
        evaluated = round(time.perf_counter() - began, 1)
    finally:
        env.close()
    write_cell(Path(folder), CellResult(cell, result, versions_of(cell), training, evaluated))


def _demonstrations(cell: Cell, folder: Path) -> minari.MinariDataset | None:
    """What a cell's agent learns from; None if it learns from the reward alone."""
    if cell.demonstrations is None or cell.quality is None or cell.demonstration_seed is None:
        return None
    dataset_id = _dataset_id(cell.environment, cell.demonstrations, cell.quality, cell.demonstration_seed)
    return demos.load(dataset_id, folder / DATASETS)


def attempt_film(cell: Cell, videos: Filming, folder: str) -> str | None:
    """Job: films a cell's agent, unless it was not measured either, or writes down why that failed.

    Returns:
        Why there is no film; None if there is one.
    """
    if failure_path(Path(folder), cell.name).is_file():
        return f"{cell.name} failed"
    path = failure_path(Path(folder), _film_name(cell.environment))
    try:
        film(cell, videos, folder)
    except BaseException:  # as above
        told = traceback.format_exc()
        write_atomically(path, told)
        return told
    path.unlink(missing_ok=True)
    return None


def film(cell: Cell, videos: Filming, folder: str) -> None:
    """Films the cell's agent, as it was measured, on its first evaluation seeds."""
    _quieten()
    env = make_env(cell.environment, render_mode="rgb_array", render_width=videos.size, render_height=videos.size)
    base = Path(folder)
    if cell.training_seed is None:
        agent = agents.make(cell.agent, env, **cell.settings)
    else:
        agent = agents.load(base / AGENTS / cell.name, env, agent=cell.agent)
    seeds = range(cell.first_seed, cell.first_seed + videos.episodes)
    frames = policy_frames(env, agent, seeds)
    write_video(frames, video_path(base, cell.environment), fps=env.metadata["render_fps"])
    write_json(filming_path(base, cell.environment), _filming(cell, videos))
    env.close()


def _filming(cell: Cell, videos: Filming) -> dict[str, Any]:
    """What a video shows, and with which code."""
    return {"cell": asdict(cell), "videos": asdict(videos), "versions": versions_of(cell)}


def _is_filmed(suite: Suite, environment: str, folder: Path) -> bool:
    """Whether there is a video of the suite's cell as it is measured now."""
    if suite.videos is None or not video_path(folder, environment).is_file():
        return False
    try:
        shown = json.loads(filming_path(folder, environment).read_text())
    except (OSError, ValueError):
        return False
    return bool(shown == _filming(_filmed(suite, environment), suite.videos))


def _filmed_environments(suite: Suite) -> list[str]:
    """Where the filmed agent is measured."""
    if suite.videos is None:
        return []
    return [name for entry in suite.agents if entry.label == suite.videos.agent for name in entry.environments]


def _filmed(suite: Suite, environment: str) -> Cell:
    """The first cell of the filmed agent in an environment."""
    filmed = suite.videos.agent if suite.videos is not None else None
    for cell in suite.cells():
        if cell.environment == environment and cell.label == filmed:
            return cell
    raise ValueError(f"suite {suite.name} films agent {filmed!r}, which it does not measure in {environment}")


def _dataset_id(environment: str, demonstrations: int, quality: str, seed: int) -> str:
    return f"{environment.removesuffix('-v0')}-{quality}-{demonstrations}-seed{seed}-v0"


def _quieten() -> None:
    """Leaves the parent's progress bar alone on the terminal."""
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    warnings.simplefilter("ignore", UserWarning)
    os.environ.setdefault("TQDM_DISABLE", "1")

"""Overhead of the runner of suites, and speedup by a second worker."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.runner import runner
from benchmarks.runner.results import read_results
from benchmarks.speed.measuring import Measured, median
from benchmarks.suite.suite import AgentEntry, EvaluationSettings, Suite
from demos.runtime.engines import LocalEngine

ENV_ID = "LamGrasp-v0"
DEMONSTRATIONS = 100


def suite_of(trainings: int, episodes: int) -> Suite:
    """Return a suite of BC policies.

    Args:
        trainings: Number of trainings.
        episodes: Episodes of each evaluation.
    """
    return Suite(
        name="running",
        agents=(
            AgentEntry(agent="bc", label="bc", environments=(ENV_ID,), demonstrations={ENV_ID: (DEMONSTRATIONS,)}),
        ),
        demonstration_seed=0,
        training_seeds=tuple(range(1, trainings + 1)),
        evaluation=EvaluationSettings(first_seed=1000, episodes=episodes),
    )


def measure(*, trainings: int, episodes: int, rounds: int) -> Iterator[Measured]:
    """Yield each figure as soon as it is measured.

    Args:
        trainings: Trainings of the suite.
        episodes: Episodes of each evaluation.
        rounds: Number of runs with one worker and with two, in alternation.
    """
    suite = suite_of(trainings, episodes)
    own: list[float] = []
    alone: list[float] = []
    together: list[float] = []
    with tempfile.TemporaryDirectory() as made:
        # Demonstrations are collected first: results do not include that time.
        ready = runner.run(
            suite.model_copy(
                update={"training_seeds": (0,), "evaluation": EvaluationSettings(first_seed=1000, episodes=1)}
            ),
            made,
            LocalEngine(1),
        )
        for _ in range(rounds):
            own.append(_job_seconds(suite, ready, 1, alone))
            _job_seconds(suite, ready, 2, together)
    yield median(f"total time of {trainings} trainings and evaluations", own, "s")
    yield median("time of the suite, one worker", alone, "s")
    yield median("time of the suite, two workers", together, "s")
    yield median(
        "overhead of the runner, one worker", [100 * (b / a - 1) for a, b in zip(own, alone, strict=True)], "%"
    )
    yield median("speedup by a second worker", [a / b for a, b in zip(alone, together, strict=True)], "")


def _job_seconds(suite: Suite, ready: Path, workers: int, walls: list[float]) -> float:
    """Run a suite; return the total time of its jobs."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copytree(ready / "datasets", folder / "datasets")
        began = time.perf_counter()
        runner.run(suite, folder, LocalEngine(workers))
        walls.append(time.perf_counter() - began)
        _, results = read_results(folder)
    return sum((result.training_seconds or 0.0) + result.evaluation_seconds for result in results)

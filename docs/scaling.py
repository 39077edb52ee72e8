"""Estimate of the time of a suite on more cores, computed from the measured times of its jobs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runner.results import read_results
from benchmarks.runner.trained import TrainingJob
from docs.tables import table

CORES = (1, 2, 8, 16, 64, 256, 1000)


def chain_seconds(folder: Path) -> list[float]:
    """Return the seconds of each chain of jobs in a folder of results, the longest first.

    A chain is a training run with its evaluations, or an evaluation that needs no training.
    """
    _, results = read_results(folder)
    seconds: dict[str, float] = {}
    for result in results:
        job = TrainingJob.of(result.cell, result.provenance)
        key = result.cell.name if job is None else job.name
        trained = 0.0 if result.training is None else result.training.cpu_seconds
        seconds[key] = seconds.get(key, trained) + result.evaluation_seconds
    return sorted(seconds.values(), reverse=True)


def makespan(seconds: Sequence[float], cores: int) -> float:
    """Return the time that chains of jobs take: the longest starts first, each on the first free core.

    Args:
        seconds: Time of each chain, seconds.
        cores: Number of cores, at least 1.
    """
    free = [0.0] * min(cores, len(seconds))
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def scale(folder: Path) -> str:
    """Return the table of times by number of cores."""
    seconds = chain_seconds(folder)
    total = sum(seconds)
    rows = [
        [
            f"{cores:,}",
            _time(makespan(seconds, cores)),
            f"{total / makespan(seconds, cores):.1f}",
            f"{100 * total / makespan(seconds, cores) / cores:.0f}%",
        ]
        for cores in CORES
    ]
    return "\n".join(
        [
            table(["cores", "time", "speedup", "core utilization"], rows),
            "",
            f"The suite has {len(seconds)} chains. The longest takes {_time(seconds[0])}, all take {_time(total)}: "
            f"more than {total / seconds[0]:.0f} cores do not make it faster.",
        ]
    )


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

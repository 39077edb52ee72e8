"""What more cores give a suite: computed from the measured times of its jobs."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runner.results import read_results
from benchmarks.runner.trained import TrainingJob
from docs.tables import table

CORES = (1, 2, 8, 16, 64, 256, 1000)


def chains(folder: Path) -> list[float]:
    """Seconds of each training with the measurement of it, and of each measurement alone, of a folder of results."""
    _, results = read_results(folder)
    found: dict[str, float] = {}
    for result in results:
        wanted = TrainingJob.of(result.cell)
        key = result.cell.name if wanted is None else wanted.name
        trained = 0.0 if result.training is None else result.training.cpu_seconds
        found[key] = found.get(key, trained) + result.evaluation_seconds
    return sorted(found.values(), reverse=True)


def makespan(seconds: Sequence[float], cores: int) -> float:
    """How long chains of jobs take on so many cores: the longest first, each on the core that is free first.

    Args:
        seconds: Of each chain.
        cores: At least 1.
    """
    free = [0.0] * min(cores, len(seconds))
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def scale(folder: Path) -> str:
    """Returns the table of what more cores give."""
    seconds = chains(folder)
    alone = sum(seconds)
    rows = [
        [
            f"{cores:,}",
            _time(makespan(seconds, cores)),
            f"{alone / makespan(seconds, cores):.1f}",
            f"{100 * alone / makespan(seconds, cores) / cores:.0f}%",
        ]
        for cores in CORES
    ]
    return "\n".join(
        [
            table(["cores", "takes", "times faster than one", "of the cores used"], rows),
            "",
            f"Of {len(seconds)} chains of jobs that are measured, the longest takes {_time(seconds[0])}, all "
            f"{_time(alone)}: more than {alone / seconds[0]:.0f} cores have nothing to do.",
        ]
    )


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"

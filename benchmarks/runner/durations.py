"""Expected durations of the missing work of a suite, from earlier results."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runner.results import CELLS, read_cell
from benchmarks.runner.runner import Missing
from benchmarks.suite.suite import Cell


def expected_seconds(todo: Missing, folders: Sequence[str | Path]) -> dict[str, float]:
    """Return the expected wall time of training runs and cells: the mean of earlier ones, with any seed and version.

    Args:
        todo: Missing work.
        folders: Results folders with earlier results.

    Returns:
        Seconds by the name of the training or the cell; names without earlier results are absent.
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
                if result.training is not None:
                    trained.setdefault(_kind(result.cell), []).append(result.training.seconds)
    known: dict[str, list[float]] = {}
    for planned in todo.cells:
        cell, training = planned.cell, planned.training
        known[cell.name] = measured.get((cell.environment, cell.label), [])
        if training in todo.trainings:
            known[training.name] = trained.get(_kind(cell), [])
    return {name: sum(seconds) / len(seconds) for name, seconds in known.items() if seconds}


def _kind(cell: Cell) -> tuple[object, ...]:
    """Return a key that training runs with about the same duration share."""
    method = None if cell.adaptation is None else cell.adaptation.method
    return cell.environment, cell.agent, str(cell.settings), cell.demonstrations, method

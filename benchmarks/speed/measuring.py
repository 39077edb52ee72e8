"""Measurements of speed and memory: the median of rounds, each in a separate process where memory is measured."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.table import Table

from benchmarks.speed.throughput import machine
from demos.collection.versions import library_versions
from demos.runtime.console import console
from demos.runtime.files import write_json

MEGABYTE = 2**20


@dataclass(frozen=True)
class Measured:
    """Figure of speed or memory.

    Attributes:
        what: Name of the figure.
        value: Median over the rounds.
        unit: Unit of the value.
        rounds: Value of each round.
    """

    what: str
    value: float
    unit: str
    rounds: tuple[float, ...]


def median(what: str, values: list[float], unit: str) -> Measured:
    """Return the median of rounds as a figure."""
    return Measured(what, float(np.median(values)), unit, tuple(values))


def run_in_new_process(function: Callable[..., float], *arguments: object) -> tuple[float, float]:
    """Call a function in a new process; return its result and the peak memory of it or its workers, MB.

    Raises:
        RuntimeError: The function failed, or the system does not measure memory.
    """
    _resource()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        result, peak = ours.recv()
    except EOFError:
        raise RuntimeError(f"the measurement {function.__name__} failed; see above") from None
    finally:
        process.join()
    return result, peak


def _send(pipe: Connection, function: Callable[..., float], arguments: tuple[object, ...]) -> None:
    result = function(*arguments)
    pipe.send((result, _largest_memory()))


def _largest_memory() -> float:
    """Return the peak memory of this process and of the processes that it waited for, MB."""
    resource = _resource()
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    # ru_maxrss is in kilobytes, on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return float(max(peaks) * unit / MEGABYTE)


def _resource() -> ModuleType:
    try:
        import resource
    except ImportError:
        raise RuntimeError(
            f"measuring memory needs Python's module 'resource', which {sys.platform} lacks: use Linux or macOS"
        ) from None
    return resource


def show_measured(
    measure: Callable[..., Iterator[Measured]], out: Path | None, libraries: Iterable[str], **arguments: float | str
) -> None:
    """Measure figures, show them in a table, and write them to a file.

    Args:
        measure: Yields each figure when it is measured.
        out: JSON file to write; None for none.
        libraries: Libraries whose versions are recorded.
        arguments: Arguments of ``measure``, which are recorded.
    """
    table = Table("measured", "median", "unit", "range of rounds", box=None)
    figures = []
    with console.status("measuring") as status:
        for figure in measure(**arguments):
            figures.append(figure)
            status.update(f"measured {figure.what}")
            table.add_row(
                figure.what,
                f"{figure.value:,.2f}",
                figure.unit,
                f"{min(figure.rounds):,.2f} to {max(figure.rounds):,.2f}",
            )
    console.print(table)
    if out is not None:
        content = {
            "machine": machine(),
            **arguments,
            "versions": library_versions(libraries),
            "figures": [asdict(figure) for figure in figures],
        }
        console.print(f"wrote {write_json(out, content)}", soft_wrap=True)

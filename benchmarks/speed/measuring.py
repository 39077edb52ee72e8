"""Measurements of speed and memory: the median of rounds, each in a separate process where memory is measured."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.table import Table

from agents.types import JsonObject
from benchmarks.speed.throughput import machine
from demos.collection.versions import library_versions
from demos.runtime.console import console
from demos.runtime.files import write_json

MEGABYTE = 2**20
UNFINISHED = ".unfinished"
"""Ending of the file of a measurement that is not complete; results are files that end in ``.json``."""


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

    They are measured together, as speeds are compared: an interrupted measurement starts again, see
    :func:`show_pieces`.

    Args:
        measure: Yields each figure when it is measured.
        out: JSON file to write; None for none.
        libraries: Libraries whose versions are recorded.
        arguments: Arguments of ``measure``, which are recorded.
    """
    show_pieces({"": partial(measure, **arguments)}, out, libraries, arguments)


def show_pieces(
    pieces: Mapping[str, Callable[[], Iterator[Measured]]],
    out: Path | None,
    libraries: Iterable[str],
    arguments: JsonObject,
    identity: JsonObject | None = None,
) -> None:
    """Measure the figures of each piece, show them in a table, and write them to a file.

    Each figure is also written when it is measured, to a file beside it whose name ends in ``.unfinished``. After an
    interruption the same call reads the complete pieces from there. An earlier results file stays until the end.
    Complete pieces that this call does not need stay in the unfinished file.

    Args:
        pieces: Functions by name; each yields its figures.
        out: JSON file to write; None for none.
        libraries: Libraries whose versions are recorded.
        arguments: Settings that are recorded.
        identity: Further settings and versions that must match to resume.

    Raises:
        ValueError: The unfinished file is damaged.
    """
    settings = {"machine": machine(), **arguments, "versions": library_versions(libraries)}
    # As JSON, to be compared with what is read.
    key: JsonObject = json.loads(json.dumps({**settings, **(identity or {})}))
    unfinished = None if out is None else out.with_name(out.name + UNFINISHED)
    done = {} if unfinished is None else _complete_pieces(unfinished, key)
    with console.status("measuring") as status:
        for name, measure in pieces.items():
            if name in done:
                continue
            figures: list[Measured] = []
            for figure in measure():
                figures.append(figure)
                status.update(f"measured {figure.what}")
                if unfinished is not None:
                    write_json(unfinished, _partial_content(key, done, figures))
            done[name] = figures
            if unfinished is not None:
                write_json(unfinished, _partial_content(key, done, []))
    measured = [figure for name in pieces for figure in done[name]]
    console.print(_table(measured))
    if out is not None and unfinished is not None:
        content = {**settings, "figures": [asdict(figure) for figure in measured]}
        console.print(f"wrote {write_json(out, content)}", soft_wrap=True)
        others = {name: own for name, own in done.items() if name not in pieces}
        if others:
            write_json(unfinished, _partial_content(key, others, []))
        else:
            unfinished.unlink(missing_ok=True)


def _table(figures: Iterable[Measured]) -> Table:
    table = Table("measured", "median", "unit", "range of rounds", box=None)
    for figure in figures:
        spread = f"{min(figure.rounds):,.2f} to {max(figure.rounds):,.2f}"
        table.add_row(figure.what, f"{figure.value:,.2f}", figure.unit, spread)
    return table


def _partial_content(key: JsonObject, done: Mapping[str, list[Measured]], figures: list[Measured]) -> JsonObject:
    """Return the content of an unfinished file: complete pieces, and the figures of the present one."""
    return {
        "key": key,
        "pieces": {name: [asdict(figure) for figure in own] for name, own in done.items()},
        "figures": [asdict(figure) for figure in figures],
    }


def _complete_pieces(path: Path, key: JsonObject) -> dict[str, list[Measured]]:
    """Return the complete pieces of an unfinished file; none if it is absent or of other settings or versions."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        pieces = {
            name: [Measured(**{**each, "rounds": tuple(each["rounds"])}) for each in figures]
            for name, figures in content["pieces"].items()
        }
        same = content["key"] == key
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no unfinished measurement ({error}): delete it") from error
    if not same:
        console.print(f"{path} is of other settings or versions: measuring from scratch", soft_wrap=True)
        return {}
    return pieces

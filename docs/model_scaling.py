"""Tables of what larger trainings of agent ``lam`` cost, from the measured rates of ``results/scaling.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.imitation.lam.settings import LamSettings
from agents.training.settings import read_settings
from benchmarks.speed.scaling import MODELS, Case
from docs.tables import table

FACTORS = (1, 10, 100)
"""Factors of the examples of a training, and numbers of cores."""


def large_model(path: Path) -> str:
    """Return the tables of measured rates, and of estimated times by data, weights and cores.

    Args:
        path: File that ``python -m benchmarks scaling`` wrote on a CPU.
    """
    content = json.loads(path.read_text())
    figures = {each["what"]: float(each["value"]) for each in content["figures"]}
    settings = read_settings("lam", LamSettings, {})
    examples = settings.epochs * settings.batches * settings.batch_size
    measured, times, cores = [], [], []
    for model, size in MODELS.items():
        names = [Case(model, size, content["batch_size"], count, "cpu", "float32").name for count in (1, 2)]
        one, two = (figures[f"training, {name}"] for name in names)
        measured.append(
            [
                f"{figures[f'weights, model {model}'] / 1e6:.1f} million",
                f"{one:,.0f}",
                f"{two:,.0f}",
                f"{figures[f'peak memory, {names[0]}'] / 1000:.1f} GB",
                f"{figures[f'decision, model {model}']:.0f} ms",
            ]
        )
        weights = measured[-1][0]
        times.append([weights, *(_time(factor * examples / one) for factor in FACTORS)])
        cores.append([weights, *(_speedup(one, two, count) for count in (2, 10, 100))])
    machine, versions = content["machine"], content["versions"]
    return "\n\n".join(
        [
            f"Measured by `python -m benchmarks scaling --seconds {content['seconds']:g}` on {machine['processor']} "
            f"with PyTorch {versions['torch']}: examples per second of CPU time of a process, "
            f"in minibatches of {content['batch_size']}.",
            table(["weights", "1 process", "2 processes", "peak memory", "inference latency"], measured),
            f"The default training has {examples / 1e6:.2f} million examples. Time of a training on one core with as "
            "many, and with 10 and 100 times as many:",
            table(["weights", "1x", "10x", "100x"], times),
            "Estimated speedup by the cores of one training, from the rates of one and two processes:",
            table(["weights", "2 cores (measured)", "10 cores", "100 cores"], cores),
        ]
    )


def gpu(path: Path, cpu_path: Path) -> str:
    """Return the table of measured rates on a GPU, and of estimated times.

    Args:
        path: File that ``python -m benchmarks scaling --device cuda`` wrote.
        cpu_path: File of the rates on a CPU, as in :func:`large_model`.
    """
    content = json.loads(path.read_text())
    figures, on_cpu = (
        {each["what"]: float(each["value"]) for each in json.loads(where.read_text())["figures"]}
        for where in (path, cpu_path)
    )
    settings = read_settings("lam", LamSettings, {})
    examples = settings.epochs * settings.batches * settings.batch_size
    sizes = [content["batch_size"], 16 * content["batch_size"]]
    rows = []
    for model, size in MODELS.items():
        rates = {
            (count, precision): figures.get(f"training, {Case(model, size, count, 1, 'cuda', precision).name}")
            for count in sizes
            for precision in ("float32", "bfloat16")
        }
        best = max(rate for rate in rates.values() if rate is not None)
        one = on_cpu[f"training, {Case(model, size, content['batch_size'], 1, 'cpu', 'float32').name}"]
        rows.append(
            [
                f"{figures[f'weights, model {model}'] / 1e6:.1f} million",
                *("not measured" if rate is None else f"{rate:,.0f}" for rate in rates.values()),
                f"{best / one:,.0f}",
                *(_time(factor * examples / best) for factor in FACTORS),
            ]
        )
    columns = [f"{count:,}, {precision}" for count in sizes for precision in ("float32", "bfloat16")]
    return "\n\n".join(
        [
            f"Measured by `python -m benchmarks scaling --device cuda --seconds {content['seconds']:g}` on one "
            f"{content['gpu']} with PyTorch {content['versions']['torch']}: examples per second by the examples of a "
            "minibatch and the precision; the speedup over one CPU core (the table above) and the estimated time of "
            f"a training with {examples / 1e6:.2f} million examples, at the highest rate; and with 10 and 100 times "
            "as many examples.",
            table(["weights", *columns, "speedup", *(f"{factor}x" for factor in FACTORS)], rows),
        ]
    )


def _speedup(one: float, two: float, cores: int) -> str:
    """Return the speedup by Amdahl's law (Amdahl 1967) with the serial share that two processes show.

    Args:
        one: Rate of one process.
        two: Rate of two processes.
        cores: Number of processes, one a core.
    """
    if cores == 2:
        return f"{two / one:.1f}"
    serial = 2.0 * one / two - 1.0
    # Two processes that are at least twice as fast leave the serial share open.
    return f"{1.0 / (serial + (1.0 - serial) / cores):.1f}" if serial > 0.0 else f"up to {cores}"


def _time(seconds: float) -> str:
    units: list[tuple[str, Any]] = [("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)]
    name, size = next((each for each in units if seconds >= 2.0 * each[1]), units[-1])
    return f"{seconds / size:,.0f} {name}"

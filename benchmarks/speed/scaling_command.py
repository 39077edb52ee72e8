"""Command that measures the training speed of agent ``lam``: python -m benchmarks scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agents.training.run import require_cuda
from benchmarks.speed.measuring import show_measured
from benchmarks.speed.scaling import DEVICES, LIBRARIES, measure
from demos.runtime.console import clear_errors

SCALING_EXAMPLE = "Example: python -m benchmarks scaling --device cuda --out scaling-gpu.json"


def scaling(
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    episodes: Annotated[int, typer.Option(help="Demonstrations of each of six tasks.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Examples of a minibatch; on a GPU also 16 times as many.")] = 256,
    processes: Annotated[int, typer.Option(help="Largest number of processes that train together on CPUs.")] = 2,
    seconds: Annotated[float, typer.Option(help="Time for each figure; at least one minibatch.")] = 15.0,
    minutes: Annotated[float, typer.Option(help="Time after which no further training is measured.")] = 7.0,
    out: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
) -> None:
    """Measure the training speed of lam with 1, 10 and 100 times its weights, on CPUs or a GPU, in 8 minutes."""
    with clear_errors():
        if min(episodes, batch_size, processes) < 1 or min(seconds, minutes) <= 0.0:
            raise ValueError(
                f"episodes is {episodes}, batch-size {batch_size}, processes {processes}, seconds {seconds:g} and "
                f"minutes {minutes:g}; expected at least 1 each, and more than 0 seconds and minutes"
            )
        if device not in DEVICES:
            raise ValueError(f"device is {device!r}; expected one of {', '.join(DEVICES)}")
        if device == "cuda":
            require_cuda()
        given: dict[str, float | str] = {
            "device": device,
            "episodes": episodes,
            "batch_size": batch_size,
            "processes": processes,
            "seconds": seconds,
            "minutes": minutes,
        }
        show_measured(measure, out, LIBRARIES, **given)

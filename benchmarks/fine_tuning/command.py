"""Command that measures fine-tuning: ``python -m benchmarks finetuning``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.fine_tuning import measurement
from benchmarks.fine_tuning.models import NEW_TASKS
from demos.runtime.console import clear_errors, console
from demos.runtime.engines import LocalEngine
from lam_envs.validation import check_name


def finetuning(
    task: Annotated[
        list[str], typer.Option(help="Name of a new task; may be repeated. By default pick_place and insert.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    demonstrations: Annotated[
        int, typer.Option(help="Demonstrations of each new task.")
    ] = measurement.DEMONSTRATIONS,
    known_epochs: Annotated[
        int, typer.Option(help="Epochs of the model of the known tasks.")
    ] = measurement.KNOWN_EPOCHS,
    epochs: Annotated[
        int, typer.Option(help="Epochs of fine-tuning, and of training from scratch.")
    ] = measurement.NEW_EPOCHS,
    episodes: Annotated[int, typer.Option(help="Episodes of each evaluation.")] = measurement.EPISODES,
    workers: Annotated[int | None, typer.Option(help="Jobs at a time; by default one for each core.")] = None,
    out: Annotated[
        Path, typer.Option(help="Results file; after an interruption, the same command completes it.")
    ] = Path("runs/finetuning.json"),
    overwrite: Annotated[
        bool, typer.Option(help="Replace a file and datasets of other settings or versions.")
    ] = False,
) -> None:
    """Compare the agent lam, fine-tuned to new tasks by few demonstrations, with training from scratch."""
    with clear_errors():
        for name in task:
            check_name("task", name, NEW_TASKS)
        result = measurement.run(
            out,
            LocalEngine(workers),
            tasks=task or NEW_TASKS,
            demonstrations=demonstrations,
            known_epochs=known_epochs,
            new_epochs=epochs,
            episodes=episodes,
            overwrite=overwrite,
            progress=True,
        )
        console.print(_success(result))
        console.print("The intervals are over episodes, for one training of each model.")
        console.print(f"wrote {out}; the models are in {out.with_suffix('')}", soft_wrap=True)


def _success(result: measurement.FineTuning) -> Table:
    table = Table("model", "task", "success", "95% interval", "training time, s (CPU)", box=None)
    for row in result.evaluations.values():
        low, high = row["interval"]
        table.add_row(
            row["model"],
            row["task"],
            f"{100 * row['successes'] / row['episodes']:.1f}%",
            f"{100 * low:.1f} to {100 * high:.1f}%",
            f"{result.trainings[row['model']]['cpu_seconds']:.0f}",
        )
    return table

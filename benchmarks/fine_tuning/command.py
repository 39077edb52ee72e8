"""Command that measures fine-tuning: ``python -m benchmarks finetuning``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.fine_tuning import measurement
from benchmarks.fine_tuning.experiments import EXPERIMENTS
from demos.runtime.console import clear_errors, console
from demos.runtime.engines import LocalEngine

_NEW = "; ".join(f"{', '.join(each.new)} ({name})" for name, each in EXPERIMENTS.items())


def finetuning(
    experiment: Annotated[
        str,
        typer.Option(
            help="What is new: tasks, for a model that knows four others; or robot, for one that knows three."
        ),
    ] = "tasks",
    new: Annotated[
        list[str],
        typer.Option(help=f"What to learn; may be repeated. By default all of the experiment: {_NEW}."),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    demonstrations: Annotated[
        int, typer.Option(help="Demonstrations of each new task, or of each task with the new robot.")
    ] = measurement.DEMONSTRATIONS,
    known_epochs: Annotated[
        int | None, typer.Option(help="Epochs of the first model; by default those of the experiment.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of fine-tuning, and of training from scratch; by default those of the experiment."),
    ] = None,
    episodes: Annotated[int, typer.Option(help="Episodes of each evaluation.")] = measurement.EPISODES,
    workers: Annotated[int | None, typer.Option(help="Jobs at a time; by default one for each core.")] = None,
    out: Annotated[
        Path, typer.Option(help="Results file; after an interruption, the same command completes it.")
    ] = Path("runs/finetuning.json"),
    overwrite: Annotated[
        bool, typer.Option(help="Replace a file and datasets of other settings or versions.")
    ] = False,
) -> None:
    """Compare the agent lam, fine-tuned by few demonstrations, with training from scratch."""
    with clear_errors():
        result = measurement.run(
            out,
            LocalEngine(workers),
            experiment=experiment,
            new=new,
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

"""Command that measures recordings: ``python -m benchmarks recordings``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TimeElapsedColumn
from rich.table import Table

from benchmarks.recordings import measurement
from benchmarks.recordings.accuracy import RECORDINGS
from benchmarks.recordings.imitation import ROBOTS, TASKS
from demos.runtime.console import clear_errors, console
from demos.runtime.engines import LocalEngine
from lam_envs.validation import check_name


def recordings(
    task: Annotated[list[str], typer.Option(help="Name of a task; may be repeated. By default all of them.")] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    episodes: Annotated[int, typer.Option(help="Episodes of each task, robot and motion.")] = measurement.EPISODES,
    count: Annotated[
        int, typer.Option("--recordings", help="Synthetic recordings of each view and control.")
    ] = RECORDINGS,
    workers: Annotated[int | None, typer.Option(help="Jobs at a time; by default one for each core.")] = None,
    out: Annotated[
        Path, typer.Option(help="Results file; after an interruption, the same command completes it.")
    ] = Path("runs/recordings.json"),
    overwrite: Annotated[bool, typer.Option(help="Replace a file of other settings or libraries.")] = False,
) -> None:
    """Measure how exactly recordings of hands are understood, and how often the robot imitates one of them."""
    with clear_errors():
        for name in task:
            check_name("task", name, TASKS)
        with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, transient=True) as bar:
            shown = bar.add_task("starting", total=None)
            result = measurement.run(
                out,
                LocalEngine(workers),
                tasks=task or TASKS,
                robots=ROBOTS,
                episodes=episodes,
                recordings=count,
                overwrite=overwrite,
                progress=lambda name, done, total: bar.update(shown, description=name, completed=done, total=total),
            )
        console.print(_accuracy(result))
        console.print(_refusals(result))
        console.print(_imitation(result))
        console.print(f"wrote {out}", soft_wrap=True)


def _accuracy(result: measurement.Recordings) -> Table:
    table = Table(
        "view", "recordings", "within 5 frames", "refused", "wrong", "error, frames (median, p90)",
        "error, mm (median, p90)", box=None,
    )  # fmt: skip
    for row in result.accuracy:
        table.add_row(
            row["view"],
            str(row["recordings"]),
            str(row["close"]),
            str(row["refused"]),
            str(len(row["wrong"])),
            *(
                "-" if row[f"{unit}_median"] is None else f"{row[f'{unit}_median']:.1f}, {row[f'{unit}_p90']:.1f}"
                for unit in ("frames", "millimeters")
            ),
        )
    return table


def _refusals(result: measurement.Recordings) -> Table:
    table = Table("control", "recordings", "refused", "no events found", box=None)
    for row in result.refusals:
        table.add_row(row["control"], str(row["recordings"]), str(row["refused"]), str(row["refused_events"]))
    return table


def _imitation(result: measurement.Recordings) -> Table:
    table = Table(
        "task", "robot", "motion", "episodes", "success", "95% interval", "kept deviation", "distance, mm", box=None
    )
    for row in result.imitation:
        low, high = row["interval"]
        table.add_row(
            row["task"],
            row["robot"],
            row["motion"],
            str(row["episodes"]),
            f"{100 * row['successes'] / row['episodes']:.1f}%",
            f"{100 * low:.1f} to {100 * high:.1f}%",
            f"{100 * row['kept_deviation']:.0f}%",
            f"{row['path_distance_mm']:.1f}",
        )
    return table

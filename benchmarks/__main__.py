"""Command line: python -m benchmarks run|report|compare|export|paper, and a command for each measurement."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agents.training.arguments import ANY_AGENT
from benchmarks.analysis import compare as comparing
from benchmarks.analysis.tables import names, rows, short_names
from benchmarks.failure_warnings import monitors
from benchmarks.fine_tuning.command import finetuning
from benchmarks.leaderboard.commands import leaderboard, submit, verify
from benchmarks.recordings.command import recordings
from benchmarks.reports import export as exporting
from benchmarks.reports import report as reports
from benchmarks.reports.paper import default_results, write_paper
from benchmarks.runner import runner
from benchmarks.runner.durations import expected_seconds
from benchmarks.runner.results import FAILURES, cell_file, read_results
from benchmarks.speed.commands import add_to as add_speed_commands
from benchmarks.speed.throughput_table import show_speeds
from benchmarks.suite.conditions import AS_TRAINED
from benchmarks.suite.suite import SpeedSuite, Suite
from benchmarks.suite.suite_file import is_speed_suite, read_speed_suite, read_suite, suite_names
from demos.commands.arguments import Address, EngineName, SharedFilesystem
from demos.runtime.console import clear_errors, console, errors
from demos.runtime.engines import make_engine
from demos.runtime.files import write_atomically

app = typer.Typer(
    help="Evaluate agents in suites, and measure the speed of environments, datasets and training.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("run", epilog="Example: python -m benchmarks run quickstart --agent my_package.my_module:MyAgent")
def run_(
    suite: Annotated[
        str,
        typer.Argument(help=f"Name of a suite ({', '.join(suite_names())}), or the path of a YAML file."),
    ],
    out: Annotated[Path | None, typer.Option(help="Results folder; by default runs/SUITE.")] = None,
    agent: Annotated[
        list[str],
        typer.Option(help=f"Evaluate this agent too; may be repeated. {ANY_AGENT}"),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load Stable-Baselines3 archives, which can run code.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Jobs at a time; by default one for each core.")] = None,
    engine: EngineName = "local",
    address: Address = None,
    shared: SharedFilesystem = False,
    rerun: Annotated[
        list[str],
        typer.Option(
            help="Train and evaluate the agent with this label again, such as after its own files changed; may be "
            "repeated. The label of an agent of --agent is its path, such as my_agent:MyAgent."
        ),
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would run, and how long it takes.")
    ] = False,
) -> None:
    """Run a suite and write its report. After an interruption, the same command continues."""
    with clear_errors():
        if is_speed_suite(suite):
            options = {"agent": agent, "rerun": rerun, "address": address, "engine": engine != "local"}
            given = [name for name, value in options.items() if value] + ["workers"] * (workers is not None)
            _run_speed_suite(read_speed_suite(suite), out, given, dry_run=dry_run)
            return
        read = read_suite(suite, tuple(agent), allow_pickle=allow_pickle)
        out = out or Path("runs") / read.name
        chosen = make_engine(engine, workers, address=address, shared_filesystem=shared)
        runner.check_folder(read, out)
        if dry_run:
            if rerun:
                raise ValueError("--dry-run cannot show what --rerun would run: give one of them")
            _show_plan(read, out, chosen.workers)
            return
        for label in runner.removed_agents(read, out):
            errors.print(
                f"{label} has results in {out} and is not in this run: pass --agent {label} to report it",
                markup=False,
            )
        folder = runner.run(read, out, chosen, progress=True, rerun=rerun)
        failed = runner.failures(folder)
        for name, trace in failed.items():
            errors.print(f"{name} failed: {trace.strip().splitlines()[-1]}", markup=False)
        if not any((folder / cell_file(cell)).is_file() for cell in read.cells()):
            raise ValueError(f"all jobs failed: see the tracebacks in {folder / FAILURES}")
        _show(folder)
        if failed:
            raise ValueError(f"{len(failed)} jobs failed: see the tracebacks in {folder / FAILURES}")


def _show_plan(suite: Suite, folder: Path, workers: int) -> None:
    """Show what a run would do, and how long it takes by earlier results there and by published ones."""
    with console.status("comparing results with the suite"):
        todo = runner.missing(suite, folder)
    expected = expected_seconds(todo, [folder, Path("results") / suite.name])
    table = Table("environment", "agent", "training runs", "evaluations", "estimated time", box=None)
    kinds = [(each.cell.environment, each.cell.label, each.cell.condition) for each in todo.cells]
    trained: set[str] = set()
    for environment, label, condition in dict.fromkeys(kinds):
        own = [each for each, kind in zip(todo.cells, kinds, strict=True) if kind == (environment, label, condition)]
        # A training run that several cells need is counted once.
        trainings = {each.training.name for each in own if each.training in todo.trainings} - trained
        trained |= trainings
        known = [expected[name] for name in (*trainings, *(each.cell.name for each in own)) if name in expected]
        whole = len(known) == len(trainings) + len(own)
        name = label if condition == AS_TRAINED else f"{label}, {condition}"
        duration = _duration(sum(known)) if whole else "unknown"
        table.add_row(environment, name, str(len(trainings)) if trainings else "-", str(len(own)), duration)
    if todo.cells:
        console.print(table)
    encoders = f"{len(todo.encoders)} encoders, " if todo.encoders else ""
    console.print(
        f"{len(todo.datasets)} datasets, {encoders}{len(todo.trainings)} training runs, {len(todo.cells)} of "
        f"{len(suite.cells())} evaluations and {len(todo.videos)} videos are missing in {folder}",
        soft_wrap=True,
    )
    unknown = len(todo.cells) + len(todo.trainings) + len(todo.encoders) - len(expected)
    parts = [f"{_duration(sum(expected.values()) / workers)} by {workers} workers"] if expected else []
    what = "pre-trainings, training runs" if todo.encoders else "training runs"
    parts += [f"{unknown} {what} and evaluations of unknown duration"] if unknown else []
    if parts:
        console.print(f"expected time without demonstrations and videos: {' and '.join(parts)}", soft_wrap=True)
    published = Path("results") / suite.name
    if published.is_dir() and published.resolve() != folder.resolve():
        console.print(
            f"published results are in {published}: add --out {published} to continue from them", soft_wrap=True
        )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


@app.command(epilog="Example: python -m benchmarks report runs/quickstart")
def report(results: Annotated[Path, typer.Argument(help="A results folder.")]) -> None:
    """Write the report of a results folder: tables, plots and pages."""
    with clear_errors():
        _show(results)


@app.command(epilog="Example: python -m benchmarks compare results/core runs/core")
def compare(
    before: Annotated[Path, typer.Argument(help="A results folder.")],
    after: Annotated[Path, typer.Argument(help="Another results folder.")],
) -> None:
    """Show which success rates differ significantly between two results folders."""
    with clear_errors():
        changes = comparing.compare(before, after)
        table = Table("environment", "agent", "before", "after", "difference, 95%", "verdict", "differs in", box=None)
        for change in changes:
            rates = ["-" if rate is None else f"{100 * rate:.1f}%" for rate in (change.before, change.after)]
            ends = change.interval
            interval = "-" if ends is None else f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"
            other = ", ".join(change.differs)
            table.add_row(change.environment, change.agent, *rates, interval, change.verdict, other)
        console.print(table)
        verdicts = [change.verdict for change in changes]
        kinds = ", ".join(f"{verdicts.count(kind)} {kind}" for kind in dict.fromkeys(verdicts))
        console.print(f"of {len(changes)}: {kinds}")


@app.command(epilog="Example: python -m benchmarks export results/core --format latex --out table.tex")
def export(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    format_: Annotated[str, typer.Option("--format", help="Output format: csv or latex.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="Output file; by default printed.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Export results as CSV or LaTeX tables."""
    with clear_errors():
        text = exporting.export(results, format_)
        if out is None:
            print(text, end="")  # noqa: T201  (rich would wrap it)
            return
        if out.exists() and not overwrite:
            raise FileExistsError(f"{out} exists: choose another file, or --overwrite it")
        console.print(f"wrote {write_atomically(out, text)}", soft_wrap=True)


@app.command(epilog="Example: python -m benchmarks paper results/core --out paper")
def paper(
    results: Annotated[
        Path | None,
        typer.Argument(help="A results folder; by default runs/core, or the newest one in runs.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("paper"),
    overwrite: Annotated[bool, typer.Option(help="Replace files of the same names.")] = False,
) -> None:
    """Write LaTeX tables, vector figures, the text of the setup and references, for a paper."""
    with clear_errors():
        chosen = default_results() if results is None else results
        console.print(f"results: {chosen}", soft_wrap=True)
        with console.status("drawing figures"):
            written = write_paper(chosen, out, overwrite=overwrite)
        for file in written:
            console.print(f"wrote {file}", soft_wrap=True)


def _show(folder: Path) -> None:
    with console.status("drawing tables, plots and the page"):
        written = reports.report(folder)
        suite, results = read_results(folder)
        table_rows = rows(results)
    row_names = names(table_rows)
    short = short_names(list(dict.fromkeys(row_names)))
    table = Table("environment", "agent", "success", "95% interval", "seconds to success", "return", box=None)
    for row, name in zip(table_rows, row_names, strict=True):
        seconds = "-" if row.seconds is None else f"{row.seconds:.2f}"
        interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}%"
        rate = f"{100 * row.success_rate:.1f}%"
        table.add_row(row.environment, short[name], rate, interval, seconds, f"{row.mean_return:.2f}")
    console.print(table)
    if len(results) < len(suite["cells"]):
        console.print(f"{len(results)} of {len(suite['cells'])} evaluations have results")
    for line in reports.unexpected_lines(suite, table_rows):
        console.print(f"unexpected: {line}", soft_wrap=True, markup=False)
    for path in written:
        console.print(f"wrote {path}", soft_wrap=True)


def _run_speed_suite(suite: SpeedSuite, out: Path | None, given: Sequence[str], *, dry_run: bool) -> None:
    """Run a suite that measures the speed of environments.

    Args:
        suite: Suite to run.
        out: Results folder; by default that of the suite.
        given: Names of options that are given and need agents.
        dry_run: Only show what would run.

    Raises:
        ValueError: There are such options.
    """
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise ValueError(f"suite {suite.name} measures the speed of environments: remove {options}")
    file = (out or Path("runs") / suite.name) / "throughput.json"
    count = len(suite.environments)
    console.print(f"{count} environments, {suite.rounds} rounds of {suite.steps} steps, into {file}", soft_wrap=True)
    if not dry_run:
        show_speeds(list(suite.environments), suite.steps, suite.rounds, file, compared=suite.compared)


add_speed_commands(app)
app.command(epilog="Example: python -m benchmarks recordings --episodes 20 --recordings 10")(recordings)
app.command(epilog="Example: python -m benchmarks monitors --env LamGrasp-v0 --episodes 20")(monitors)
app.command(epilog="Example: python -m benchmarks finetuning --new pick_place --epochs 3")(finetuning)
app.command(epilog="Example: python -m benchmarks leaderboard results/* --out site/leaderboard")(leaderboard)
app.command(epilog="Example: python -m benchmarks submit --agent my_module:act --suite quickstart")(submit)
app.command(epilog="Example: python -m benchmarks verify submission.json --agent my_module:act")(verify)


def main() -> None:
    """Run the command lam-benchmarks; it finds agents in the working directory, as ``python -m benchmarks`` does."""
    sys.path.insert(0, os.getcwd())
    app()


if __name__ == "__main__":
    main()

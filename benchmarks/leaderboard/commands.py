"""Commands of the leaderboard: ``python -m benchmarks leaderboard|submit|verify``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agents.training.arguments import ANY_AGENT, Settings, read_settings
from benchmarks.leaderboard.site import build_site
from benchmarks.leaderboard.submission import SubmittedAgent, read_submission, write_submission
from benchmarks.leaderboard.submit import submit as measure_agent
from benchmarks.leaderboard.submit import suite_of_agent
from benchmarks.leaderboard.verification import (
    SHARE,
    Verification,
    draw_seed,
    verification_path,
    write_verification,
)
from benchmarks.leaderboard.verification import verify as measure_again
from benchmarks.suite.demonstrations import slug
from benchmarks.suite.fields import problem_of
from benchmarks.suite.suite import Suite
from benchmarks.suite.suite_file import read_suite, suite_names
from demos.runtime.console import clear_errors, console
from demos.runtime.engines import LocalEngine

Agent = Annotated[str, typer.Option(help=ANY_AGENT)]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load a Stable-Baselines3 archive, which can run code.")
]
Workers = Annotated[int | None, typer.Option(help="Jobs at a time; by default one for each core.")]
RUNS = Path("runs")
"""Folder of measurements."""


def leaderboard(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Results folders, and files of submissions; other files and folders are skipped."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the site.")] = Path("site/leaderboard"),
    overwrite: Annotated[bool, typer.Option(help="Replace an existing site.")] = False,
) -> None:
    """Build a static site of results and submissions: tables with filters, and a page for each cell."""
    with clear_errors():
        with console.status("reading results and writing pages"):
            site = build_site(sources, out, overwrite=overwrite)
        for path in site.skipped:
            console.print(f"skipped {path}: neither a results folder nor a submission", soft_wrap=True)
        console.print(f"wrote {site.cells} cells of {site.sources} sources: open {site.page}", soft_wrap=True)


def submit(
    agent: Agent,
    suite: Annotated[
        str, typer.Option(help=f"Name of a suite ({', '.join(suite_names())}), or the path of a YAML file.")
    ],
    out: Annotated[Path, typer.Option(help="File of the submission.")] = Path("submission.json"),
    name: Annotated[str | None, typer.Option(help="Name on the leaderboard; by default --agent.")] = None,
    author: Annotated[str, typer.Option(help="Names of the authors.")] = "",
    url: Annotated[str, typer.Option(help="Web page of the agent: its code or paper.")] = "",
    data: Annotated[str, typer.Option(help="Training data of the agent.")] = "",
    agent_version: Annotated[str, typer.Option(help="Version of its code, such as a Git commit.")] = "",
    env: Annotated[
        list[str], typer.Option(help="Id of an environment of the suite; may be repeated. By default all of them.")
    ] = [],  # noqa: B006  (typer reads the default; nobody changes it)
    config: Settings = [],  # noqa: B006
    allow_pickle: AllowPickle = False,
    workers: Workers = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing submission.")] = False,
) -> None:
    """Measure an agent on a suite, and write a submission. After an interruption, the same command continues."""
    with clear_errors():
        if out.exists() and not overwrite:
            raise FileExistsError(f"{out} exists: choose another file by --out, or add --overwrite")
        try:
            described = SubmittedAgent(name=name or agent, author=author, url=url, data=data, version=agent_version)
        except ValueError as error:
            raise ValueError(problem_of(error)) from error
        read = _agent_suite(suite, agent, described.name, config, env, allow_pickle=allow_pickle)
        words = ["python -m benchmarks submit", "--agent", shlex.quote(agent), "--suite", shlex.quote(suite)]
        words += [f"--env {shlex.quote(each)}" for each in env]
        words += [f"--config {shlex.quote(each)}" for each in config]
        words += ["--allow-pickle"] if allow_pickle else []
        folder = RUNS / "submissions" / f"{read.name}-{slug(described.name)}"
        submission = measure_agent(read, described, " ".join(words), folder, LocalEngine(workers))
        write_submission(out, submission)
        table = Table("environment", "condition", "training seed", "episodes", "success", "95% interval", box=None)
        for result in submission.results:
            cell, (low, high) = result.cell, result.evaluation.interval
            seed = "-" if cell.training_seed is None else str(cell.training_seed)
            rate = f"{100 * result.evaluation.success_rate:.1f}%"
            interval = f"{100 * low:.1f} to {100 * high:.1f}%"
            table.add_row(cell.environment, cell.condition, seed, str(cell.episodes), rate, interval)
        console.print(table)
        console.print(f"wrote {out}", soft_wrap=True)


def verify(
    submission: Annotated[Path, typer.Argument(help="File of a submission.")],
    agent: Agent,
    suite: Annotated[
        str | None, typer.Option(help="Suite of the submission, if it is your own: path of a YAML file.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the sample of episodes, to repeat a verification; by default a random one."),
    ] = None,
    share: Annotated[float, typer.Option(help="Fraction of the episodes of each cell to re-run.")] = SHARE,
    config: Settings = [],  # noqa: B006  (typer reads the default; nobody changes it)
    allow_pickle: AllowPickle = False,
    workers: Workers = None,
) -> None:
    """Re-run a random tenth of the episodes of a submission. Exits with 1 if the results disagree."""
    with clear_errors():
        read = read_submission(submission)
        if suite is None and read.suite not in suite_names():
            raise ValueError(
                f"{submission} is of suite {read.suite!r}, which is not in the package: give its YAML file by --suite"
            )
        suite = suite or read.suite
        published = read_suite(suite)
        if published.name != read.suite:
            raise ValueError(
                f"{submission} is of suite {read.suite!r}, but --suite is {published.name!r}: give the same suite"
            )
        environments = list(dict.fromkeys(result.cell.environment for result in read.results))
        own = _agent_suite(suite, agent, read.agent.name, config, environments, allow_pickle=allow_pickle)
        folder = RUNS / "verifications" / read.checksum
        chosen = draw_seed() if seed is None else seed
        console.print(f"sample of seed {chosen}: --seed {chosen} repeats this verification", soft_wrap=True)
        verification = measure_again(read, published, own, folder, LocalEngine(workers), seed=chosen, share=share)
        path = write_verification(verification_path(submission), verification)
        _show(verification)
        console.print(f"wrote {path}", soft_wrap=True)
    if not verification.agrees:
        raise typer.Exit(1)


def _agent_suite(
    suite: str, agent: str, label: str, config: list[str], environments: list[str], *, allow_pickle: bool
) -> Suite:
    return suite_of_agent(
        read_suite(suite), agent, label, read_settings(config), environments, allow_pickle=allow_pickle
    )


def _show(verification: Verification) -> None:
    table = Table("cell", "episodes", "differ", "test", "p-value", "verdict", box=None)
    for cell in verification.cells:
        p_value = "-" if cell.test == "exact" else f"{cell.p_value:.3g}"
        verdict = "agrees" if cell.agrees else "DISAGREES"
        table.add_row(cell.name, str(len(cell.seeds)), str(cell.differing), cell.test, p_value, verdict)
    console.print(table)
    for change in verification.changes:
        console.print(f"changed since the submission: {change}", soft_wrap=True)
    if any(cell.test != "exact" for cell in verification.cells):
        console.print(f"p-value of all statistical tests together: {verification.combined_p_value:.3g}")
    verdict = "agrees with" if verification.agrees else "DISAGREES with"
    console.print(
        f"the submission {verdict} the re-run episodes (sample of seed {verification.seed})", soft_wrap=True
    )

"""The tables of the committed results: agents, experts, speeds."""

from __future__ import annotations

import json
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

import lam_envs
from benchmarks.analysis.expectations import EXPECTATIONS, file_figures, unexpected
from benchmarks.analysis.tables import rows, shown
from benchmarks.reports.report import (
    PICTURES,
    markdown_conditions,
    markdown_overview,
    markdown_table,
    unexpected_lines,
)
from benchmarks.runner.results import SUITE_FILE, CellResult, read_results
from demos.runtime.intervals import wilson_interval
from docs.tables import table, title

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
CORE = RESULTS / "core"
SUITES = {
    "core": ("Agents", "What each agent reaches with its shipped settings."),
    "data": ("Numbers of demonstrations", "How success grows with what is shown."),
    "quality": ("Qualities of demonstrations", "What demonstrations other than the expert's are worth."),
    "robustness": ("Other conditions", "Trained agents meet what they were not trained for."),
}
"""Suites whose results may be published: title and subject."""
EXPERTS = RESULTS / "experts.json"
DATASETS = RESULTS / "datasets.json"
RUNNING = RESULTS / "running.json"


def results() -> str:
    """Returns the page of the committed results."""
    parts = [
        "# Results\n\nEvery figure is of a committed file that `make benchmark`, `make experts`, `make throughput`, "
        "`make data-speed` or `make running-cost` writes.",
        *_unexpected(),
        *(_suite(folder) for folder in published()),
        "## Experts",
        experts(json.loads(EXPERTS.read_text())),
        "## Speed",
        speeds(lam_envs.ENV_IDS),
        "## Demonstrations",
        datasets(),
        "## The runner of suites",
        running(),
    ]
    return "\n\n".join(parts) + "\n"


def _unexpected() -> list[str]:
    """Return a list of the figures that are not as expected; empty if all are."""
    lines = []
    for folder in published():
        suite, found = read_results(folder)
        lines += [f"{folder.name}: {line}" for line in unexpected_lines(suite, rows(found))]
    for name in EXPECTATIONS:
        file = RESULTS / f"{name}.json"
        if file.is_file():
            figures = file_figures(json.loads(file.read_text()))
            lines += [f"{name}: {line}" for line in unexpected(EXPECTATIONS[name], figures)]
    return ["\n".join(f"- unexpected: {line}" for line in lines)] if lines else []


def published() -> list[Path]:
    """Returns the folders of the suites whose results are committed."""
    return [RESULTS / name for name in SUITES if (RESULTS / name / SUITE_FILE).is_file()]


def _suite(folder: Path) -> str:
    heading, subject = SUITES[folder.name]
    pictures = [
        f"![{shows}](results/{folder.name}/{name})"
        for name, (shows, _) in PICTURES.items()
        if (folder / name).is_file()
    ]
    parts = [
        f"## {heading}",
        f"{subject} Success is at the last step, with its 95% interval over episodes. "
        f"`make benchmark SUITE={folder.name}` measures it.",
        *pictures,
        markdown_conditions(folder) or markdown_overview(folder),
        f'<p><a href="{folder.name}.html">All of it on one page</a>, with what there is of rankings, curves, '
        "profiles and videos.</p>",
        markdown_table(folder),
    ]
    return "\n\n".join(parts)


def brief() -> str:
    """Returns what the README shows of the published suites beside the first: a picture or a table each."""
    parts = []
    for folder in published():
        heading, subject = SUITES[folder.name]
        if folder == CORE:
            continue
        pictures = [name for name in PICTURES if (folder / name).is_file()]
        what = markdown_overview(folder)
        if len(pictures) > 1:
            # The last of them is of what is particular to the suite.
            what = f"![{PICTURES[pictures[-1]][0]}](results/{folder.name}/{pictures[-1]})"
        parts.append(f"**{heading}.** {subject} [All of it](results/{folder.name}/report.md).\n\n{what}")
    return "\n\n".join(parts)


def of_agent(name: str) -> str:
    """Returns the table of the committed results of an agent, in whatever ways it was set; nothing if there are none.

    Args:
        name: Of the registry.
    """
    suite, results = _core()
    own = rows([result for result in results if result.cell.agent == name])
    if not own:
        return ""
    lines = [
        [
            row.environment,
            row.agent,
            shown(row),
            "-" if row.trainings is None else str(row.trainings),
            f"{100 * row.success_rate:.1f}%",
            f"{100 * row.low:.1f}% to {100 * row.high:.1f}%",
            "-" if row.over_runs is None else f"{100 * row.over_runs.low:.1f}% to {100 * row.over_runs.high:.1f}%",
            "-" if row.training_seconds is None else f"{row.training_seconds:.0f} ({row.training_cpu_seconds:.0f})",
        ]
        for row in own
    ]
    head = [
        "environment",
        "called",
        "demonstrations",
        "trainings",
        "success",
        "95%, episodes",
        "95%, trainings",
        "training, s (on the processor)",
    ]
    episodes = suite["evaluation"]["episodes"]
    told = (
        f"Of the last checkpoint, in {episodes} unseen episodes a training. Intervals are of the rate of these "
        "trainings in all episodes that may be drawn, and of the interquartile mean over all trainings that may be "
        "made (stratified bootstrap). A training takes the wall time given, and that time on one core of the "
        "processor. `make benchmark` measures this again."
    )
    return f"{table(head, lines)}\n\n{told}"


@cache
def _core() -> tuple[dict[str, Any], list[CellResult]]:
    """The suite of all agents and its results, of which each agent's page shows a part."""
    return read_results(CORE)


def experts(figures: dict[str, Any]) -> str:
    """Returns the table of the experts' success.

    Args:
        figures: ``rows``, each with ``task``, ``robot``, ``condition``, ``successes`` and ``episodes``.
    """
    lines = []
    for row in figures["rows"]:
        low, high = wilson_interval(row["successes"], row["episodes"])
        rate = row["successes"] / row["episodes"]
        lines.append(
            [
                title(row["task"]),
                f"`{row['robot']}`",
                row["condition"],
                f"{row['episodes']:,}",
                f"{100 * rate:.2f}%",
                f"{100 * low:.1f}% to {100 * high:.1f}%",
            ]
        )
    return table(["task", "robot", "condition", "episodes", "success", "95% interval"], lines)


def speeds(env_ids: Container[str]) -> str:
    """Returns the tables of the measured speeds of some environments, and of all ratios."""
    figures = json.loads((ROOT / "results" / "throughput.json").read_text())
    machine, versions = figures["machine"], figures["versions"]
    rates = [
        [
            f"`{speed['env_id']}`",
            f"{speed['steps_per_second']:,.0f}",
            f"{speed['reset_steps']:.2f}",
            f"{100 * speed['physics_share']:.0f}%",
        ]
        for speed in figures["speeds"]
        if speed["env_id"] in env_ids
    ]
    ratios = [
        [
            pair["ours"],
            pair["against"],
            f"{pair['ratio']:.2f} ({pair['low']:.2f} to {pair['high']:.2f})",
            "-" if pair["simulated_time_ratio"] is None else f"{pair['simulated_time_ratio']:.2f}",
        ]
        for pair in figures["comparisons"]
    ]
    lines = [
        table(["environment", "steps/s", "a reset in steps", "physics share of a step"], rates),
        "",
        table(["rate of", "over the rate of", "ratio (range of rounds)", "simulated seconds a second"], ratios),
        "",
        f"{machine['processor']}, {machine['cores']} cores; {figures['rounds']} rounds of {figures['steps']} steps; "
        f"{_others(versions)}.",
    ]
    return "\n".join(lines)


def datasets() -> str:
    """Returns the table of how fast demonstrations are recorded and read, and the memory that takes."""
    return _measured(json.loads(DATASETS.read_text()))


def running() -> str:
    """Returns the table of what the runner of suites costs."""
    return _measured(json.loads(RUNNING.read_text()))


def _measured(content: dict[str, Any]) -> str:
    machine = content["machine"]
    rows = [
        [
            figure["what"],
            f"{_number(figure['value'])} {figure['unit']}".rstrip(),
            "-" if len(figure["rounds"]) == 1 else " to ".join(_number(f(figure["rounds"])) for f in (min, max)),
        ]
        for figure in content["figures"]
    ]
    return "\n".join(
        [
            table(["measured", "median", "range of rounds"], rows),
            "",
            f"{machine['processor']}, {machine['cores']} cores; {content['rounds']} rounds; "
            f"{_others(content['versions'])}.",
        ]
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _others(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in versions if name not in ("lam_envs", "code", "python"))

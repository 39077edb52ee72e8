"""Reports: tables, a plot and pages, drawn from a results folder alone."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from agents.evaluation import Evaluation
from benchmarks.results import CellResult, read_results, video_path
from benchmarks.statistics import Estimate, interquartile_mean
from demos.files import write_atomically
from demos.intervals import wilson_interval

PLOT = "success.png"
KNOWN_COLORS = {"random": "#9aa5b1", "bc": "#30638e", "expert": "#2f6f4f"}
"""The same agent has the same colour in every plot."""
OTHER_COLORS = ("#edae49", "#d1495b", "#6d597a", "#00798c", "#b56576")


@dataclass(frozen=True)
class Row:
    """One agent in one environment, over all its training runs.

    Attributes:
        environment: An id.
        agent: Its name.
        trainings: How many; None for an agent that does not learn.
        episodes: Over all runs.
        success_rate: Over all episodes.
        low: Lower end of its 95% Wilson interval.
        high: Upper end.
        steps: Mean steps to success; None without success.
        seconds: The same in simulated seconds.
        mean_return: Mean sum of rewards.
        over_runs: Interquartile mean of the runs' rates; None for a single run.
    """

    environment: str
    agent: str
    trainings: int | None
    episodes: int
    success_rate: float
    low: float
    high: float
    steps: float | None
    seconds: float | None
    mean_return: float
    over_runs: Estimate | None


def rows(results: list[CellResult]) -> list[Row]:
    """Sums up results, sorted by environment, and the best first."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault((result.cell.environment, result.cell.agent), []).append(result)
    made = [_row(environment, agent, group) for (environment, agent), group in groups.items()]
    return sorted(made, key=lambda row: (row.environment, -row.success_rate, -row.mean_return, row.agent))


def _row(environment: str, agent: str, group: list[CellResult]) -> Row:
    merged = Evaluation(
        tuple(episode for result in group for episode in result.evaluation.episodes),
        group[0].evaluation.step_seconds,
    )
    low, high = wilson_interval(merged.successes, len(merged.episodes))
    rates = [result.evaluation.success_rate for result in group]
    return Row(
        environment=environment,
        agent=agent,
        trainings=len(group) if group[0].cell.training_seed is not None else None,
        episodes=len(merged.episodes),
        success_rate=merged.success_rate,
        low=low,
        high=high,
        steps=merged.mean_steps_to_success,
        seconds=merged.mean_seconds_to_success,
        mean_return=merged.mean_return,
        over_runs=interquartile_mean(rates) if len(rates) > 1 else None,
    )


def short_names(names: list[str]) -> dict[str, str]:
    """Shortens ``package.module:Class`` to the class, where no other agent's class is called the same."""
    classes = [name.rpartition(":")[2] for name in names]
    return {name: short if classes.count(short) == 1 else name for name, short in zip(names, classes, strict=True)}


def plot(table: list[Row], path: Path) -> Path:
    """Draws success rates as bars with their intervals, one group an environment."""
    from matplotlib.figure import Figure

    environments = sorted({row.environment for row in table})
    names = list(dict.fromkeys(row.agent for row in sorted(table, key=lambda row: row.success_rate)))
    # A figure of its own, without pyplot: no window system and no global state.
    figure = Figure(figsize=(1.6 + (0.6 + 0.55 * len(names)) * len(environments), 3.6), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(names)
    labels = short_names(names)
    for number, name in enumerate(names):
        own = [row for row in table if row.agent == name]
        places = [environments.index(row.environment) + (number - (len(names) - 1) / 2) * width for row in own]
        heights = [row.success_rate for row in own]
        errors = [[row.success_rate - row.low for row in own], [row.high - row.success_rate for row in own]]
        color = KNOWN_COLORS.get(name, OTHER_COLORS[number % len(OTHER_COLORS)])
        bars = axes.bar(places, heights, width * 0.9, yerr=errors, capsize=3, label=labels[name], color=color)
        axes.bar_label(bars, [f"{100 * height:.1f}%" for height in heights], padding=2, fontsize=8)
    axes.set_xticks(range(len(environments)), environments)
    axes.set_ylim(0, 1.15)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "25%", "50%", "75%", "100%"])
    axes.set_ylabel("success at the last step")
    figure.legend(frameon=False, ncols=min(len(names), 4), loc="outside upper center", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    picture = io.BytesIO()
    # No date in the file: the same results give the same picture.
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    return write_atomically(path, picture.getvalue())


def report(folder: str | Path) -> list[Path]:
    """Writes ``report.md``, ``report.html`` and ``success.png`` into a results folder.

    Returns:
        The files.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A result is damaged.
    """
    base = Path(folder)
    suite, results = read_results(base)
    table = rows(results)
    content: dict[str, Any] = {
        "suite": suite,
        "rows": table,
        "plot": PLOT,
        "videos": {
            environment: video_path(base, environment).relative_to(base).as_posix()
            for environment in sorted({row.environment for row in table})
            if video_path(base, environment).exists()
        },
        "versions": _versions(results),
        "seeds": _seeds(suite),
    }
    written = [plot(table, base / PLOT)]
    templates = _templates()
    for name in ("report.md", "report.html"):
        text = templates.get_template(f"{name}.jinja").render(content)
        written.append(write_atomically(base / name, text))
    return written


def markdown_table(folder: str | Path) -> str:
    """Returns the table of a results folder in Markdown, as the README shows it."""
    _, results = read_results(folder)
    return _templates().get_template("table.md.jinja").render(rows=rows(results)).strip()


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("benchmarks"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja", "md.jinja")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(percent=_percent, number=_number)
    return templates


def _versions(results: list[CellResult]) -> list[str]:
    """Every combination of versions that the results were made with."""
    return sorted({", ".join(f"{name} {version}" for name, version in result.versions.items()) for result in results})


def _seeds(suite: dict[str, Any]) -> str:
    first, episodes = suite["evaluation"]["first_seed"], suite["evaluation"]["episodes"]
    return f"{first} to {first + episodes - 1}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

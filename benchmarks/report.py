"""Reports: tables, a plot and pages, drawn from a results folder alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

import lam_envs
from agents.evaluation import Evaluation
from benchmarks.results import CellResult, read_results, video_path
from benchmarks.statistics import Estimate, interquartile_mean
from demos.files import write_atomically
from demos.intervals import wilson_interval
from lam_envs.registration import VARIANTS

PLOT = "success.png"
KNOWN_COLORS = {
    "random": "#9aa5b1",
    "expert": "#2f6f4f",
    "bc": "#30638e",
    "dagger": "#00798c",
    "gail": "#edae49",
    "airl": "#d9822b",
    "dqfd": "#6d597a",
    "sqil": "#b56576",
}
"""The same agent has the same colour in every plot."""
OTHER_COLOR = "#c4a484"


@dataclass(frozen=True)
class Row:
    """One agent in one environment, over all its training runs.

    Attributes:
        environment: An id.
        agent: Its label.
        demonstrations: How many it learned from; None for none.
        quality: Of them; None likewise.
        trainings: How many; None for an agent that does not learn.
        episodes: Over all runs.
        success_rate: Over all episodes.
        low: Lower end of its 95% Wilson interval.
        high: Upper end.
        steps: Mean steps to success; None without success.
        seconds: The same in simulated seconds.
        mean_return: Mean sum of rewards.
        training_seconds: Mean wall time of a training; None for an agent that does not learn.
        training_cpu_seconds: The same on the processor.
        ever_success_rate: Share of episodes in which the task was done after any step.
        jerk: Mean of the tool, m/s^3; None where nothing tells it.
        peak_force: Mean of the episodes' largest, newtons; None where nothing tells it.
        decision_ms: Median wall time of a decision, mean of the runs.
        over_runs: Interquartile mean of the runs' rates; None for a single run.
    """

    environment: str
    agent: str
    demonstrations: int | None
    quality: str | None
    trainings: int | None
    episodes: int
    success_rate: float
    low: float
    high: float
    steps: float | None
    seconds: float | None
    mean_return: float
    training_seconds: float | None
    training_cpu_seconds: float | None
    ever_success_rate: float
    jerk: float | None
    peak_force: float | None
    decision_ms: float
    over_runs: Estimate | None


def rows(results: list[CellResult]) -> list[Row]:
    """Sums up results, from easy environments to hard ones, and the best agents first."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault((result.cell.environment, result.cell.label), []).append(result)
    made = [_row(environment, agent, group) for (environment, agent), group in groups.items()]
    return sorted(
        made,
        key=lambda row: (_place(row.environment), row.environment, -row.success_rate, -row.mean_return, row.agent),
    )


def _row(environment: str, agent: str, group: list[CellResult]) -> Row:
    merged = Evaluation(
        tuple(episode for result in group for episode in result.evaluation.episodes),
        group[0].evaluation.step_seconds,
        sum(result.evaluation.decision_ms for result in group) / len(group),
    )
    low, high = wilson_interval(merged.successes, len(merged.episodes))
    rates = [result.evaluation.success_rate for result in group]
    return Row(
        environment=environment,
        agent=agent,
        demonstrations=group[0].cell.demonstrations,
        quality=group[0].cell.quality,
        trainings=len(group) if group[0].cell.training_seed is not None else None,
        episodes=len(merged.episodes),
        success_rate=merged.success_rate,
        low=low,
        high=high,
        steps=merged.mean_steps_to_success,
        seconds=merged.mean_seconds_to_success,
        mean_return=merged.mean_return,
        training_seconds=_mean([result.training_seconds for result in group]),
        training_cpu_seconds=_mean([result.training_cpu_seconds for result in group]),
        ever_success_rate=merged.ever_success_rate,
        jerk=merged.mean_jerk,
        peak_force=merged.mean_peak_force,
        decision_ms=merged.decision_ms,
        over_runs=interquartile_mean(rates) if len(rates) > 1 else None,
    )


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Overview:
    """All agents side by side in environments of one kind.

    Attributes:
        environments: Ids; the columns.
        agents: Label and the row in each environment, None where it was not measured; the best first.
    """

    environments: tuple[str, ...]
    agents: tuple[tuple[str, tuple[Row | None, ...]], ...]


def overviews(table: list[Row]) -> list[Overview]:
    """Lays rows out by agent and environment: one table each for the variants of the tasks, such as ``Discrete``."""
    kinds: dict[str, list[Row]] = {}
    for row in sorted(table, key=lambda row: _place(row.environment)):
        kinds.setdefault(_variant(row.environment), []).append(row)
    return [_overview(own) for _, own in sorted(kinds.items())]


def _overview(table: list[Row]) -> Overview:
    environments = tuple(dict.fromkeys(row.environment for row in table))
    found = {(row.agent, row.environment): row for row in table}
    lines = [
        (agent, tuple(found.get((agent, environment)) for environment in environments))
        for agent in dict.fromkeys(row.agent for row in table)
    ]

    def mean(line: tuple[str, tuple[Row | None, ...]]) -> float:
        rates = [row.success_rate for row in line[1] if row is not None]
        return sum(rates) / len(rates)

    return Overview(environments, tuple(sorted(lines, key=lambda line: (-mean(line), line[0]))))


def _variant(environment: str) -> str:
    """What an id says besides its task."""
    endings = [variant for variant in VARIANTS if variant and environment.rpartition("-v")[0].endswith(variant)]
    return endings[0] if endings else ""


def _place(environment: str) -> int:
    """The place of an id among ours, from easy to hard; others come last."""
    return lam_envs.ENV_IDS.index(environment) if environment in lam_envs.ENV_IDS else len(lam_envs.ENV_IDS)


def shown(row: Row) -> str:
    """What a row's agent learned from, in words: ``100``, or ``100 noisy`` where it was not the expert as it is."""
    if row.demonstrations is None:
        return "-"
    return f"{row.demonstrations}" if row.quality == "expert" else f"{row.demonstrations} {row.quality}"


def short_names(names: list[str]) -> dict[str, str]:
    """Shortens ``package.module:Class`` to the class, where no other agent's class is called the same."""
    classes = [name.rpartition(":")[2] for name in names]
    return {name: short if classes.count(short) == 1 else name for name, short in zip(names, classes, strict=True)}


COLUMNS = 3
"""Panels of a plot, side by side."""


def plot(table: list[Row], path: Path) -> Path:
    """Draws success rates as bars with their intervals, one panel an environment."""
    from matplotlib.figure import Figure

    panels = {row.environment: [one for one in table if one.environment == row.environment] for row in table}
    columns = min(COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    most = max(len(own) for own in panels.values())
    # A figure of its own, without pyplot: no window system and no global state.
    figure = Figure(figsize=(3.9 * columns, lines * (0.7 + 0.27 * most)), layout="constrained")
    labels = short_names(list(dict.fromkeys(row.agent for row in table)))
    grid = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes, (environment, own) in zip(grid, panels.items(), strict=False):
        places = range(len(own))
        rates = [row.success_rate for row in own]
        errors = [[row.success_rate - row.low for row in own], [row.high - row.success_rate for row in own]]
        axes.barh(places, rates, 0.8, xerr=errors, capsize=2.5, color=[_color(row.agent) for row in own])
        for place, row in zip(places, own, strict=True):
            axes.text(1.04, place, f"{100 * row.success_rate:.1f}%", va="center", fontsize=8)
        axes.set_yticks(places, [labels[row.agent] for row in own], fontsize=8)
        axes.set_ylim(most - 0.4, -0.6)
        axes.set_xlim(0, 1.22)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0%", "", "50%", "", "100%"], fontsize=8)
        axes.set_title(environment, fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("success at the last step", fontsize=9)
    picture = io.BytesIO()
    # No date in the file: the same results give the same picture.
    figure.savefig(picture, format="png", dpi=150, metadata={"Software": None})
    return write_atomically(path, picture.getvalue())


def _color(label: str) -> str:
    """The colour of an agent's name, whatever is peculiar to it in a suite."""
    return KNOWN_COLORS.get(label.partition("-")[0], OTHER_COLOR)


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
        "overviews": overviews(table),
        "plot": PLOT,
        "videos": {
            environment: video_path(base, environment).relative_to(base).as_posix()
            for environment in sorted({row.environment for row in table})
            if video_path(base, environment).exists()
        },
        "versions": _versions(results),
        "done": len(results),
        "planned": len(suite["cells"]),
        "seeds": _seeds(suite),
        "called": _called(suite),
    }
    written = [plot(table, base / PLOT)]
    templates = _templates()
    for name in ("report.md", "report.html"):
        text = templates.get_template(f"{name}.jinja").render(content)
        written.append(write_atomically(base / name, text))
    return written


def markdown_table(folder: str | Path) -> str:
    """Returns the table of a results folder in Markdown."""
    _, results = read_results(folder)
    return _templates().get_template("table.md.jinja").render(rows=rows(results)).strip()


def markdown_overview(folder: str | Path) -> str:
    """Returns the success of all agents in a results folder in Markdown, as the README shows it."""
    suite, results = read_results(folder)
    template = _templates().get_template("overview.md.jinja")
    return template.render(overviews=overviews(rows(results)), done=len(results), planned=len(suite["cells"])).strip()


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("benchmarks"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja", "md.jinja")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(percent=_percent, number=_number, shown=shown)
    return templates


def _versions(results: list[CellResult]) -> list[str]:
    """Every combination of versions that the results were made with, and of which agents each code is."""
    codes: dict[str, dict[str, set[str]]] = {}
    for result in results:
        rest = ", ".join(f"{name} {version}" for name, version in result.versions.items() if name != "code")
        codes.setdefault(rest, {}).setdefault(result.versions["code"], set()).add(result.cell.agent)
    return [
        f"{rest}; code " + ", ".join(f"{code} ({' '.join(sorted(agents))})" for code, agents in sorted(found.items()))
        for rest, found in sorted(codes.items())
    ]


def _called(suite: dict[str, Any]) -> dict[str, str]:
    """What is behind the labels that are no names of agents as they are."""
    return {
        entry["label"]: entry["agent"]
        + "".join(f", {name} {value}" for name, value in sorted(entry["settings"].items()))
        for entry in suite["agents"]
        if entry["settings"] or entry["label"] != entry["agent"]
    }


def _seeds(suite: dict[str, Any]) -> str:
    first, episodes = suite["evaluation"]["first_seed"], suite["evaluation"]["episodes"]
    return f"{first} to {first + episodes - 1}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

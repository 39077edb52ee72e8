"""Plots of a report, as PNG for Markdown and as SVG that takes the colors of its page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from agents.types import Array
from benchmarks.analysis.ranking import Ranking
from benchmarks.analysis.statistics import PROFILE_AT
from benchmarks.analysis.tables import Row, environment_order, names, rows, short_names
from benchmarks.runner.results import CellResult
from demos.runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KNOWN_COLORS = {
    "random": "#8793a1",
    "expert": "#3d8b63",
    "bc": "#3d7fb8",
    "bc-rnn": "#1f4e79",
    "act": "#6aa84f",
    "diffusion": "#a64d79",
    "keypoints": "#b8860b",
    "lam": "#5c5cc7",
    "dagger": "#00a0a6",
    "gail": "#e0a030",
    "airl": "#d97b2b",
    "dqfd": "#8f6bb3",
    "sqil": "#c4626c",
    "dqn": "#a89f3c",
    "ppo": "#b07550",
    "sac": "#cf6fa8",
}
"""The same agent has the same color in every plot."""
OTHER_COLOR = "#b3926f"
INK = "#123456"
"""Stands for the color of the page's text."""
COLUMNS = 3
"""Panels of a plot, side by side."""
Draw: TypeAlias = "Callable[[], Figure | None]"
"""Function that draws a plot; it returns None if there is nothing to draw."""
LineStyle: TypeAlias = "str | tuple[int, tuple[int, ...]]"
Mark = TypeVar("Mark")
STYLES: tuple[LineStyle, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES = ("", "///", "...", "xxx")
"""Patterns of bars of the same color."""


def color(name: str) -> str:
    """Return the color of an agent, given its name in a report."""
    agent = name.partition(",")[0]
    return KNOWN_COLORS.get(agent) or KNOWN_COLORS.get(agent.partition("-")[0], OTHER_COLOR)


def _panels(count: int, height: float, width: float = 3.9) -> tuple[Figure, list[Axes]]:
    """Return a figure without pyplot, which has global state, and its panels."""
    from matplotlib.figure import Figure

    columns = max(1, min(COLUMNS, count))
    lines = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    figure.patch.set_alpha(0.0)
    grid = list(figure.subplots(lines, columns, squeeze=False).flatten())
    for axes in grid:
        axes.patch.set_alpha(0.0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def _percent_axis(axes: Axes, which: str = "y") -> None:
    getattr(axes, f"set_{which}lim")(-0.03, 1.03)
    getattr(axes, f"set_{which}ticks")([0, 0.25, 0.5, 0.75, 1.0], ["0%", "", "50%", "", "100%"])


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Add one legend below all panels."""
    entries = {label: handle for one in axes for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    for columns in range(min(len(entries), 6), 0, -1):
        legend = figure.legend(
            entries.values(), entries, loc="outside lower center", ncols=columns, fontsize=8, frameon=False
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _looks(row_names: Iterable[str], marks: Sequence[Mark]) -> dict[str, tuple[str, Mark]]:
    """Return the color of each name, and a mark by which names of the same color differ."""
    looks: dict[str, tuple[str, Mark]] = {}
    for name in dict.fromkeys(row_names):
        same = sum(used_color == color(name) for used_color, _ in looks.values())
        looks[name] = color(name), marks[same % len(marks)]
    return looks


def success(table: Sequence[Row]) -> Figure:
    """Draw success rates as bars with their intervals, one panel an environment."""
    row_names = names(table)
    panels: dict[str, list[tuple[Row, str]]] = {}
    for row, name in zip(table, row_names, strict=True):
        panels.setdefault(row.environment, []).append((row, name))
    most = max(map(len, panels.values()))
    labels = short_names(list(dict.fromkeys(row_names)))
    # Inches: 0.062 for each letter of the longest label, and 2.0 for the bars and their rates.
    width = 0.062 * max(map(len, labels.values())) + 2.0
    figure, grid = _panels(len(panels), 0.7 + 0.27 * most, max(3.9, width))
    for axes, (environment, entries) in zip(grid, panels.items(), strict=True):
        positions = range(len(entries))
        rates = [row.success_rate for row, _ in entries]
        errors = [
            [row.success_rate - row.low for row, _ in entries],
            [row.high - row.success_rate for row, _ in entries],
        ]
        colors = [color(name) for _, name in entries]
        axes.barh(positions, rates, 0.8, xerr=errors, ecolor=INK, capsize=2.5, color=colors)
        for position, (row, _) in zip(positions, entries, strict=True):
            axes.text(1.04, position, f"{100 * row.success_rate:.1f}%", va="center", fontsize=8)
        axes.set_yticks(positions, [labels[name] for _, name in entries], fontsize=8)
        axes.set_ylim(most - 0.4, -0.6)
        _percent_axis(axes, "x")
        axes.set_xlim(0, 1.22)
        axes.set_title(environment, fontsize=9, loc="left")
    figure.supxlabel("success at the last step", fontsize=9)
    return figure


def learning_curves(results: Sequence[CellResult], condition: str) -> Figure | None:
    """Draw learning curves: mean and range over training runs; None without periodic evaluations.

    Args:
        results: Results of the cells.
        condition: Condition of the final evaluation, which is the last point of a curve.
    """
    table = [row for row in rows(results) if row.condition == condition]
    row_names = dict(zip((row.group for row in table), names(table, conditions=False), strict=True))
    groups: dict[str, dict[str, list[LearningCurve]]] = {}
    for result in results:
        curve = learning_curve(result)
        if curve is not None and result.cell.group in row_names:
            name = row_names[result.cell.group]
            groups.setdefault(result.cell.environment, {}).setdefault(name, []).append(curve)
    if not groups:
        return None
    groups = {name: groups[name] for name in sorted(groups, key=environment_order)}
    styles = _looks((name for agents in groups.values() for name in agents), STYLES)
    figure, grid = _panels(len(groups), 2.6)
    for axes, (environment, agents) in zip(grid, groups.items(), strict=True):
        for name, curves in agents.items():
            shares, rates = _align_curves(curves)
            line_color, line = styles[name]
            axes.plot(shares, rates.mean(axis=0), linestyle=line, color=line_color, label=name, linewidth=1.5)
            axes.fill_between(shares, rates.min(axis=0), rates.max(axis=0), color=line_color, alpha=0.15, linewidth=0)
        _percent_axis(axes)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1.0], ["0%", "50%", "100%"])
        axes.set_xlabel("fraction of the training", fontsize=8)
        axes.set_title(environment, fontsize=9, loc="left")
    figure.supylabel("success", fontsize=9)
    _legend(figure, grid)
    return figure


LearningCurve = tuple[list[float], list[float]]
"""Progress of a training from 0 to 1, and the success rate at each point."""


def learning_curve(result: CellResult) -> LearningCurve | None:
    """Return the learning curve of a training run, with the final evaluation as last point; None without a curve.

    Args:
        result: Result of one training run.
    """
    curve = None if result.training is None else result.training.curve
    if result.training is None or curve is None or not curve.done:
        return None
    # The last periodic evaluation may be before the end of a training run that counts steps.
    total = max(curve.done[-1], result.training.environment_steps if curve.unit == "steps" else 0.0)
    before = [(done / total, rate) for done, rate in zip(curve.done, curve.success, strict=True) if done < total]
    return [share for share, _ in before] + [1.0], [rate for _, rate in before] + [result.evaluation.success_rate]


def _align_curves(curves: Sequence[LearningCurve]) -> tuple[Array, Array]:
    """Return the curves of several training runs at the same points, one row each, from where all are known."""
    fractions = np.linspace(0.0, 1.0, 41)
    stacked = np.array([np.interp(fractions, points, rates, left=np.nan) for points, rates in curves])
    known = ~np.isnan(stacked).any(axis=0)
    return fractions[known], stacked[:, known]


def data_efficiency(table: Sequence[Row], condition: str) -> Figure | None:
    """Draw success under a condition against the number of demonstrations; None without several numbers."""
    lines: dict[str, dict[str, list[Row]]] = {}
    for row in table:
        if row.demonstrations is not None and row.condition == condition:
            name = row.agent if row.demonstrator == "expert" else f"{row.agent}, {row.demonstrator}"
            lines.setdefault(row.environment, {}).setdefault(name, []).append(row)
    lines = {
        environment: {name: own for name, own in agents.items() if len(own) > 1}
        for environment, agents in lines.items()
    }
    lines = {environment: agents for environment, agents in lines.items() if agents}
    if not lines:
        return None
    styles = _looks((name for own in lines.values() for name in own), STYLES)
    figure, grid = _panels(len(lines), 2.6)
    for axes, (environment, agents) in zip(grid, lines.items(), strict=True):
        for name, unordered in agents.items():
            own = sorted(unordered, key=lambda row: row.demonstrations or 0)
            counts = [row.demonstrations or 0 for row in own]
            shown, line = styles[name]
            rates = [row.success_rate for row in own]
            axes.plot(counts, rates, marker="o", linestyle=line, color=shown, label=name, markersize=3)
            low, high = [row.low for row in own], [row.high for row in own]
            axes.fill_between(counts, low, high, color=shown, alpha=0.18, linewidth=0)
        _percent_axis(axes)
        axes.set_xscale("log")
        ticks = sorted({row.demonstrations for own in agents.values() for row in own if row.demonstrations})
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.set_xlabel("demonstrations", fontsize=8)
        axes.set_title(environment, fontsize=9, loc="left")
    figure.supylabel("success at the last step", fontsize=9)
    _legend(figure, grid)
    return figure


def robustness(table: Sequence[Row], conditions: Sequence[str]) -> Figure | None:
    """Draw success under each condition, agents in the same order everywhere.

    Args:
        table: Rows of the results.
        conditions: Names of the conditions, in this order from top to bottom.

    Returns:
        The figure; None with a single condition, or a single agent, whose bars :func:`success` draws already.
    """
    row_names = names(table, conditions=False)
    if len(conditions) < 2 or len(set(row_names)) < 2:
        return None
    panels: dict[str, dict[str, dict[str, Row]]] = {}
    for row, name in zip(table, row_names, strict=True):
        panels.setdefault(row.environment, {}).setdefault(name, {})[row.condition] = row
    looks = _looks(row_names, HATCHES)
    figure, grid = _panels(len(panels), 0.9 + 0.24 * len(conditions) * max(map(len, panels.values())))
    for axes, (environment, agents) in zip(grid, panels.items(), strict=True):
        height = 0.8 / len(agents)
        for number, name in enumerate(name for name in looks if name in agents):
            fill, hatch = looks[name]
            agent_rows = agents[name]
            positions = [
                conditions.index(condition) + (number - (len(agents) - 1) / 2) * height for condition in agent_rows
            ]
            rates = [row.success_rate for row in agent_rows.values()]
            below = [row.success_rate - row.low for row in agent_rows.values()]
            above = [row.high - row.success_rate for row in agent_rows.values()]
            errors = [below, above]
            bars = axes.barh(
                positions, rates, height * 0.9, xerr=errors, ecolor=INK, capsize=1.5, color=fill, label=name
            )
            for bar in bars:
                bar.set(hatch=hatch, edgecolor=INK, linewidth=0.0)
        axes.set_yticks(range(len(conditions)), conditions)
        axes.set_ylim(len(conditions) - 0.4, -0.6)
        _percent_axis(axes, "x")
        axes.set_xlabel("success at the last step", fontsize=8)
        axes.set_title(environment, fontsize=9, loc="left")
    _legend(figure, grid)
    return figure


def profiles(ranked: Ranking) -> Figure | None:
    """Draw performance profiles (Agarwal et al. 2021, section 4.2); None without several training runs."""
    if not ranked.profiles:
        return None
    figure, (axes,) = _panels(1, 3.0, 6.5)
    styles = _looks(ranked.profiles, STYLES)
    for name, profile in ranked.profiles.items():
        line_color, line = styles[name]
        axes.step(PROFILE_AT, profile, linestyle=line, where="post", color=line_color, label=name, linewidth=1.6)
    _percent_axis(axes)
    _percent_axis(axes, "x")
    axes.set_xlabel("success rate of at least", fontsize=9)
    axes.set_ylabel("fraction of training runs", fontsize=9)
    _legend(figure, [axes])
    return figure


def png(draw: Draw, path: Path) -> Path | None:
    """Draw into a PNG file; None if there is nothing to draw."""
    with _colors("#1f2933"):
        figure = draw()
        if figure is None:
            return None
        figure.patch.set_alpha(1.0)
        image = io.BytesIO()
        # No date in the file: the same results give the same image.
        figure.savefig(image, format="png", dpi=150, metadata={"Software": None})
    return write_atomically(path, image.getvalue())


def pdf(draw: Draw) -> bytes | None:
    """Draw into a PDF file with fonts that can be selected and searched; None if there is nothing to draw."""
    with _colors("#000000"):
        figure = draw()
        if figure is None:
            return None
        written = io.BytesIO()
        figure.savefig(written, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return written.getvalue()


def svg(draw: Draw) -> str | None:
    """Draw into an SVG element for a page, in the color of its text; None if there is nothing to draw."""
    with _colors(INK):
        figure = draw()
        if figure is None:
            return None
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = written.getvalue()
    # The element alone: the page has its own beginning.
    return text[text.index("<svg") :].replace(INK, "currentColor").strip()


def _colors(ink: str) -> AbstractContextManager[None]:
    import matplotlib as mpl

    names_of_ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = {
        **dict.fromkeys(names_of_ink, ink),
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        # A name with dollars is no formula.
        "text.parse_math": False,
        # Names of parts are the same each time.
        "svg.hashsalt": "lam-envs",
    }
    return mpl.rc_context(settings)

"""Figures of a report as SVG: histograms, bars of discrete actions, and the table from above.

The style sheet of the page sets the colors, so that they fit light and dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from demos.report.positions import Area

Counts = npt.NDArray[np.int64]

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 14, 40
"""Margins for labels; all sizes are in pixels."""
MIN_BARS, MAX_BARS = 8, 30
MAX_CHOICES = 30
ROW = 19
"""Height of the bar of a discrete action."""
MARGIN = 0.05
"""Margin around the areas and points on the table, meters."""
GRID = 0.1
"""Distance between grid lines on the table, meters."""


class Stack(NamedTuple):
    """Part of stacked bars with one color."""

    style: str
    """CSS class."""
    name: str
    counts: Counts


@dataclass(frozen=True)
class Series:
    """Points of one kind on the table.

    Attributes:
        name: Name of the series.
        style: CSS class.
        marker: ``round``, ``square`` or ``cross``.
        points: x and y in meters, shape (n, 2).
    """

    name: str
    style: str
    marker: str
    points: npt.NDArray[np.float64]


def bin_edges(values: Sequence[float], *, is_whole: bool) -> npt.NDArray[np.float64]:
    """Return edges of bins for finite values; integers are in the middle of their bins."""
    low, high = min(values), max(values)
    # Few values need wide bins.
    count = min(MAX_BARS, max(MIN_BARS, round(2 * math.sqrt(len(values)))))
    if is_whole:
        width = max(1, math.ceil((high - low + 1) / count))
        return np.arange(low, high + width + 1, width) - 0.5
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        return np.array([low - 0.5, high + 0.5])
    return np.linspace(low, high, count + 1)


def bars(alt: str, label: str, unit: str, edges: npt.NDArray[np.float64], stacks: Sequence[Stack]) -> Markup:
    """Draw stacked bars.

    Args:
        alt: Description of the figure.
        label: Label of the horizontal axis.
        unit: Name of the counted things.
        edges: Edges of the bins, shape (bins + 1,).
        stacks: Stacked parts from the bottom, each with counts of shape (bins,).
    """
    # Leave room beside a single bar.
    low, high = _span(edges)
    highest = max(1, int(np.sum([stack.counts for stack in stacks], axis=0).max()))
    ticks = [tick for tick in nice_ticks(0, highest, 4) if tick == int(tick)]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    top = max(highest, ticks[-1])

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (right - LEFT)

    def up(count: float) -> float:
        return bottom - count / top * (bottom - TOP)

    parts = [_line("grid", LEFT, up(tick), right, up(tick)) for tick in ticks]
    parts += [_text("end", LEFT - 6, up(tick) + 4, _number(tick)) for tick in ticks]
    floor = np.zeros(len(edges) - 1)
    for stack in stacks:
        for index in np.flatnonzero(stack.counts):
            count = int(stack.counts[index])
            x0, x1 = across(edges[index]), across(edges[index + 1])
            tooltip = f"{_interval(edges, int(index))}: {count} {unit}" + (f", {stack.name}" if stack.name else "")
            y0, y1 = up(floor[index] + count), up(floor[index])
            gap = min(1.0, 0.2 * (x1 - x0))
            parts.append(_bar(stack.style, x0 + gap / 2, y0, x1 - x0 - gap, y1 - y0, tooltip))
        floor = floor + stack.counts
    for tick in nice_ticks(low, high, 5):
        parts.append(_text("middle", across(tick), bottom + 16, _number(tick)))
    parts.append(_text("middle", (LEFT + right) / 2, HEIGHT - 6, label))
    return _svg(alt, WIDTH, HEIGHT, parts)


def discrete_action_bars(alt: str, names: Sequence[str], counts: Counts) -> Markup:
    """Draw the counts of discrete actions as horizontal bars, at most the most frequent ones.

    Args:
        alt: Description of the figure.
        names: Names of the actions.
        counts: Count of each action.
    """
    indices = sorted(np.argsort(-counts, kind="stable")[:MAX_CHOICES].tolist())
    total, most = max(1, int(counts.sum())), max(1, int(counts.max()))
    left = 12 + 6.4 * max(len(names[index]) for index in indices)
    full = WIDTH - left - 46
    parts = []
    for row, index in enumerate(indices):
        count = int(counts[index])
        y = 4 + row * ROW
        tooltip = f"{names[index]}: {count} actions"
        parts.append(_text("end", left - 8, y + 13, names[index]))
        parts.append(_bar("bar", left, y + 2, max(0.5, full * count / most), ROW - 5, tooltip))
        parts.append(_text("start", left + full * count / most + 5, y + 13, f"{100 * count / total:.1f}%"))
    return _svg(alt, WIDTH, 8 + ROW * len(indices), parts)


def top_view(alt: str, series: Sequence[Series], areas: Sequence[Area]) -> Markup:
    """Draw points on the table from above: the robot is below, x points up and y to the left.

    Args:
        alt: Description of the figure.
        series: Series of points.
        areas: Spawn ranges of the task.
    """
    corners = [np.array([area.low, area.high]) for area in areas]
    extent = np.concatenate([*corners, *(drawn_series.points for drawn_series in series)])
    low, high = extent.min(axis=0) - MARGIN, extent.max(axis=0) + MARGIN
    right = WIDTH - RIGHT
    scale = (right - LEFT) / (high[1] - low[1])
    top = TOP + ROW
    height = top + scale * (high[0] - low[0]) + BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (high[1] - y) * scale, top + (high[0] - x) * scale

    def rectangle(style: str, area: Area) -> Markup:
        (x0, y0), (x1, y1) = at(*area.high), at(*area.low)
        return _bar(style, x0, y0, x1 - x0, y1 - y0, area.description)

    table = Area("the table", (low[0], low[1]), (high[0], high[1]))
    parts = [rectangle("table", table)]
    for y in _lines(low[1], high[1]):
        across, _ = at(0.0, y)
        parts.append(_line("grid", across, top, across, height - BOTTOM))
        parts.append(_text("middle", across, height - BOTTOM + 16, _number(y)))
    for x in _lines(low[0], high[0]):
        _, down = at(x, 0.0)
        parts.append(_line("grid", LEFT, down, right, down))
        parts.append(_text("end", LEFT - 6, down + 4, _number(x)))
    parts += [rectangle("area", area) for area in areas]
    for drawn_series in series:
        path = "".join(_MARKERS[drawn_series.marker].format(*at(x, y)) for x, y in drawn_series.points.tolist())
        parts.append(Markup('<path class="{} {}" d="{}"/>').format(drawn_series.marker, drawn_series.style, path))
    parts.append(
        _text(
            "middle",
            (LEFT + right) / 2,
            height - 6,
            "\N{LEFTWARDS ARROW} y, meters (the robot stands here, facing up)",
        )
    )
    parts.append(_text("start", 2, TOP, "x, meters"))
    return _svg(alt, WIDTH, height, parts)


_MARKERS = {
    "round": "M{:.1f} {:.1f}h0",
    "square": "M{:.1f} {:.1f}h0",
    "cross": "M{:.1f} {:.1f}m-3-3l6 6m0-6l-6 6",
}
"""SVG paths; a line without length is drawn as its round or square cap."""


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers within a range."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) + 0.0 for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _span(edges: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(edges[0]), float(edges[-1])
    if len(edges) > 4:
        return low, high
    around = (high - low) * 2
    return low - around, high + around


def _lines(low: float, high: float) -> list[float]:
    return [round(number * GRID, 10) for number in range(math.ceil(low / GRID), math.floor(high / GRID) + 1)]


def _interval(edges: npt.NDArray[np.float64], index: int) -> str:
    low, high = float(edges[index]), float(edges[index + 1])
    # Integers are in the middle of their bins.
    if (low + 0.5).is_integer() and (high + 0.5).is_integer():
        low, high = low + 0.5, high - 0.5
    return _number(low) if low == high else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _line(style: str, x0: float, y0: float, x1: float, y1: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(style, x0, y0, x1, y1)


def _text(anchor: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text text-anchor="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(anchor, x, y, text)


def _bar(style: str, x: float, y: float, width: float, height: float, tooltip: str) -> Markup:
    template = Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    )
    return template.format(style, x, y, width, height, tooltip)


def _svg(alt: str, width: float, height: float, parts: Iterable[Markup]) -> Markup:
    template = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>')
    return template.format(width, height, alt, Markup("").join(parts))

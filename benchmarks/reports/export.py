"""Export results as CSV or as LaTeX tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.analysis.tables import Row, overviews, rows
from benchmarks.runner.results import read_results


def export(folder: str | Path, format_: str) -> str:
    """Return the table of a results folder.

    Args:
        folder: Results folder.
        format_: One of :data:`FORMATS`.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: There is no such format, or a result is damaged.
    """
    if format_ not in FORMATS:
        raise ValueError(f"unknown format {format_!r}; expected one of {', '.join(FORMATS)}")
    return FORMATS[format_](rows(read_results(folder)[1]))


def as_csv(table: list[Row]) -> str:
    """Return every row as CSV; intervals over training runs have columns of their own."""
    written = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in table:
        content = asdict(row)
        content = {
            name: _escape_formula(value) if isinstance(value, str) else value for name, value in content.items()
        }
        content["runs"] = " ".join(map(str, row.runs))
        over_runs = content.pop("over_runs") or {"point": None, "low": None, "high": None}
        content |= {f"interquartile_mean_{name}": value for name, value in over_runs.items()}
        if writer is None:
            writer = csv.DictWriter(written, fieldnames=list(content), lineterminator="\n")
            writer.writeheader()
        writer.writerow(content)
    return written.getvalue()


def _escape_formula(text: str) -> str:
    """Return a text that spreadsheets do not read as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def as_latex(table: list[Row]) -> str:
    """Return tables of success in percent with intervals, agents by environments; they need the package booktabs."""
    parts = []
    for overview in overviews(table):
        lines = [
            rf"\begin{{tabular}}{{l{'c' * len(overview.environments)}}}",
            r"\toprule",
            " & ".join(["agent", *map(escaped, overview.environments)]) + r" \\",
            r"\midrule",
        ]
        for agent, own in overview.agents:
            # Braces: after the end of a line LaTeX takes brackets and stars for its own.
            lines.append(" & ".join([f"{{{escaped(agent)}}}", *map(_cell, own)]) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]))
    return "\n".join(parts)


def _cell(row: Row | None) -> str:
    if row is None:
        return "--"
    return f"{100 * row.success_rate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"


SPECIAL = {"\\": r"\textbackslash{}", **{sign: f"\\{sign}" for sign in "&%$#_{}"}, "~": r"\textasciitilde{}"}
SPECIAL["^"] = r"\textasciicircum{}"


def escaped(text: str) -> str:
    """Return a text without signs that LaTeX takes for commands."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


FORMATS: dict[str, Callable[[list[Row]], str]] = {"csv": as_csv, "latex": as_latex}

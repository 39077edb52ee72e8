"""Reliability diagram of a monitor."""

from __future__ import annotations

from pathlib import Path

from agents.types import JsonObject


def write_figure(report: JsonObject, path: Path) -> None:
    """Write the reliability diagram of :func:`agents.explain.failure.fitting.measure` as an image.

    Args:
        report: Measures of a monitor.
        path: File name that ends in ``.png``.
    """
    from matplotlib.figure import Figure  # late: not every command needs it

    table = report["reliability"]
    figure = Figure(figsize=(4.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linestyle="--", linewidth=1)
    axes.plot([row["predicted"] for row in table], [row["observed"] for row in table], marker="o")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability of a failure", ylabel="observed frequency")
    figure.savefig(path, dpi=120)

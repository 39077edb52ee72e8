"""Plots of a report, with their titles and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from benchmarks.analysis.ranking import Ranking
from benchmarks.analysis.tables import Row
from benchmarks.reports import plots
from benchmarks.runner.results import CellResult

PROFILE = "Performance profile"
"""Start of the title of plots with a single panel."""


@dataclass(frozen=True)
class Figure:
    """A plot of a page.

    Attributes:
        title: Title.
        image: An SVG element.
        caption: Description of what the plot shows.
        single: True if it has one panel.
    """

    title: str
    image: Markup
    caption: str
    single: bool


def figures(
    table: list[Row], results: list[CellResult], ranked: list[Ranking], conditions: Sequence[str]
) -> list[Figure]:
    """Return the plots of a report that have something to show.

    Args:
        table: Rows of the results.
        results: Results of the cells.
        ranked: Rankings of the agents.
        conditions: Names of the conditions, the most important one first.
    """
    drawn: list[tuple[str, plots.Draw, str]] = [
        (
            "Success",
            lambda: plots.success(table),
            "One bar for each agent: the success rate over all episodes of all its training runs, with the 95% "
            "interval over episodes.",
        ),
        (
            "Learning curves",
            lambda: plots.learning_curves(results, conditions[0]),
            "Success of the periodic evaluations during training, on seeds that nothing else uses: mean over the "
            "training runs, and range from worst to best. The last point is the final evaluation.",
        ),
        (
            "Data efficiency",
            lambda: plots.data_efficiency(table, conditions[0]),
            "Success against the number of demonstrations, with the 95% interval over episodes.",
        ),
        (
            "Robustness",
            lambda: plots.robustness(table, conditions),
            "The same agents under each condition, with 95% intervals over episodes.",
        ),
        *(
            (
                f"{PROFILE} over {', '.join(each.environments)}",
                lambda each=each: plots.profiles(each),
                "The fraction of training runs, over these environments, that reach a success rate or more (Agarwal "
                "et al. 2021, section 4.2); further right and up is better.",
            )
            for each in ranked
            if len(each.environments) > 1
        ),
    ]
    made = []
    for title, draw, caption in drawn:
        image = plots.svg(draw)
        if image is not None:
            single = title.startswith(PROFILE)
            made.append(Figure(title, Markup(image), caption, single))  # noqa: S704  (Matplotlib escapes names)
    return made

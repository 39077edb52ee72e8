"""Report on a dataset: one page that holds everything it shows, to judge a dataset in a minute."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import minari
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from demos.datasets.metadata import rate_of
from demos.report.clips import DEFAULT_FPS, Clip, clips
from demos.report.contents import Contents, EpisodeSummary, contents_of
from demos.report.facts import facts_of, groups, headline, number_text
from demos.report.figures import MOST_CHOICES, Series, Stack, bars, bin_edges, choices, top_view
from demos.report.positions import TOOL
from demos.runtime.files import write_atomically

OUTCOMES = {True: ("good", "succeeded"), False: ("bad", "failed"), None: ("plain", "not judged")}
"""The style and name of each outcome of an episode."""
GOAL = "goal/position"
COLORS = 6
"""Colors of the page's style for kinds of things."""


def report(dataset: minari.MinariDataset, out: str | Path, *, videos: bool = True, progress: bool = False) -> Path:
    """Write one HTML page about a dataset that needs nothing else: no network, no other file.

    The same dataset gives the same page. What a dataset does not hold, such as positions in one of another package,
    is left out, and the page says so.

    Args:
        dataset: Any dataset of Minari.
        out: The page to write.
        videos: Film the best, the median and the worst episode.
        progress: Show bars.

    Returns:
        The path.

    Raises:
        ValueError: The dataset has no episodes.
    """
    if dataset.total_episodes == 0:
        raise ValueError(f"dataset {dataset.id} has no episodes to report on")
    contents = contents_of(dataset, progress=progress)
    films, no_films = _films(dataset, contents, videos=videos, progress=progress)
    content: dict[str, Any] = {
        "id": dataset.id,
        "description": str(dataset.storage.metadata.get("description") or ""),
        "headline": headline(dataset, contents),
        "episode_figures": _episode_figures(contents),
        "outcomes": [
            OUTCOMES[outcome] for outcome in OUTCOMES if outcome in {one.success for one in contents.episodes}
        ],
        "groups": groups(contents),
        "coverage": _coverage(contents),
        "paths": _paths(contents),
        "action_figures": _action_figures(contents),
        "contents": contents,
        "films": films,
        "no_films": no_films,
        "unknown_rate": DEFAULT_FPS if rate_of(dataset) is None else None,
        "facts": facts_of(dataset),
    }
    return write_atomically(Path(out), _page(content))


def _page(content: dict[str, Any]) -> str:
    templates = Environment(
        loader=PackageLoader("demos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = number_text
    style, script = (_source(templates, name) for name in ("report.css", "report.js"))
    # The page may run and show what it holds, and nothing from elsewhere.
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = templates.get_template("report.html.jinja")
    return page.render(content, policy=policy, style=Markup(style), script=Markup(script)) + "\n"  # noqa: S704  (our own files)


def _source(templates: Environment, name: str) -> str:
    assert templates.loader is not None  # noqa: S101  (it was given one)
    return templates.loader.get_source(templates, name)[0]


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _episode_figures(contents: Contents) -> list[dict[str, Any]]:
    """Histograms of what the episodes came to."""
    values: list[tuple[str, str, Callable[[EpisodeSummary], float | None], bool]] = [
        ("Returns", "sum of rewards", lambda one: one.total_return, False),
        ("Lengths", "steps", lambda one: one.steps, True),
        ("Steps to success", "steps until success that lasts", lambda one: one.steps_to_success, True),
    ]
    figures = []
    for title, label, value, is_whole in values:
        known = [
            (one, number) for one in contents.episodes if (number := value(one)) is not None and np.isfinite(number)
        ]
        if not known:
            continue
        edges = bin_edges([number for _, number in known], is_whole=is_whole)
        stacks = [
            Stack(style, name, np.histogram([number for one, number in known if one.success == outcome], edges)[0])
            for outcome, (style, name) in OUTCOMES.items()
        ]
        alt = f"Histogram of {title.lower()} over {len(known)} episodes"
        figures.append(
            {"title": title, "svg": bars(alt, label, "episodes", edges, stacks), "note": _same(known, label)}
        )
    return figures


def _same(known: Sequence[tuple[EpisodeSummary, float]], label: str) -> str:
    numbers = {number for _, number in known}
    return f"Every episode: {number_text(numbers.pop())} ({label})." if len(numbers) == 1 else ""


def _coverage(contents: Contents) -> dict[str, Any] | None:
    """Where things are at the start, seen from above."""
    if not contents.starts:
        return None
    series = []
    others = cycle(("c1", "c3", "c4", "c5"))
    for name, points in contents.starts.items():
        marker, style = {TOOL: ("round", "c0"), GOAL: ("cross", "c2")}.get(name) or ("square", next(others))
        flat = np.array(points)[:, :2]
        series.append(Series(contents.descriptions.get(name, name), style, marker, flat))
    count = len(contents.starts[TOOL])
    alt = f"The table from above, with the positions at the start of {count} episodes"
    areas = contents.areas
    return {"svg": top_view(alt, series, areas), "series": series, "areas": areas, "count": count}


def _paths(contents: Contents) -> dict[str, Any] | None:
    """What the page's script draws: points in millimeters, and by what they are colored."""
    if not contents.paths:
        return None
    shown = [contents.episodes[number] for number in sorted(contents.paths)]
    ways: dict[str, list[str]] = {"outcome": [OUTCOMES[one.success][1] for one in shown]}
    for kind in ("strategy", "demonstrator"):
        names = [str(getattr(one, kind)) for one in shown]
        if len(set(names)) > 1:
            ways[kind] = names
    colors = {name: style for style, name in OUTCOMES.values()}
    for names in ways.values():
        for number, name in enumerate(sorted(set(names) - colors.keys())):
            colors[name] = f"c{number % COLORS}"
    return {
        "episodes": [one.number for one in shown],
        "points": [(1000 * contents.paths[one.number]).round().astype(int).ravel().tolist() for one in shown],
        "ways": ways,
        "colors": colors,
    }


def _action_figures(contents: Contents) -> list[dict[str, Any]]:
    """How often which actions were recorded."""
    if contents.tally is None:
        return []
    if (counted := contents.tally.choices) is not None:
        svg = choices("How often each action was chosen", counted.names, counted.counts)
        note = (
            f"The {MOST_CHOICES} most frequent of {len(counted.names)}." if len(counted.names) > MOST_CHOICES else ""
        )
        return [{"title": "Choices", "svg": svg, "note": note}]
    return [
        {
            "title": one.name,
            "svg": bars(
                f"Histogram of {one.name}", "recorded action", "actions", one.edges, [Stack("bar", "", one.counts)]
            ),
            "note": "",
        }
        for one in contents.tally.numbers
    ]


def _films(
    dataset: minari.MinariDataset, contents: Contents, *, videos: bool, progress: bool
) -> tuple[list[tuple[str, EpisodeSummary, Clip]], str]:
    """Films the best, the median and the worst episode, or says why there are no films."""
    if not videos:
        return [], "No videos were asked for."
    ranking = contents.ranking
    wanted = {"best": ranking[0], "median": ranking[len(ranking) // 2], "worst": ranking[-1]}
    # Of one or two episodes, some are the same.
    distinct = {one.number: (name, one) for name, one in reversed(wanted.items())}
    chosen = sorted(distinct.values(), key=lambda pair: ranking.index(pair[1]))
    try:
        made = clips(dataset, [one.number for _, one in chosen], progress=progress)
    except (ValueError, RuntimeError) as error:
        return [], f"There are no pictures in the dataset, and it cannot be filmed: {error}."
    return [(name, one, clip) for (name, one), clip in zip(chosen, made, strict=True)], ""

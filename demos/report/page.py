"""Report on a dataset as one HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

import minari
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from demos.datasets.metadata import rate_of, require_dataset
from demos.report.clips import DEFAULT_FPS, Clip, clips
from demos.report.contents import Contents, EpisodeSummary, contents_of
from demos.report.facts import facts_of, groups, headline, number_text
from demos.report.figures import MAX_CHOICES, Series, Stack, bars, bin_edges, discrete_action_bars, top_view
from demos.report.positions import TOOL
from demos.runtime.files import write_atomically

OUTCOMES = {True: ("good", "succeeded"), False: ("bad", "failed"), None: ("plain", "not recorded")}
"""CSS class and name of each outcome of an episode."""
GOAL = "goal/position"
COLORS = 6
"""Number of colors of the page."""


def report(dataset: minari.MinariDataset, out: str | Path, *, videos: bool = True, progress: bool = False) -> Path:
    """Write a report on a dataset as one HTML file without external resources.

    The same dataset gives the same page. The page names what the dataset does not record, such as positions in
    third-party datasets.

    Args:
        dataset: Minari dataset.
        out: HTML file to write.
        videos: Add videos of the best, the median and the worst episode.
        progress: Show progress bars.

    Returns:
        Path of the file.

    Raises:
        ValueError: The dataset has no episodes.
    """
    require_dataset(dataset)
    if dataset.total_episodes == 0:
        raise ValueError(f"dataset {dataset.id} has no episodes; expected at least one")
    contents = contents_of(dataset, progress=progress)
    recorded_videos, no_videos = _videos(dataset, contents, videos=videos, progress=progress)
    content: dict[str, object] = {
        "id": dataset.id,
        "description": str(dataset.storage.metadata.get("description") or ""),
        "headline": headline(dataset, contents),
        "episode_figures": _episode_figures(contents),
        "outcomes": [
            OUTCOMES[outcome] for outcome in OUTCOMES if outcome in {episode.success for episode in contents.episodes}
        ],
        "groups": groups(contents),
        "coverage": _coverage(contents),
        "paths": _paths(contents),
        "action_figures": _action_figures(contents),
        "contents": contents,
        "videos": recorded_videos,
        "no_videos": no_videos,
        "unknown_rate": DEFAULT_FPS if rate_of(dataset) is None else None,
        "facts": facts_of(dataset),
    }
    return write_atomically(Path(out), _page(content))


def _page(content: dict[str, object]) -> str:
    templates = Environment(
        loader=PackageLoader("demos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["number"] = number_text
    style, script = (_source(templates, name) for name in ("report.css", "report.js"))
    # The page may only run and show its own content.
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = templates.get_template("report.html.jinja")
    return page.render(content, policy=policy, style=Markup(style), script=Markup(script)) + "\n"  # noqa: S704  (our own files)


def _source(templates: Environment, name: str) -> str:
    assert templates.loader is not None  # noqa: S101  (set above)
    return templates.loader.get_source(templates, name)[0]


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _episode_figures(contents: Contents) -> list[dict[str, str]]:
    """Return histograms of the results of the episodes."""
    values: list[tuple[str, str, Callable[[EpisodeSummary], float | None], bool]] = [
        ("Returns", "sum of rewards", lambda episode: episode.total_return, False),
        ("Lengths", "steps", lambda episode: episode.steps, True),
        ("Steps to success", "steps until success that lasts", lambda episode: episode.steps_to_success, True),
    ]
    figures = []
    for title, label, value, is_whole in values:
        known = [
            (episode, number)
            for episode in contents.episodes
            if (number := value(episode)) is not None and np.isfinite(number)
        ]
        if not known:
            continue
        edges = bin_edges([number for _, number in known], is_whole=is_whole)
        stacks = [
            Stack(
                style,
                name,
                np.histogram([number for episode, number in known if episode.success == outcome], edges)[0],
            )
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


def _coverage(contents: Contents) -> dict[str, object] | None:
    """Return the figure of initial positions from above."""
    if not contents.initial_positions:
        return None
    series = []
    others = cycle(("c1", "c3", "c4", "c5"))
    for name, points in contents.initial_positions.items():
        marker, style = {TOOL: ("round", "c0"), GOAL: ("cross", "c2")}.get(name) or ("square", next(others))
        flat = np.array(points)[:, :2]
        series.append(Series(contents.descriptions.get(name, name), style, marker, flat))
    count = len(contents.initial_positions[TOOL])
    alt = f"The table from above, with the positions at the start of {count} episodes"
    areas = contents.areas
    return {"svg": top_view(alt, series, areas), "series": series, "areas": areas, "count": count}


def _paths(contents: Contents) -> dict[str, object] | None:
    """Return the data of the 3-D figure: points in millimeters, and groupings by color."""
    if not contents.paths:
        return None
    episodes = [contents.episodes[number] for number in sorted(contents.paths)]
    groupings: dict[str, list[str]] = {"outcome": [OUTCOMES[episode.success][1] for episode in episodes]}
    for kind in ("strategy", "demonstrator"):
        names = [str(getattr(episode, kind)) for episode in episodes]
        if len(set(names)) > 1:
            groupings[kind] = names
    colors = {name: style for style, name in OUTCOMES.values()}
    for names in groupings.values():
        for number, name in enumerate(sorted(set(names) - colors.keys())):
            colors[name] = f"c{number % COLORS}"
    return {
        "episodes": [episode.number for episode in episodes],
        "points": [
            (1000 * contents.paths[episode.number]).round().astype(int).ravel().tolist() for episode in episodes
        ],
        "groupings": groupings,
        "colors": colors,
    }


def _action_figures(contents: Contents) -> list[dict[str, str]]:
    """Return histograms of the recorded actions."""
    if contents.action_histograms is None:
        return []
    if (counted := contents.action_histograms.choices) is not None:
        names, counts = counted.table()
        svg = discrete_action_bars("Counts of the discrete actions", names, counts)
        shown = min(len(names), MAX_CHOICES)
        note = f"The {shown} most frequent of {counted.size}." if shown < counted.size else ""
        return [{"title": "Discrete actions", "svg": svg, "note": note}]
    return [
        {
            "title": histogram.name,
            "svg": bars(
                f"Histogram of {histogram.name}",
                "recorded action",
                "actions",
                histogram.edges,
                [Stack("bar", "", histogram.counts)],
            ),
            "note": "",
        }
        for histogram in contents.action_histograms.numbers
    ]


def _videos(
    dataset: minari.MinariDataset, contents: Contents, *, videos: bool, progress: bool
) -> tuple[list[tuple[str, EpisodeSummary, Clip]], str]:
    """Return videos of the best, the median and the worst episode, or the reason why there are none."""
    if not videos:
        return [], "Videos were not requested."
    ranking = contents.ranking
    selection = {"best": ranking[0], "median": ranking[len(ranking) // 2], "worst": ranking[-1]}
    # With one or two episodes, some are the same.
    distinct = {episode.number: (name, episode) for name, episode in reversed(selection.items())}
    chosen = sorted(distinct.values(), key=lambda pair: ranking.index(pair[1]))
    try:
        rendered = clips(dataset, [episode.number for _, episode in chosen], progress=progress)
    except (ValueError, RuntimeError) as error:
        return [], f"The dataset has no images and cannot be rendered: {error}."
    return [(name, episode, clip) for (name, episode), clip in zip(chosen, rendered, strict=True)], ""

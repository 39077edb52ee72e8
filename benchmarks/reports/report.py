"""Reports of a results folder: ``report.md`` and ``report.html``, made from its files alone."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import Environment, PackageLoader, select_autoescape

from agents.registry import ARCHIVE
from agents.types import JsonObject
from benchmarks.analysis.expectations import EXPECTATIONS, suite_figures, unexpected
from benchmarks.analysis.ranking import ranking
from benchmarks.analysis.statistics import Estimate
from benchmarks.analysis.tables import (
    Row,
    conditions_of,
    demonstrations_text,
    environment_order,
    names,
    overviews,
    rows,
    success_by_condition,
    success_by_environment,
)
from benchmarks.analysis.verbs import success_by_verb
from benchmarks.reports import plots
from benchmarks.reports.adaptations import adaptations
from benchmarks.reports.figures import figures
from benchmarks.reports.labels import has_own_seeds, label_descriptions
from benchmarks.runner.episode_commands import read_commands, write_commands
from benchmarks.runner.results import (
    RECORDED_EPISODES,
    CellResult,
    failure_file,
    outdated_by,
    read_results,
    video_file,
    video_info_file,
)
from benchmarks.suite.conditions import AS_TRAINED, RECORDED_PUSHES
from benchmarks.suite.suite import Cell
from benchmarks.suite.suite_file import read_suite, suite_names
from demos.runtime.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Content: TypeAlias = dict[str, Any]
"""Values of a template by name."""
IMAGES: dict[str, tuple[str, Callable[[list[Row], list[str]], Figure | None]]] = {
    "success.png": ("Success rates with their intervals", lambda table, _: plots.success(table)),
    "data_efficiency.png": (
        "Success against the number of demonstrations",
        lambda table, conditions: plots.data_efficiency(table, conditions[0]),
    ),
    "robustness.png": ("Success under each condition", plots.robustness),
}
"""Images of the Markdown report: description, and function of rows and conditions that draws it."""
MARKDOWN, HTML = "report.md", "report.html"
MAX_REASON_LENGTH = 300
"""Longest reason of a failure in a report, characters."""
MAX_FAILED_SEEDS = 20
"""Largest number of failed episodes whose seeds a report lists."""


@dataclass(frozen=True)
class Video:
    """A video of an episode.

    Attributes:
        environment: An id.
        which: ``median`` or ``worst``.
        file: Path relative to the results folder.
        seed: Seed of the episode.
        success: True if it ended in success.
    """

    environment: str
    which: str
    file: str
    seed: int
    success: bool


def report(folder: str | Path) -> list[Path]:
    """Write ``report.md``, its images and ``report.html`` into a results folder.

    The commands of the episodes are written, too, where these differ: see :mod:`benchmarks.runner.episode_commands`.
    The HTML page embeds plots and videos: it can be sent as one file.

    Returns:
        The files.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A result is damaged.
    """
    base = Path(folder)
    suite, results = read_results(base)
    commands = write_commands(base, results)
    content = _content(base, suite, results)
    table, conditions = content["rows"], content["conditions"]
    images = [plots.png(partial(draw, table, conditions), base / name) for name, (_, draw) in IMAGES.items()]
    drawn = [image for image in images if image is not None]
    content["images"] = {image.name: IMAGES[image.name][0] for image in drawn}
    written = [*([] if commands is None else [commands]), *drawn]
    written.append(write_atomically(base / MARKDOWN, _render(MARKDOWN, content)))
    content["figures"] = figures(table, results, content["rankings"], conditions)
    content["played"] = {video.file: _data_uri(base, video.file, "video/mp4") for video in content["videos"]}
    written.append(write_atomically(base / HTML, _render(HTML, content)))
    return written


def markdown(folder: str | Path) -> str:
    """Return the text that :func:`report` writes into ``report.md``; nothing is written.

    Args:
        folder: A results folder that holds the images of its report.

    Raises:
        FileNotFoundError: There are no results.
        ValueError: A result is damaged.
    """
    base = Path(folder)
    content = _content(base, *read_results(base))
    content["images"] = {name: shows for name, (shows, _) in IMAGES.items() if (base / name).is_file()}
    return _render(MARKDOWN, content)


def _render(name: str, content: Content) -> str:
    return _templates().get_template(f"{name}.jinja").render(content)


def _content(base: Path, suite: JsonObject, results: list[CellResult]) -> Content:
    """Return what both pages show."""
    table = rows(results)
    by_condition = _conditions(suite, table)
    overviews_as_trained = overviews([row for row in table if row.condition == by_condition["conditions"][0]])
    ranked = [each for each in map(ranking, overviews_as_trained) if len(each.ranks) > 1]
    videos = recorded_videos(base, suite, results)
    return {
        "suite": suite,
        "rows": table,
        "names": names(table),
        "overviews": overviews_as_trained,
        **by_condition,
        "by_verb": success_by_verb(results, table, read_commands(base), by_condition["conditions"]),
        "rankings": ranked,
        "videos": videos,
        "versions": _versions(results),
        "outdated": _outdated(results),
        **_progress(suite, results),
        "failed": _failed(base, suite, results),
        "failed_seeds": _failed_seeds(table, results),
        "max_failed_seeds": MAX_FAILED_SEEDS,
        "unexpected": unexpected_lines(suite, table),
        "seeds": _seeds(suite),
        "label_descriptions": label_descriptions(suite),
        "adaptations": adaptations(results),
        "has_own_seeds": has_own_seeds(suite),
        "command": command(suite),
        "color": plots.color,
    }


def _progress(suite: JsonObject, results: list[CellResult]) -> Content:
    """Return the numbers of results that are there and planned, and the agents, or environments, that lack some."""
    cells = [Cell(**cell) for cell in suite["cells"]]
    done = {result.cell.name for result in results}
    lacking = [cell for cell in cells if cell.name not in done]
    several = len({cell.label for cell in cells}) > 1
    return {
        "done": len(results),
        "planned": len(cells),
        "lacking": list(dict.fromkeys(cell.label if several else cell.environment for cell in lacking)),
        "pending": {(cell.label, cell.environment) for cell in lacking},
    }


def _failed(base: Path, suite: JsonObject, results: list[CellResult]) -> list[tuple[str, str]]:
    """Return the cells that failed: name and last line of the traceback."""
    done = {result.cell.name for result in results}
    failures = []
    for cell in (Cell(**cell) for cell in suite["cells"]):
        path = base / failure_file(cell.name)
        if cell.name not in done and path.is_file() and path.resolve().is_relative_to(base.resolve()):
            lines = path.read_text(errors="replace").strip().splitlines()
            failures.append((cell.name, lines[-1][:MAX_REASON_LENGTH] if lines else "no reason given"))
    return failures


def unexpected_lines(suite: JsonObject, table: list[Row]) -> list[str]:
    """Return a line for each figure of a shipped suite that is not as expected.

    Args:
        suite: Suite that :func:`benchmarks.runner.results.read_results` returns.
        table: Rows of its results.
    """
    expected = EXPECTATIONS.get(suite["name"], ())
    return unexpected(expected, suite_figures(table)) if expected and _is_shipped(suite) else []


def command(suite: JsonObject) -> str:
    """Return the command that runs the suite; the path of a user's own suite is not recorded."""
    words = ["python -m benchmarks run", suite["name"] if _is_shipped(suite) else "SUITE.yaml"]
    words += [f"--agent {shlex.quote(agent)}" for agent in suite["extra_agents"]]
    if any(entry["agent"].endswith(ARCHIVE) for entry in suite["agents"]):
        words.append("--allow-pickle")
    return " ".join(words)


def _is_shipped(suite: JsonObject) -> bool:
    """Return True if it is a suite of the package, apart from its note and extra agents."""
    if suite["name"] not in suite_names():
        return False
    shipped = read_suite(suite["name"]).model_dump(mode="json")
    agents = [entry for entry in suite["agents"] if entry["agent"] not in suite["extra_agents"]]
    return all(
        shipped[part] == value
        for part, value in {**suite, "agents": agents}.items()
        if part not in ("note", "cells", "extra_agents")
    )


def recorded_videos(base: Path, suite: JsonObject, results: list[CellResult]) -> list[Video]:
    """Return the videos of cells that have results."""
    if suite["videos"] is None:
        return []
    videos = []
    for result in sorted(results, key=lambda result: environment_order(result.cell.environment)):
        cell = result.cell
        info = base / video_info_file(cell)
        if cell.label != suite["videos"]["agent"] or not info.is_file():
            continue
        try:
            recorded = json.loads(info.read_text())["episodes"]
            episodes = [
                (which, int(recorded[which]["seed"]), recorded[which]["success"] is True)
                for which in RECORDED_EPISODES
            ]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{info} is damaged ({error!r}): remove it and run the suite again") from error
        videos += [
            Video(cell.environment, which, video_file(cell, which), seed, success)
            for which, seed, success in episodes
            if (base / video_file(cell, which)).is_file()
        ]
    return videos


def _data_uri(base: Path, file: str, kind: str) -> str:
    path = base / file
    if not path.resolve().is_relative_to(base.resolve()):
        # A page must not show files from outside of its folder.
        raise ValueError(f"{path} leads out of its folder: remove it and run the suite again")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _failed_seeds(table: list[Row], results: list[CellResult]) -> list[tuple[str, str, list[int]]]:
    """Return environment, name and seeds of failed episodes, where they are few, of agents that do not learn."""
    seeds = {
        result.cell.group: [episode.seed for episode in result.evaluation.episodes if not episode.success]
        for result in results
    }
    return [
        (row.environment, name, seeds[row.group])
        for row, name in zip(table, names(table), strict=True)
        if row.trainings is None and 0 < len(seeds[row.group]) <= MAX_FAILED_SEEDS
    ]


def _conditions(suite: JsonObject, table: list[Row]) -> Content:
    """Return the names of the conditions, and the success under each if there are several.

    ``matrices`` has a table for each agent, unless there is one environment and several agents. ``by_condition``
    compares several agents in each environment.
    """
    conditions = conditions_of(table, suite)
    several_conditions = len(conditions) > 1
    several_agents = len(set(names(table, conditions=False))) > 1
    several_environments = len({row.environment for row in table}) > 1
    has_matrices = several_conditions and (several_environments or not several_agents)
    return {
        "conditions": conditions,
        "matrices": success_by_environment(table, conditions) if has_matrices else [],
        "by_condition": success_by_condition(table, conditions) if several_conditions and several_agents else [],
        "several_agents": several_agents or not several_conditions,
    }


def markdown_table(folder: str | Path) -> str:
    """Return the table of a results folder in Markdown."""
    _, results = read_results(folder)
    table = rows(results)
    return _templates().get_template("table.md.jinja").render(rows=table, names=names(table)).strip()


def markdown_conditions(folder: str | Path) -> str:
    """Return the success under each condition in Markdown; empty for one condition.

    There is a table for each agent in several environments, and one for each environment of several agents.
    """
    suite, results = read_results(folder)
    return _render("conditions.md", {**_conditions(suite, rows(results)), **_progress(suite, results)}).strip()


def markdown_overview(folder: str | Path) -> str:
    """Return the success of all agents in a results folder in Markdown, as the README shows it."""
    suite, results = read_results(folder)
    table = rows(results)
    content = {"overviews": overviews(table), **_conditions(suite, table), **_progress(suite, results)}
    return _render("overview.md", content).strip()


def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("benchmarks.reports"),
        autoescape=select_autoescape(enabled_extensions=("html.jinja", "md.jinja")),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        percent=_percent, number=_number, demonstrations=demonstrations_text, estimate=_estimate, text=_text
    )
    return templates


def _versions(results: list[CellResult]) -> list[str]:
    """Return each combination of libraries that the results were made with, and the versions of our parts."""
    libraries = {_listed(result.provenance.libraries) for result in results}
    parts: dict[str, set[int]] = {}
    for result in results:
        for name, version in result.provenance.versions.items():
            shown = "pushes" if name == RECORDED_PUSHES else name
            parts.setdefault(shown, set()).add(version)
    versions = {name: " and ".join(map(str, sorted(found))) for name, found in sorted(parts.items())}
    return [*sorted(libraries), _listed(versions)]


def _listed(versions: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _outdated(results: list[CellResult]) -> list[str]:
    """Return a line for each agent and condition whose results are outdated, with the changes."""
    outdated: dict[tuple[str, str], list[str]] = {}
    for result in results:
        changes = "; ".join(outdated_by(result))
        if changes:
            cell = result.cell
            condition = "" if cell.condition == AS_TRAINED else f", {cell.condition}"
            outdated.setdefault((changes, f"{cell.label}{condition}"), []).append(cell.environment)
    return [
        f"{what} in {', '.join(dict.fromkeys(environments))} ({changes})"
        for (changes, what), environments in outdated.items()
    ]


def _seeds(suite: JsonObject) -> str:
    first, episodes = suite["evaluation"]["first_seed"], suite["evaluation"]["episodes"]
    return f"{first} to {first + episodes - 1}"


def _text(name: str) -> str:
    """Return a name with escaped Markdown."""
    return re.sub(r"([\\`*\[\]])", r"\\\1", name)


def _percent(rate: float) -> str:
    return f"{100 * rate:.1f}%"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.point:.1f}% ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

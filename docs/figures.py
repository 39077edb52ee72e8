"""Tables of the committed results: suites and speeds."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

import lam_envs
from benchmarks.analysis.expectations import EXPECTATIONS, file_figures, unexpected
from benchmarks.analysis.tables import Row, demonstrations_text, rows
from benchmarks.reports.report import (
    IMAGES,
    markdown_conditions,
    markdown_overview,
    markdown_table,
    unexpected_lines,
)
from benchmarks.runner.results import SUITE_FILE, CellResult, read_results
from benchmarks.suite.conditions import AS_TRAINED
from docs.tables import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
CORE = RESULTS / "core"
SUITES = {
    "core": ("Agents", "Success of each agent with its default settings."),
    "data": ("Number of demonstrations", "Success of agents that learn from fewer or more demonstrations."),
    "quality": ("Demonstrators", "Success of agents that learn from demonstrators other than the expert."),
    "sequence": (
        "Sequence policies",
        "Success of `bc-rnn`, which remembers observations, and of `diffusion` and `act`, which predict chunks of "
        "actions, compared with `bc`, on 100 demonstrations of novices, of all demonstrators, of the expert and, "
        "except `act`, of the noisy expert (one training run each).",
    ),
    "people": (
        "Learning from people",
        "Success of agents that learn from demonstrations made from one synthetic recording of a hand, compared with "
        "those of an expert and of novices. For `dagger`, an expert labels all visited states; for `hg-dagger`, an "
        "expert takes over as a person does. These two and `diffusion` have one training each. `bc at full speed` "
        "learns from the same recording, imitated as fast as the robot can move.",
    ),
    "observations": (
        "Learning from observations",
        "Success of agents that learn from demonstrations without actions (`bco`, `gaifo`), compared with those that "
        "learn from the same demonstrations with actions (`bc`, `gail`).",
    ),
    "ablations": (
        "Parts of diffusion",
        "Success of `diffusion` with one part changed, and of `act`, on 100 demonstrations of all demonstrators.",
    ),
    "robustness": (
        "Robustness",
        "Success of trained agents under conditions, most of which they were not trained for. `lam/generalist` is "
        "one model for ten tasks. It was trained with three robots, including the xArm 6 of the condition "
        "`another arm`.",
    ),
    "adaptation": (
        "Adaptation",
        "Success of `bc` after fine-tuning under a delay of 100 ms or with a longer tool, in the changed and in the "
        "original environment, and of `bc-rnn` without fine-tuning (one training each). If the held-out check "
        "refuses an adaptation, the agent stays as it was.",
    ),
    "randomized": (
        "Randomized training",
        "Success of `bc`, and of `diffusion` with two observations, under conditions, after training on noisy "
        "demonstrations in randomized environments (one training run each).",
    ),
    "vision": (
        "Policies that learn from images",
        "Success of `bc` and `keypoints` with two cameras of 84x84 pixels and features of the robot, without "
        "positions of objects (one to three training runs each). `keypoints` also learns from object positions that "
        "the simulator recorded.",
    ),
    "scenes": (
        "Drawer, conveyor, clutter and table",
        "Success of `bc`, which reads no instruction, on 200 demonstrations.",
    ),
    "generalist": (
        "One model for all tasks and robots",
        "Success of one training of `lam` on six tasks with three robots, compared with one MLP over all features, "
        "and of one on ten tasks, which also executes all 8 actions of each chunk. Except in Drawer and Table, the "
        "scenes reveal what to do: this does not measure language.",
    ),
    "generalist-pixels": (
        "One model from images",
        "Success of one training of `lam` on seven tasks, Table among them, with two cameras of 84x84 pixels, the "
        "features of the robot and the instruction, without the positions of objects; and of one that estimates "
        "these positions from the images.",
    ),
    "language": (
        "Language",
        "Success of `lam` in `LamTable-v0`, where only the instruction specifies the goal: with the wording and the "
        "commands of the training, with others, and with the instruction of another command. One training in Table "
        "and one on ten tasks, also with a frozen sentence encoder.",
    ),
    "experts": ("Experts", "Success of the scripted experts, by task and robot."),
    "experts-conditions": (
        "Experts under other conditions",
        "Success of the experts with the Panda under other controls, randomization, noise, delay and pushes.",
    ),
    "experts-clutter": (
        "Expert of Clutter",
        "Success of the expert of `LamClutter-v0` with objects of the training set and held-out ones.",
    ),
    "experts-clutter-conditions": (
        "Expert of Clutter under other conditions",
        "Success of the expert of `LamClutter-v0` with other robots, physics and noise.",
    ),
    "experts-table": ("Expert of Table", "Success of the expert of `LamTable-v0` by verb."),
    "experts-chains": (
        "Expert of Table in chains",
        "Success of the expert in five commands in turn, by robot.",
    ),
}
"""Title and subject of the suites whose results may be published."""
LEADERBOARD = "leaderboard"
"""Folder of the leaderboard in the site."""
AGENT_RESULT_COLUMNS = (
    "environment",
    "label",
    "demonstrations",
    "training runs",
    "success, 95% interval",
    "95% over training runs",
    "training time, s (CPU)",
)
"""Titles of the table of an agent's results."""
DATASETS = RESULTS / "datasets.json"
RUNNING = RESULTS / "running.json"
REMOTE = RESULTS / "remote.json"
VECTOR = RESULTS / "vector.json"
LATENCY = RESULTS / "latency.json"
PERCENT = r"(\d[\d.]*%)"
INTERVAL = re.compile(rf"{PERCENT} \({PERCENT} to {PERCENT}\)")
INTERVAL_COLUMN = re.compile(rf"\| {PERCENT} \| {PERCENT} to {PERCENT} \|")
INTERVAL_HEAD = re.compile(r"^(\|.*)\| success \| 95% interval (\|.*)\n\|---", re.MULTILINE)


def rate(success: float, low: float, high: float) -> str:
    """Return a success rate with its interval small beneath it."""
    return _beneath(f"{100 * success:.1f}%", f"{100 * low:.1f}%", f"{100 * high:.1f}%")


def _beneath(success: str, low: str, high: str) -> str:
    return f"{success}<br><sub>{low} to {high}</sub>"


def narrow(markdown: str) -> str:
    """Return tables with each interval beneath its rate, not beside it or in a column of its own."""
    markdown = INTERVAL_HEAD.sub(r"\1| success, 95% interval \2\n", markdown)
    markdown = INTERVAL_COLUMN.sub(lambda found: f"| {_beneath(*found.groups())} |", markdown)
    return INTERVAL.sub(lambda found: _beneath(*found.groups()), markdown)


def results() -> str:
    """Return the page of the committed results."""
    parts = [
        "# Results\n\nThe tables are written from committed files. `make benchmark`, `make throughput`, "
        "`make data-speed`, `make running-cost`, `make latency`, `make remote-speed` and `make vector-speed` "
        "measure them again.",
        f'<p>The <a href="{LEADERBOARD}/index.html">leaderboard</a> shows all agents, environments and conditions in '
        "one table with filters, and the episodes, settings and versions of each cell.</p>",
        *_unexpected(),
        *(_suite(folder) for folder in published()),
        "## Speed",
        speeds(lam_envs.ENV_IDS),
        "## Demonstrations",
        datasets(),
        "## Overhead of the runner",
        running(),
        "## Inference latency",
        latency(),
        "## Overhead of remote policies",
        remote(),
        "## Speed of vector environments",
        vector(),
    ]
    return "\n\n".join(parts) + "\n"


def _unexpected() -> list[str]:
    """Return a list of the figures that are not as expected; empty if all are."""
    lines = []
    for folder in published():
        suite, found = read_results(folder)
        lines += [f"{folder.name}: {line}" for line in unexpected_lines(suite, rows(found))]
    for name in EXPECTATIONS:
        file = RESULTS / f"{name}.json"
        if file.is_file():
            figures = file_figures(json.loads(file.read_text()))
            lines += [f"{name}: {line}" for line in unexpected(EXPECTATIONS[name], figures)]
    return ["\n".join(f"- unexpected: {line}" for line in lines)] if lines else []


def published() -> list[Path]:
    """Return the folders of the suites whose results are committed."""
    return [RESULTS / name for name in SUITES if (RESULTS / name / SUITE_FILE).is_file()]


def _suite(folder: Path) -> str:
    heading, subject = SUITES[folder.name]
    plots = [
        f"![{caption}](results/{folder.name}/{name})"
        for name, (caption, _) in IMAGES.items()
        if (folder / name).is_file()
    ]
    parts = [
        f"## {heading}",
        f"{subject} Success is measured at the last step of an episode, with its 95% interval over episodes. "
        f"`make benchmark SUITE={folder.name}` measures it again.",
        *plots,
        narrow(markdown_conditions(folder) or markdown_overview(folder)),
        f'<p>The <a href="{folder.name}.html">full report</a> has rankings, learning curves, performance profiles '
        "and videos where the suite has them.</p>",
        narrow(markdown_table(folder)),
    ]
    return "\n\n".join(parts)


def overview() -> str:
    """Return the table of the README: the success of all agents with continuous actions."""
    return narrow(markdown_overview(CORE)).partition("\n\n")[0]


def reports() -> str:
    """Return the list of the README of published suites: the subject of each, and the link to its report."""
    lines = [
        f"- [{SUITES[folder.name][0]}](results/{folder.name}/report.md): {_started_small(SUITES[folder.name][1])}"
        for folder in published()
    ]
    return "\n".join(textwrap.fill(line, 118, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _started_small(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def agent_results(name: str) -> str:
    """Return the committed results of an agent under no changed condition, by suite; empty if there are none.

    Args:
        name: Name of the agent in the registry.
    """
    parts = []
    for folder in published():
        suite, own = _results_by_agent(folder)
        if name not in own:
            continue
        episodes, report = suite["evaluation"]["episodes"], f'<a href="../{folder.name}.html">full report</a>'
        parts += [
            f"### {SUITES[folder.name][0]}",
            f"<p>{episodes} unseen episodes of each training run; {report}.</p>",
            table(AGENT_RESULT_COLUMNS, [_line(row) for row in rows(own[name])]),
        ]
    if not parts:
        return ""
    note = (
        "The last checkpoint of each training run is evaluated, without a changed condition. The interval beneath "
        "the success rate is over episodes, for these training runs. The interval over training runs is of the "
        "interquartile mean (stratified bootstrap). Training time is wall time, and CPU time in parentheses. "
        "`make benchmark` measures this again."
    )
    return "\n\n".join([note, *parts])


def _line(row: Row) -> list[str]:
    """Return the line of a table of ``AGENT_RESULT_COLUMNS``."""
    runs = row.over_runs
    return [
        row.environment,
        row.agent,
        demonstrations_text(row),
        "-" if row.trainings is None else str(row.trainings),
        rate(row.success_rate, row.low, row.high),
        "-" if runs is None else f"{100 * runs.low:.1f}% to {100 * runs.high:.1f}%",
        "-" if row.training_seconds is None else f"{row.training_seconds:.0f} ({row.training_cpu_seconds:.0f})",
    ]


@cache
def _results_by_agent(folder: Path) -> tuple[dict[str, Any], dict[str, list[CellResult]]]:
    """Return a suite and the results of its agents without changed conditions, by the agents' names."""
    suite, found = read_results(folder)
    own: dict[str, list[CellResult]] = {}
    for result in found:
        if result.cell.condition == AS_TRAINED:
            own.setdefault(result.cell.agent, []).append(result)
    return suite, own


def speeds(env_ids: Container[str], *, simulated: bool = False) -> str:
    """Return the table of the speeds of some environments, and the table of ratios.

    Args:
        env_ids: Ids of the environments.
        simulated: Show only ratios of the same simulated task, without images and worker processes.
    """
    figures = json.loads((ROOT / "results" / "throughput.json").read_text())
    machine, versions = figures["machine"], figures["versions"]
    rates = [
        [
            f"`{speed['env_id']}`",
            f"{speed['steps_per_second']:,.0f}",
            f"{speed['reset_steps']:.2f}",
            f"{100 * speed['physics_share']:.0f}%",
        ]
        for speed in figures["speeds"]
        if speed["env_id"] in env_ids
    ]
    ratios = [
        [
            pair["ours"],
            pair["against"],
            f"{pair['ratio']:.2f} ({pair['low']:.2f} to {pair['high']:.2f})",
            "-" if pair["simulated_time_ratio"] is None else f"{pair['simulated_time_ratio']:.2f}",
        ]
        for pair in figures["comparisons"]
        if not simulated or pair["simulated_time_ratio"] is not None
    ]
    lines = [
        table(["environment", "steps/s", "reset cost, steps", "physics share of a step"], rates),
        "",
        table(["steps/s of", "relative to", "ratio (range of rounds)", "ratio of real-time factors"], ratios),
        "",
        f"{machine['processor']}, {machine['cores']} cores; {figures['rounds']} rounds of {figures['steps']} steps; "
        f"{_others(versions)}.",
    ]
    return "\n".join(lines)


def datasets() -> str:
    """Return the table of the time and memory that recording and reading demonstrations take."""
    return _measured(json.loads(DATASETS.read_text()))


def running() -> str:
    """Return the table of the overhead of the runner of suites."""
    return _measured(json.loads(RUNNING.read_text()))


def latency() -> str:
    """Return the table of the inference latency of agents."""
    return _measured(json.loads(LATENCY.read_text()))


def remote() -> str:
    """Return the table of the overhead of remote policies."""
    return _measured(json.loads(REMOTE.read_text()))


def vector() -> str:
    """Return the table of the speed of vector environments."""
    return _measured(json.loads(VECTOR.read_text()))


def _measured(content: dict[str, Any]) -> str:
    machine = content["machine"]
    rows = [
        [
            figure["what"],
            f"{_number(figure['value'])} {figure['unit']}".rstrip(),
            "-" if len(figure["rounds"]) == 1 else " to ".join(_number(f(figure["rounds"])) for f in (min, max)),
        ]
        for figure in content["figures"]
    ]
    return "\n".join(
        [
            table(["measured", "median", "range of rounds"], rows),
            "",
            f"{machine['processor']}, {machine['cores']} cores; {content['rounds']} rounds; "
            f"{_others(content['versions'])}.",
        ]
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _others(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in versions if name not in ("lam_envs", "code", "python"))

"""The tables of the committed results: agents, experts, speeds."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import lam_envs
from benchmarks.report import markdown_overview, markdown_table
from benchmarks.results import read_results
from benchmarks.tables import rows, shown
from demos.intervals import wilson_interval
from docs.tables import table, title

ROOT = Path(__file__).parents[1]
CORE = ROOT / "results" / "core"
PAGE = "core.html"
"""Of the site: the whole report of the agents."""
EXPERTS = ROOT / "results" / "experts.json"
DATASETS = ROOT / "results" / "datasets.json"


def results() -> str:
    """Returns the page of the committed results."""
    parts = [
        "# Results\n\nEvery figure is of a file that `make benchmark`, `make experts`, `make throughput` or "
        "`make data-speed` writes.",
        "## Agents",
        markdown_overview(CORE),
        "Success at the last step, with its 95% Wilson interval over all episodes of all trainings.",
        "![Success of each agent in each environment](results/success.png)",
        f'<p><a href="{PAGE}">All of it on one page</a>, with ranking, curves, profiles and videos.</p>',
        markdown_table(CORE),
        "## Experts",
        experts(json.loads(EXPERTS.read_text())) if EXPERTS.exists() else "Not measured on every robot yet.",
        "## Speed",
        speeds(lam_envs.ENV_IDS),
        "## Demonstrations",
        datasets(),
    ]
    return "\n\n".join(parts) + "\n"


def of_agent(name: str) -> str:
    """Returns the table of the committed results of an agent, in whatever ways it was set; nothing if there are none.

    Args:
        name: Of the registry.
    """
    suite, results = read_results(CORE)
    own = rows([result for result in results if result.cell.agent == name])
    if not own:
        return ""
    lines = [
        [
            row.environment,
            row.agent,
            shown(row),
            "-" if row.trainings is None else str(row.trainings),
            f"{100 * row.success_rate:.1f}%",
            f"{100 * row.low:.1f}% to {100 * row.high:.1f}%",
            "-" if row.over_runs is None else f"{100 * row.over_runs.low:.1f}% to {100 * row.over_runs.high:.1f}%",
            "-" if row.training_seconds is None else f"{row.training_seconds:.0f} ({row.training_cpu_seconds:.0f})",
        ]
        for row in own
    ]
    head = [
        "environment",
        "called",
        "demonstrations",
        "trainings",
        "success",
        "95%, episodes",
        "95%, trainings",
        "training, s (on the processor)",
    ]
    episodes = suite["evaluation"]["episodes"]
    told = (
        f"Of the last checkpoint, in {episodes} unseen episodes a training; intervals are Wilson's over all "
        "episodes, and of the interquartile mean over trainings (stratified bootstrap). A training takes the wall "
        "time given, and that time on one core of the processor. `make benchmark` measures this again."
    )
    return f"{table(head, lines)}\n\n{told}"


def experts(figures: dict[str, Any]) -> str:
    """Returns the table of the experts' success.

    Args:
        figures: ``rows``, each with ``task``, ``robot``, ``condition``, ``successes`` and ``episodes``.
    """
    lines = []
    for row in figures["rows"]:
        low, high = wilson_interval(row["successes"], row["episodes"])
        rate = row["successes"] / row["episodes"]
        lines.append(
            [
                title(row["task"]),
                f"`{row['robot']}`",
                row["condition"],
                f"{row['episodes']:,}",
                f"{100 * rate:.2f}%",
                f"{100 * low:.1f}% to {100 * high:.1f}%",
            ]
        )
    return table(["task", "robot", "condition", "episodes", "success", "95% interval"], lines)


def speeds(env_ids: Container[str]) -> str:
    """Returns the tables of the measured speeds of some environments, and of all ratios."""
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
    ]
    lines = [
        table(["environment", "steps/s", "a reset in steps", "physics share of a step"], rates),
        "",
        table(["rate of", "over the rate of", "ratio (range of rounds)", "simulated seconds a second"], ratios),
        "",
        f"{machine['processor']}, {machine['cores']} cores; {figures['rounds']} rounds of {figures['steps']} steps; "
        f"{_others(versions)}.",
    ]
    return "\n".join(lines)


def datasets() -> str:
    """Returns the table of how fast demonstrations are recorded and read, and the memory that takes."""
    content = json.loads(DATASETS.read_text())
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

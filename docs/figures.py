"""The tables of the committed results: agents, experts, speeds."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

import lam_envs
from benchmarks.report import markdown_table
from demos.intervals import wilson_interval
from docs.tables import table, title

ROOT = Path(__file__).parents[1]
CORE = ROOT / "results" / "core"
EXPERTS = ROOT / "results" / "experts.json"
DATASETS = ROOT / "results" / "datasets.json"


def results() -> str:
    """Returns the page of the committed results."""
    parts = [
        "# Results\n\nEvery figure is of a file that `make benchmark`, `make experts`, `make throughput` or "
        "`make data-speed` writes.",
        "## Agents",
        markdown_table(CORE),
        "![Success of each agent in each environment](results/success.png)",
        "## Experts",
        experts(json.loads(EXPERTS.read_text())) if EXPERTS.exists() else "Not measured on every robot yet.",
        "## Speed",
        speeds(lam_envs.ENV_IDS),
        "## Demonstrations",
        datasets(),
    ]
    return "\n\n".join(parts) + "\n"


def experts(figures: dict[str, Any]) -> str:
    """Returns the table of the experts' success.

    Args:
        figures: ``rows``, each with ``task``, ``robot``, ``condition``, ``successes`` and ``episodes``.
    """
    rows = []
    for row in figures["rows"]:
        low, high = wilson_interval(row["successes"], row["episodes"])
        rate = row["successes"] / row["episodes"]
        rows.append(
            [
                title(row["task"]),
                f"`{row['robot']}`",
                row["condition"],
                f"{row['episodes']:,}",
                f"{100 * rate:.2f}%",
                f"{100 * low:.1f}% to {100 * high:.1f}%",
            ]
        )
    return table(["task", "robot", "condition", "episodes", "success", "95% interval"], rows)


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

"""Measure the throughput of environments, and show it in tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import track
from rich.table import Table

from benchmarks.speed import throughput
from demos.runtime.console import console
from demos.runtime.files import write_json


def show_speeds(env_ids: Sequence[str], steps: int, rounds: int, out: Path | None, *, compared: bool) -> None:
    """Measure the speed of environments, show it in tables, and write it to a file.

    Args:
        env_ids: Ids of the environments.
        steps: Steps of a round.
        rounds: Number of rounds; the median is shown.
        out: JSON file to write; None for none.
        compared: Also measure ratios to other projects that are installed.
    """
    speeds = [
        throughput.measure(env_id, steps=steps, rounds=rounds)
        for env_id in track(env_ids, "measuring", transient=True)
    ]
    table = Table("environment", "steps/s", "resets/s", "reset cost, steps", "physics share of a step", box=None)
    for one in speeds:
        table.add_row(
            one.env_id,
            f"{one.steps_per_second:,.0f}",
            f"{one.resets_per_second:,.0f}",
            f"{one.reset_steps:.2f}",
            f"{100 * one.physics_share:.1f}%",
        )
    console.print(table)
    pairs = []
    if compared:
        running = throughput.comparisons(steps=steps, rounds=rounds)
        pairs = list(track(running, "comparing", total=throughput.comparison_count(), transient=True))
        ratios = Table("measured", "in alternation with", "ratio", "range of rounds", "real-time factor", box=None)
        for pair in pairs:
            time_ratio = "-" if pair.simulated_time_ratio is None else f"{pair.simulated_time_ratio:.2f}"
            ratios.add_row(
                pair.ours, pair.against, f"{pair.ratio:.2f}", f"{pair.low:.2f} to {pair.high:.2f}", time_ratio
            )
        console.print(ratios)
        if not throughput.installed_others():
            console.print("no other project is installed: pip install 'lam-envs[comparison]' to compare with them")
    if out is not None:
        written = write_json(out, throughput.as_json(speeds, pairs, steps=steps, rounds=rounds))
        console.print(f"wrote {written}", soft_wrap=True)

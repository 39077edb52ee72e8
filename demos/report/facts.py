"""Numbers and text of a report: the headline, results by demonstrator and strategy, and the provenance."""

from __future__ import annotations

from collections import Counter
from math import isfinite, nan
from statistics import fmean, median

import gymnasium as gym
import minari

from demos.datasets.checksum import checksum
from demos.datasets.metadata import history_of, is_collected, libraries_of, plan_of, rate_of
from demos.report.contents import Contents
from demos.runtime.intervals import wilson_interval
from demos.runtime.types import Space


def number_text(value: float) -> str:
    """Return a number with four digits."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def headline(dataset: minari.MinariDataset, contents: Contents) -> list[dict[str, str]]:
    """Return the most important numbers: name, value and a remark."""
    episodes = contents.episodes
    returns = [episode.total_return for episode in episodes if isfinite(episode.total_return)] or [nan]
    steps = [episode.steps for episode in episodes]
    span = f"{number_text(min(returns))} to {number_text(max(returns))}"
    tiles = [
        {"name": "episodes", "value": f"{len(episodes):,}", "more": f"{sum(steps):,} steps"},
        {
            "name": "mean return",
            "value": number_text(fmean(returns)),
            "more": f"median {number_text(median(returns))}, {span}",
        },
        {"name": "median length", "value": number_text(median(steps)), "more": f"{min(steps)} to {max(steps)} steps"},
    ]
    if evaluated := contents.evaluated:
        successes = sum(bool(episode.success) for episode in evaluated)
        low, high = (100 * bound for bound in wilson_interval(successes, len(evaluated)))
        rate = {
            "name": "success rate",
            "value": f"{100 * successes / len(evaluated):.1f}%",
            "more": f"{successes} of {len(evaluated)}; 95% interval {low:.1f} to {high:.1f}%",
        }
    else:
        rate = {"name": "success rate", "value": "unknown", "more": "the episodes do not record success"}
    tiles.insert(0, rate)
    reached = [episode.steps_to_success for episode in episodes if episode.steps_to_success is not None]
    if reached:
        more = f"mean {number_text(fmean(reached))}, {min(reached)} to {max(reached)}"
        tiles.append({"name": "median steps to success", "value": number_text(median(reached)), "more": more})
    tiles.append({"name": "size", "value": f"{float(dataset.storage.get_size()):.1f} MB", "more": "on disk"})
    return tiles


def groups(contents: Contents) -> list[dict[str, str | int]]:
    """Return the results by demonstrator and by strategy."""
    rows = []
    for kind in ("demonstrator", "strategy"):
        for name, count in sorted(Counter(getattr(episode, kind) for episode in contents.episodes).items(), key=str):
            members = [episode for episode in contents.episodes if getattr(episode, kind) == name]
            evaluated = [episode for episode in members if episode.success is not None]
            row = {"kind": kind, "name": name, "count": count, "rate": "-", "interval": "-"}
            if evaluated:
                successes = sum(bool(episode.success) for episode in evaluated)
                low, high = wilson_interval(successes, len(evaluated))
                row["rate"] = f"{100 * successes / len(evaluated):.1f}%"
                row["interval"] = f"{100 * low:.1f} to {100 * high:.1f}%"
            if name is not None:
                rows.append({**row, "mean_return": number_text(fmean(episode.total_return for episode in members))})
    return rows


def facts_of(dataset: minari.MinariDataset) -> list[tuple[str, str]]:
    """Return the provenance of the dataset."""
    metadata = dataset.storage.metadata
    try:
        plan = plan_of(dataset)
    except ValueError:
        plan = {}
    env_spec, rate = dataset.env_spec, rate_of(dataset)
    facts = [
        ("environment", plan.get("env_id") or (env_spec.id if env_spec is not None else None)),
        ("keywords", _listed(plan.get("env_kwargs"))),
        ("seed", plan.get("seed")),
        ("demonstrator", metadata.get("algorithm_name")),
        ("failed attempts, left out", metadata.get("lam_envs_dropped")),
        (
            "history",
            "; ".join(map(_listed, history_of(dataset))) or ("as collected" if is_collected(metadata) else None),
        ),
        ("steps per second", "unknown" if rate is None else number_text(rate)),
        ("observations", _space(dataset.observation_space)),
        ("actions", _space(dataset.action_space)),
        ("versions", _listed(libraries_of(plan)) or f"minari {metadata.get('minari_version', 'unknown')}"),
        ("author", ", ".join(map(str, metadata.get("author") or []))),
        ("SHA-256 of the episodes", checksum(dataset)),
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def _space(space: Space) -> str:
    """Return a short description of a space, without the bounds of each number."""
    if isinstance(space, gym.spaces.Dict):
        return "; ".join(f"{name}: {_space(inner)}" for name, inner in space.items())
    if isinstance(space, gym.spaces.Box):
        low, high = space.low.min(), space.high.max()
        return f"{space.dtype} of shape {space.shape}, {number_text(float(low))} to {number_text(float(high))}"
    return str(space)


def _listed(values: object) -> str:
    if not isinstance(values, dict):
        return ""
    return ", ".join(f"{name} {value}" for name, value in values.items())

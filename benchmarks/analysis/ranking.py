"""Rank agents over environments: aggregates, probability of improvement, performance profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.analysis.statistics import (
    Aggregate,
    Estimate,
    aggregate,
    performance_profile,
    probability_of_improvement,
)
from benchmarks.analysis.tables import Overview, Row

REFERENCE = "bc"
"""Agent that others are compared with, if it was measured."""


@dataclass(frozen=True)
class Rank:
    """One agent over the environments of an overview in which it was measured.

    Attributes:
        agent: Its name.
        environments: Number of environments.
        mean: Mean of its success rates, one for each environment.
        over_runs: Aggregates over training runs; None without several training runs.
        improvement: Probability that a training run of the agent has a higher success rate than one of the reference;
            None without shared environments.
    """

    agent: str
    environments: int
    mean: float
    over_runs: Aggregate | None
    improvement: Estimate | None


@dataclass(frozen=True)
class Ranking:
    """The agents of an overview.

    Attributes:
        environments: Ids.
        reference: Agent that others are compared with; None without one.
        ranks: Agents measured in all environments first, then the best.
        profiles: Performance profiles by agent, of those measured in all environments with several training runs.
    """

    environments: tuple[str, ...]
    reference: str | None
    ranks: tuple[Rank, ...]
    profiles: dict[str, tuple[float, ...]]


def ranking(overview: Overview) -> Ranking:
    """Rank the agents of an overview."""
    lines = dict(overview.agents)
    trained = [name for name, own in lines.items() if any(row is not None and len(row.runs) > 1 for row in own)]
    reference = REFERENCE if REFERENCE in trained else trained[0] if trained else None
    ranks = [_rank(name, own, None if reference is None else lines[reference]) for name, own in lines.items()]
    ranks.sort(key=lambda rank: (-rank.environments, -rank.mean, rank.agent))
    profiles = {
        name: performance_profile([row.runs for row in own if row is not None])
        for name, own in lines.items()
        if all(row is not None and len(row.runs) > 1 for row in own)
    }
    return Ranking(overview.environments, reference, tuple(ranks), profiles)


def _rank(name: str, own: Sequence[Row | None], reference: Sequence[Row | None] | None) -> Rank:
    there = [row for row in own if row is not None]
    runs = [row.runs for row in there if len(row.runs) > 1]
    improvement = None
    if reference is not None and reference is not own:
        pairs = [
            (row.runs, other.runs)
            for row, other in zip(own, reference, strict=True)
            if row is not None and other is not None and len(row.runs) > 1 and len(other.runs) > 1
        ]
        if pairs:
            improvement = probability_of_improvement([one for one, _ in pairs], [other for _, other in pairs])
    return Rank(
        agent=name,
        environments=len(there),
        mean=sum(row.success_rate for row in there) / len(there),
        over_runs=aggregate(runs) if len(runs) == len(there) else None,
        improvement=improvement,
    )

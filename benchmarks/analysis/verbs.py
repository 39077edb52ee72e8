"""Success by the verb of the command, in environments that ask for another command in each episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.analysis.statistics import success_interval
from benchmarks.analysis.tables import Row, names
from benchmarks.runner.episode_commands import Commands, commands_key, verb_of
from benchmarks.runner.results import CellResult
from lam_envs.tasks.table.commands import VERBS


@dataclass(frozen=True)
class VerbRate:
    """Success of an agent in the episodes of one verb, over all its training runs.

    Attributes:
        success_rate: Success rate.
        low: Lower end of its 95% interval over episodes.
        high: Upper end.
        episodes: Number of different episodes.
    """

    success_rate: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class VerbTable:
    """Success by verb in one environment.

    Attributes:
        title: Title.
        columns: Names of conditions, or of agents if there is one condition.
        lines: Verb, and its rate in each column; None where no episode has the verb.
    """

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[VerbRate | None, ...]], ...]

    @property
    def episodes(self) -> tuple[int, int]:
        """Smallest and largest number of episodes of a rate."""
        counts = [rate.episodes for _, rates in self.lines for rate in rates if rate is not None]
        return min(counts), max(counts)


def success_by_verb(
    results: Sequence[CellResult], table: Sequence[Row], commands: Commands, conditions: Sequence[str]
) -> list[VerbTable]:
    """Return a table for each agent with a column for each condition; for one condition, a column for each agent.

    Tables of a single verb in each column are left out.

    Args:
        results: Results.
        table: Their rows.
        commands: Commands of the episodes.
        conditions: Names of the conditions, in this order.
    """
    runs: dict[tuple[object, ...], list[CellResult]] = {}
    for result in results:
        if commands_key(result) in commands:
            runs.setdefault(result.cell.group, []).append(result)
    measured: dict[str, dict[str, dict[str, VerbRate]]] = {}
    ordered = sorted(
        zip(table, names(table, conditions=False), strict=True), key=lambda each: conditions.index(each[0].condition)
    )
    for row, name in ordered:
        if row.group in runs:
            title = (
                f"success of {name} in {row.environment}" if len(conditions) > 1 else f"success in {row.environment}"
            )
            column = row.condition if len(conditions) > 1 else name
            measured.setdefault(title, {})[column] = _rates(runs[row.group], commands)
    return [
        _table(title, columns)
        for title, columns in measured.items()
        if any(len(rates) > 1 for rates in columns.values())
    ]


def _table(title: str, columns: dict[str, dict[str, VerbRate]]) -> VerbTable:
    verbs = sorted({verb for rates in columns.values() for verb in rates}, key=VERBS.index)
    lines = tuple((verb, tuple(rates.get(verb) for rates in columns.values())) for verb in verbs)
    return VerbTable(title, tuple(columns), lines)


def _rates(runs: Sequence[CellResult], commands: Commands) -> dict[str, VerbRate]:
    """Return the rate of each verb of the training runs of one agent."""
    keys = [commands_key(run) for run in runs]
    # Runs of other versions of the environment may have had other commands.
    if len(set(keys)) > 1 or keys[0] is None:
        return {}
    verbs = [verb_of(command) for command in commands[keys[0]]]
    rates = {}
    for verb in dict.fromkeys(verbs):
        outcomes = [
            [success for success, own in zip(run.outcomes, verbs, strict=True) if own == verb] for run in runs
        ]
        low, high = success_interval(outcomes)
        rate = sum(map(sum, outcomes)) / sum(map(len, outcomes))
        rates[verb] = VerbRate(rate, low, high, len(outcomes[0]))
    return rates

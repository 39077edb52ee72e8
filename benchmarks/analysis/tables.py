"""Summarize results: one row for each agent and environment, and tables of agents by environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TypeAlias

import lam_envs
from agents.evaluation.evaluation import Evaluation
from agents.types import JsonObject
from benchmarks.analysis.statistics import Estimate, interquartile_mean, success_interval
from benchmarks.runner.results import CellResult
from benchmarks.suite.conditions import AS_TRAINED
from lam_envs.registration import VARIANTS

UNEVEN = 1.5
"""Ratio of the mean inference latency to the median from which a report shows both."""


@dataclass(frozen=True)
class Row:
    """One agent in one environment, over all its training runs.

    Attributes:
        environment: An id.
        agent: Its label.
        demonstrations: Number of demonstrations it learned from; None for none.
        demonstrator: Name of their demonstrator; None without demonstrations.
        condition: Name of the condition.
        trainings: Number of training runs; None for an agent that does not learn.
        episodes: Number of episodes over all runs.
        success_rate: Success rate over all episodes.
        low: Lower end of its 95% interval over episodes, see :func:`benchmarks.analysis.statistics.success_interval`.
        high: Upper end.
        steps: Mean steps to success; None without success.
        seconds: Mean simulated seconds to success; None without success.
        mean_return: Mean sum of rewards.
        training_seconds: Mean wall time of a training run; None for an agent that does not learn.
        training_cpu_seconds: Mean CPU time of a training run; None for an agent that does not learn.
        environment_steps: Mean environment steps of a training run; None for an agent that does not learn.
        expert_labels: Mean number of expert labels of a training run; None for an agent that does not count them.
        ever_success_rate: Fraction of episodes in which the task was solved after any step.
        jerk: Mean jerk of the end effector, m/s^3; None if the environment does not report it.
        peak_force: Mean of the largest force of each episode, newtons; None if the environment does not report it.
        completed: Mean number of successive commands that are done; None in tasks without any.
        inference_latency_ms: Median wall time of a call of ``predict``, mean of the runs.
        mean_inference_latency_ms: Mean wall time of a call, mean of the runs; None if it was not measured.
        over_runs: Interquartile mean of the runs' rates; None for a single run.
        spread: Standard deviation of the runs' rates; None for a single run.
        runs: Success rate of each run, by training seed.
    """

    environment: str
    agent: str
    demonstrations: int | None
    demonstrator: str | None
    condition: str
    trainings: int | None
    episodes: int
    success_rate: float
    low: float
    high: float
    steps: float | None
    seconds: float | None
    mean_return: float
    training_seconds: float | None
    training_cpu_seconds: float | None
    environment_steps: float | None
    expert_labels: float | None
    ever_success_rate: float
    jerk: float | None
    peak_force: float | None
    completed: float | None
    inference_latency_ms: float
    mean_inference_latency_ms: float | None
    over_runs: Estimate | None
    spread: float | None
    runs: tuple[float, ...]

    @property
    def uneven_latency_ms(self) -> float | None:
        """Mean wall time of a call if it is far above the median, as for agents that execute chunks; else None."""
        mean = self.mean_inference_latency_ms
        return mean if mean is not None and mean > UNEVEN * self.inference_latency_ms else None

    @property
    def group(self) -> tuple[str, str, int | None, str | None, str]:
        """Key of its cells: :attr:`benchmarks.suite.suite.Cell.group`."""
        return self.environment, self.agent, self.demonstrations, self.demonstrator, self.condition


def rows(results: Sequence[CellResult]) -> list[Row]:
    """Summarize results, from easy environments to hard ones, and the best agents first."""
    groups: dict[tuple[str, str, int | None, str | None, str], list[CellResult]] = {}
    for result in results:
        groups.setdefault(result.cell.group, []).append(result)
    return sorted(map(_row, groups.values()), key=_order)


def _order(row: Row) -> tuple[object, ...]:
    best = (-row.success_rate, -row.mean_return)
    return (
        environment_order(row.environment),
        row.environment,
        *best,
        row.agent,
        row.demonstrations or 0,
        row.condition,
    )


def _row(group: list[CellResult]) -> Row:
    group = sorted(group, key=lambda result: result.cell.training_seed or 0)
    cell = group[0].cell
    merged = Evaluation(
        tuple(episode for result in group for episode in result.evaluation.episodes),
        group[0].evaluation.step_seconds,
        sum(result.evaluation.inference_latency_ms for result in group) / len(group),
    )
    low, high = success_interval([result.outcomes for result in group])
    rates = [result.evaluation.success_rate for result in group]
    return Row(
        environment=cell.environment,
        agent=cell.label,
        demonstrations=cell.demonstrations,
        demonstrator=cell.demonstrator,
        condition=cell.condition,
        trainings=len(group) if cell.training_seed is not None else None,
        episodes=len(merged.episodes),
        success_rate=merged.success_rate,
        low=low,
        high=high,
        steps=merged.mean_steps_to_success,
        seconds=merged.mean_seconds_to_success,
        mean_return=merged.mean_return,
        training_seconds=_mean([result.training_seconds for result in group]),
        training_cpu_seconds=_mean([result.training_cpu_seconds for result in group]),
        environment_steps=_mean([None if one.training is None else one.training.environment_steps for one in group]),
        expert_labels=_mean([None if one.training is None else one.training.expert_labels for one in group]),
        ever_success_rate=merged.ever_success_rate,
        jerk=merged.mean_jerk,
        peak_force=merged.mean_peak_force,
        completed=merged.mean_completed,
        inference_latency_ms=merged.inference_latency_ms,
        mean_inference_latency_ms=_mean([result.evaluation.mean_inference_latency_ms for result in group]),
        over_runs=interquartile_mean(rates) if len(rates) > 1 else None,
        spread=stdev(rates) if len(rates) > 1 else None,
        runs=tuple(rates),
    )


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


ConditionTable: TypeAlias = tuple[str, list[tuple[str, list[Row | None]]]]
"""Table with a column for each condition: title, and name and rows of each line; None where nothing was measured."""


@dataclass(frozen=True)
class Overview:
    """All agents side by side in environments of one kind.

    Attributes:
        environments: Ids; the columns.
        agents: Name and the row in each environment, None where it was not measured; those that were
            measured in most environments come first, then the best.
    """

    environments: tuple[str, ...]
    agents: tuple[tuple[str, tuple[Row | None, ...]], ...]


def overviews(table: list[Row]) -> list[Overview]:
    """Return rows by agent and environment: one table for each variant of the tasks, such as ``Discrete``."""
    kinds: dict[str, list[Row]] = {}
    for row in sorted(table, key=lambda row: environment_order(row.environment)):
        kinds.setdefault(variant(row.environment), []).append(row)
    return [_overview(own) for _, own in sorted(kinds.items())]


def _overview(table: list[Row]) -> Overview:
    environments = tuple(dict.fromkeys(row.environment for row in table))
    row_names = names(table)
    rows_by_name = {(name, row.environment): row for name, row in zip(row_names, table, strict=True)}
    lines = [
        (name, tuple(rows_by_name.get((name, environment)) for environment in environments))
        for name in dict.fromkeys(row_names)
    ]

    def order(line: tuple[str, tuple[Row | None, ...]]) -> tuple[int, float, str]:
        rates = [row.success_rate for row in line[1] if row is not None]
        return -len(rates), -sum(rates) / len(rates), line[0]

    return Overview(environments, tuple(sorted(lines, key=order)))


def variant(environment: str) -> str:
    """Return the variant of an id, such as ``Discrete``."""
    endings = [variant for variant in VARIANTS if variant and environment.rpartition("-v")[0].endswith(variant)]
    return endings[0] if endings else ""


def environment_order(environment: str) -> int:
    """Return the position of an id in the order of our tasks, from easy to hard; others come last."""
    return lam_envs.ENV_IDS.index(environment) if environment in lam_envs.ENV_IDS else len(lam_envs.ENV_IDS)


def conditions_of(table: Sequence[Row], suite: JsonObject) -> list[str]:
    """Return the conditions of rows in the order of their suite; the one of the training, if any, comes first."""
    measured = {row.condition for row in table}
    return sorted((name for name in suite["conditions"] if name in measured), key=lambda name: name != AS_TRAINED)


def success_by_condition(table: Sequence[Row], conditions: Sequence[str]) -> list[ConditionTable]:
    """Return a table for each environment: its agents by conditions.

    Args:
        table: Rows.
        conditions: Names of the conditions.
    """
    tables: dict[str, list[tuple[str, list[Row | None]]]] = {}
    for environment, name, own in _under_conditions(table, conditions):
        tables.setdefault(environment, []).append((name, own))
    return list(tables.items())


def success_by_environment(table: Sequence[Row], conditions: Sequence[str]) -> list[ConditionTable]:
    """Return a table for each agent: its environments by conditions.

    Those measured in most environments come first, then the best.

    Args:
        table: Rows.
        conditions: Names of the conditions.
    """
    tables: dict[str, list[tuple[str, list[Row | None]]]] = {}
    for environment, name, own in _under_conditions(table, conditions):
        tables.setdefault(f"success of {name}", []).append((environment, own))

    def order(entry: ConditionTable) -> tuple[int, float, str]:
        rates = [row.success_rate for _, own in entry[1] for row in own if row is not None]
        return -len(entry[1]), -sum(rates) / len(rates), entry[0]

    return sorted(tables.items(), key=order)


def _under_conditions(table: Sequence[Row], conditions: Sequence[str]) -> Iterator[tuple[str, str, list[Row | None]]]:
    """Yield environment, name and the row under each condition; None where it was not measured."""
    row_names = names(table, conditions=False)
    measured = {(row.environment, name, row.condition): row for row, name in zip(table, row_names, strict=True)}
    for environment, name in dict.fromkeys((environment, name) for environment, name, _ in measured):
        yield environment, name, [measured.get((environment, name, condition)) for condition in conditions]


def names(table: Sequence[Row], *, conditions: bool = True) -> list[str]:
    """Return the name of each row: the label and, where needed, demonstrations, demonstrator and condition.

    Args:
        table: Rows.
        conditions: True to include the condition; False where it has a column of its own.
    """
    several: dict[str, set[str]] = {}
    for what in ("demonstrations", "demonstrator"):
        kinds: dict[tuple[str, str], set[object]] = {}
        for row in table:
            kinds.setdefault((row.agent, row.environment), set()).add(getattr(row, what))
        several[what] = {agent for (agent, _), values in kinds.items() if len(values) > 1}
    called = []
    for row in table:
        parts = [row.agent]
        if row.agent in several["demonstrations"]:
            parts.append(str(row.demonstrations))
        if row.agent in several["demonstrator"]:
            parts.append(str(row.demonstrator))
        if conditions and row.condition != AS_TRAINED:
            parts.append(row.condition)
        called.append(", ".join(parts))
    return called


def demonstrations_text(row: Row) -> str:
    """Return the demonstrations of a row in words: ``100``, or ``100 noisy`` if the expert did not act."""
    if row.demonstrations is None:
        return "-"
    return f"{row.demonstrations}" if row.demonstrator == "expert" else f"{row.demonstrations} {row.demonstrator}"


def short_names(names: list[str]) -> dict[str, str]:
    """Shorten ``package.module:Class`` to the class, where no other agent's class is called the same."""
    classes = [name.rpartition(":")[2] for name in names]
    return {name: short if classes.count(short) == 1 else name for name, short in zip(names, classes, strict=True)}

"""Compare two results folders: changes of success beyond noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from benchmarks.analysis.statistics import Outcomes, difference_over_episodes, difference_over_trainings
from benchmarks.analysis.tables import Row, names, rows
from benchmarks.runner.cache_keys import Provenance
from benchmarks.runner.results import CellResult, read_results

DEFINING = ("agent", "settings", "changes", "env", "mixture", "pretraining", "adaptation")
"""Fields of a cell that make two cells incomparable."""
EPISODES = ("first_seed", "episodes")
"""Fields of a cell that choose the episodes."""
NOTED = ("demonstration_seed", "training_env", "motion", *EPISODES)
"""Fields that may differ between comparable cells."""


@dataclass(frozen=True)
class Change:
    """One agent in one environment, in two folders.

    Attributes:
        environment: An id.
        agent: Name of the row: the label, with demonstrations and condition where needed.
        before: Success in the first folder; None where it was not measured.
        after: Success in the second folder; None where it was not measured.
        interval: 95% interval of the difference; None if one is missing.
        differs: Names of what else differs between the folders: fields of a :class:`benchmarks.suite.suite.Cell`;
            settings that the agents had, such as ``setting epochs``, defaults included; ``versions`` of parts; and
            ``code`` of third parties or files of models.
        same: True if all episodes are the same.
    """

    environment: str
    agent: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None
    differs: tuple[str, ...] = ()
    same: bool = False

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``within noise``, ``the same``, ``new``, ``removed``, or ``not comparable``."""
        if self.interval is None:
            return "new" if self.before is None else "removed"
        if set(self.differs) & set(DEFINING):
            return "not comparable"
        if self.same:
            return "the same"
        low, high = self.interval
        return "better" if low > 0.0 else "worse" if high < 0.0 else "within noise"


def compare(before: str | Path, after: str | Path) -> list[Change]:
    """Compare the success of all agents in two folders of results.

    The interval of the difference covers two sources of noise. That of the episodes is Newcombe's, paired where both
    agents were evaluated in the same episodes (:func:`benchmarks.analysis.statistics.difference_over_episodes`). That
    of the training runs, where both were trained more than once, is Welch's: training runs with other seeds, or with
    different rounding, differ by more than the episodes show. The interval is the union of both. Cells are compared
    if they have the same label, number of demonstrations, demonstrator and condition.

    Args:
        before: A folder of results.
        after: Another.

    Returns:
        The changes, in the order of the environments, then of the labels.

    Raises:
        FileNotFoundError: There are no results in one.
        ValueError: A result is damaged.
    """
    (old, before_results), (new, after_results) = (_read(folder) for folder in (before, after))
    # Names are chosen over both folders, so that they agree.
    table = list({**old, **new}.values())
    row_names = dict(zip([row.group for row in table], names(table), strict=True))
    changes = []
    for group in {**old, **new}:
        rates = [rows_of[group].success_rate if group in rows_of else None for rows_of in (old, new)]
        change = Change(group[0], row_names[group], rates[0], rates[1], None)
        if group in old and group in new:
            change = _compared(change, before_results[group], after_results[group])
        changes.append(change)
    return sorted(changes, key=lambda change: (change.environment, change.agent))


Group = tuple[str, str, int | None, str | None, str]


def _read(folder: str | Path) -> tuple[dict[Group, Row], dict[Group, list[CellResult]]]:
    """Return the rows of a folder and the results of each row, in the order of the training seeds."""
    results_by_group: dict[Group, list[CellResult]] = {}
    results = sorted(read_results(folder)[1], key=lambda result: result.cell.training_seed or 0)
    for result in results:
        results_by_group.setdefault(result.cell.group, []).append(result)
    return {row.group: row for row in rows(results)}, results_by_group


def _compared(change: Change, old: list[CellResult], new: list[CellResult]) -> Change:
    """Return a change with its interval and the fields that differ."""
    cells = old[0].cell, new[0].cell
    differs = [part for part in (*DEFINING, *NOTED) if getattr(cells[0], part) != getattr(cells[1], part)]
    differs += _changed_parts(old[0].provenance, new[0].provenance)
    interval = _noise(
        [one.outcomes for one in old],
        [one.outcomes for one in new],
        paired=not set(EPISODES) & set(differs),
    )
    same = [one.evaluation.episodes for one in old] == [one.evaluation.episodes for one in new]
    return replace(change, interval=interval, differs=tuple(differs), same=same)


def _changed_parts(old: Provenance, new: Provenance) -> list[str]:
    """Return the names of what differs between two provenances."""
    settings = [
        f"setting {name}"
        for name in sorted(old.settings.keys() | new.settings.keys())
        if old.settings.get(name) != new.settings.get(name)
    ]
    versions = ["versions"] if old.versions != new.versions else []
    return [*settings, *versions, *(["code"] if old.sources != new.sources else [])]


def _noise(old: Outcomes, new: Outcomes, *, paired: bool) -> tuple[float, float]:
    """Return the interval of the difference of two success rates."""
    low, high = difference_over_episodes(new, old, paired=paired)
    if min(len(old), len(new)) > 1:
        over_trainings = difference_over_trainings(*([fmean(own) for own in trainings] for trainings in (new, old)))
        low, high = min(low, over_trainings[0]), max(high, over_trainings[1])
    return low, high

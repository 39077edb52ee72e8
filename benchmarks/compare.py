"""What changed between two folders of results, beyond noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import read_results
from benchmarks.tables import Row, names, rows


@dataclass(frozen=True)
class Change:
    """One agent in one environment, in two folders.

    Attributes:
        environment: An id.
        agent: Its label.
        before: Success in the first folder; None where it was not measured.
        after: Success in the second folder; None likewise.
        interval: 95%, of the difference; None where there is none.
    """

    environment: str
    agent: str
    before: float | None
    after: float | None
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``within noise``, ``new`` or ``gone``."""
        if self.interval is None:
            return "new" if self.before is None else "gone"
        low, high = self.interval
        return "better" if low > 0.0 else "worse" if high < 0.0 else "within noise"


def compare(before: str | Path, after: str | Path) -> list[Change]:
    """Compares the success of all agents in two folders of results.

    The interval of the difference is Newcombe's (1998, method 10), of the Wilson intervals of both, over all episodes
    of all trainings: it tells whether these trainings differ, not whether others of other seeds would.

    Args:
        before: A folder of results.
        after: Another.

    Returns:
        The changes, in the order of the environments, then of the labels.

    Raises:
        FileNotFoundError: There are no results in one.
        ValueError: A result is damaged.
    """
    old, new = (_rows(folder) for folder in (before, after))
    return [_change(key, old.get(key), new.get(key)) for key in sorted({*old, *new})]


def _rows(folder: str | Path) -> dict[tuple[str, str], Row]:
    table = rows(read_results(folder)[1])
    return {(row.environment, name): row for row, name in zip(table, names(table), strict=True)}


def _change(key: tuple[str, str], old: Row | None, new: Row | None) -> Change:
    environment, agent = key
    if old is None or new is None:
        before, after = (None if row is None else row.success_rate for row in (old, new))
        return Change(environment, agent, before, after, None)
    p, q = old.success_rate, new.success_rate
    interval = (
        q - p - math.hypot(q - new.low, old.high - p),
        q - p + math.hypot(new.high - q, p - old.low),
    )
    return Change(environment, agent, p, q, interval)

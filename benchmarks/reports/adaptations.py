"""Adaptations of a suite: their held-out checks, and whether the adapted agents are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.runner.results import CellResult
from benchmarks.runner.training import AdaptationCheck


@dataclass(frozen=True)
class AdaptationRow:
    """Adaptation of one training run.

    Attributes:
        environment: Id of the environment.
        label: Label of the agent.
        seed: Training seed.
        condition: Name of the condition that it is adapted to.
        check: Held-out check.
    """

    environment: str
    label: str
    seed: int | None
    condition: str
    check: AdaptationCheck


def adaptations(results: Sequence[CellResult]) -> list[AdaptationRow]:
    """Return the adaptations of a suite, each once, in the order of the results."""
    found: dict[tuple[str, str, int | None], AdaptationRow] = {}
    for result in results:
        cell, training = result.cell, result.training
        if cell.adaptation is not None and training is not None and training.check is not None:
            place = (cell.environment, cell.label, cell.training_seed)
            found.setdefault(place, AdaptationRow(*place, cell.adaptation.condition, training.check))
    return list(found.values())

"""All golden cases."""

from __future__ import annotations

from tests.golden import demonstrations, environments, measurements, stages, trainings
from tests.golden.case import Case


def all_cases() -> list[Case]:
    """Return every canonical run."""
    groups = (environments, demonstrations, trainings, stages, measurements)
    return [case for group in groups for case in group.cases()]

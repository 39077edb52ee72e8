"""Checks without a process of their own, for damage that crashes nothing: most of a check's time is that start."""

from __future__ import annotations

from pathlib import Path

from demos.check import CheckReport
from demos.check.checking import check_folder
from demos.datasets.loading import find


def check_here(dataset: str | Path, root: Path | None = None, *, replay: int = 0) -> CheckReport:
    """What :func:`demos.check` says, found in this process."""
    return check_folder(find(dataset, root), replay=replay, isolated=False)

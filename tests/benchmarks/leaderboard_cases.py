"""Submissions for the tests of the leaderboard, honest and forged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.leaderboard.submission import Submission
from benchmarks.leaderboard.submit import suite_of_agent
from benchmarks.runner.results import CellResult
from benchmarks.suite.suite import Suite
from benchmarks.suite.suite_file import read_suite

from .suites import written

CONDITIONS: dict[str, Any] = {"as trained": {}, "pushes": {"pushes": 1}}
EVALUATION = {"first_seed": 1000, "episodes": 20}


def small_suite(folder: Path) -> tuple[Path, Suite]:
    """Write a suite of two cells an agent, and return its file and content."""
    path = written(folder, agents=["random"], evaluation=EVALUATION, conditions=CONDITIONS, videos=None)
    return Path(path), read_suite(path)


def suite_of(suite: Suite, agent: str = "expert", label: str = "Third") -> Suite:
    return suite_of_agent(suite, agent, label, {})


def flipped(result: CellResult, is_flipped: Callable[[int], bool]) -> CellResult:
    """Return a result in which the success of some episodes is the opposite."""
    episodes = tuple(
        replace(each, success=not each.success) if is_flipped(place) else each
        for place, each in enumerate(result.evaluation.episodes)
    )
    return replace(result, evaluation=replace(result.evaluation, episodes=episodes))


def forged(submission: Submission) -> Submission:
    """Flip the success of three of ten episodes. All checksums and rates of the file are consistent."""
    results = tuple(flipped(result, lambda place: place % 10 in (1, 4, 8)) for result in submission.results)
    return submission.model_copy(update={"results": results})

"""A run shows how much is done, what every worker is at, and what failed."""

from __future__ import annotations

from rich.console import Console

from benchmarks.runner.progress import ProgressDisplay
from demos.runtime.engines import Job


def test_the_whole_and_every_job_that_runs_are_shown() -> None:
    one, two = Job("train bc", abs, (-1,)), Job("measure expert", abs, (-1,))
    console = Console(width=150)
    with ProgressDisplay("suite small", 5, "2 were there already") as shown, console.capture() as seen:
        shown.update(one, 0.0)
        shown.update(two, 0.25)
        shown.update(one, 0.5)
        console.print(shown.bar)
        shown.ended(one, failed=False)
        shown.ended(two, failed=True)
        console.print(shown.bar)
    before, after = seen.get().split("suite small")[1:]
    assert "0/5" in before
    assert "2 were there already" in before
    assert "train bc" in before
    assert "50%" in before
    assert "measure expert" in before
    assert "25%" in before
    assert "2/5, 1 failed" in after
    assert "FAILED measure expert" in after
    assert "train bc" not in after

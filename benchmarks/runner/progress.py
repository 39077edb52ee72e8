"""Show the progress of a run and of its jobs."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from demos.runtime.engines import Job


class ProgressDisplay:
    """Progress bars on the terminal: one for the run, and one for each job that runs.

    Args:
        what: Name of the run.
        total: Number of jobs.
        note: Text beside the bar of the run.
        disable: Show nothing.

    Attributes:
        bar: Progress bars of rich.
    """

    def __init__(self, what: str, total: int, note: str = "", *, disable: bool = False) -> None:
        self.bar = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[of]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            disable=disable,
        )
        self._total = total
        self._done = self._failed = 0
        self._whole = self.bar.add_task(f"[bold]{what}", total=max(1, total), of=f"0/{total}", note=note)
        self._jobs: dict[str, TaskID] = {}

    def __enter__(self) -> ProgressDisplay:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._jobs):
            self.bar.remove_task(self._jobs.pop(name))
        self.bar.stop()

    def update(self, job: Job, fraction: float) -> None:
        """Show the progress of a job."""
        if job.name not in self._jobs:
            self._jobs[job.name] = self.bar.add_task(f"  {job.name}", total=1.0, of="", note="")
        of = f"{100 * fraction:3.0f}%" if fraction else ""
        self.bar.update(self._jobs[job.name], completed=fraction, of=of)

    def ended(self, job: Job, *, failed: bool) -> None:
        """Remove the bar of a job and count it as done."""
        if job.name in self._jobs:
            self.bar.remove_task(self._jobs.pop(job.name))
        self._done += 1
        self._failed += failed
        note = f"{'FAILED' if failed else 'finished'} {job.name}"
        counted = f"{self._done}/{self._total}" + (f", {self._failed} failed" if self._failed else "")
        self.bar.update(self._whole, completed=self._done, of=counted, note=note)

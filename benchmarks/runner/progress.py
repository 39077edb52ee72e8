"""Show the progress of a run and of its jobs: bars on a terminal, lines in a file."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from demos.runtime.console import console
from demos.runtime.engines import Job

RUNNING_SECONDS = 60.0
"""Time between two lines with the jobs that run, seconds."""


def progress_display(what: str, total: int, note: str = "", *, disable: bool = False) -> ProgressBars | ProgressLines:
    """Return bars if the output is a terminal or disabled, else lines.

    Args:
        what: Name of the run.
        total: Number of jobs.
        note: Text about the run.
        disable: Show nothing.
    """
    if disable or console.is_terminal:
        return ProgressBars(what, total, note, disable=disable)
    return ProgressLines(what, total, note)


class ProgressBars:
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

    def __enter__(self) -> ProgressBars:
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


class ProgressLines:
    """Progress as plain lines, for output that is no terminal.

    A line for the start and the end of each job, and from time to time one with the jobs that run. Each line begins
    with the time since the start of the run.

    Args:
        what: Name of the run.
        total: Number of jobs.
        note: Text about the run.
        seconds: Time between two lines with the jobs that run, seconds.
        output: Console to write to; by default that of the commands.
    """

    def __init__(
        self,
        what: str,
        total: int,
        note: str = "",
        *,
        seconds: float = RUNNING_SECONDS,
        output: Console = console,
    ) -> None:
        self._what = what
        self._total = total
        self._note = note
        self._output = output
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._jobs: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        # Jobs may report nothing for long: the lines must not wait for a report.
        self._thread = threading.Thread(target=self._repeat, args=(seconds,), name="progress", daemon=True)

    def __enter__(self) -> ProgressLines:
        jobs = f"{self._what}: {self._total} job{'s' if self._total != 1 else ''}"
        self._print(", ".join(filter(None, (jobs, self._note))))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def update(self, job: Job, fraction: float) -> None:
        """Print a line if a job begins, and record its progress."""
        with self._lock:
            begins = job.name not in self._jobs
            self._jobs[job.name] = fraction
            if begins:
                self._print(f"started {job.name}")

    def ended(self, job: Job, *, failed: bool) -> None:
        """Print a line for a job that ended."""
        with self._lock:
            self._jobs.pop(job.name, None)
            self._done += 1
            self._failed += failed
            self._print(f"{'FAILED' if failed else 'finished'} {job.name} ({self._counted()})")

    def print_running(self) -> None:
        """Print a line with the jobs that run and their progress; nothing without any."""
        with self._lock:
            if self._jobs:
                running = [
                    name + (f" {100 * fraction:.0f}%" if fraction else "") for name, fraction in self._jobs.items()
                ]
                self._print(f"running {', '.join(running)} ({self._counted()})")

    def _repeat(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            self.print_running()

    def _counted(self) -> str:
        return f"{self._done}/{self._total} done" + (f", {self._failed} failed" if self._failed else "")

    def _print(self, line: str) -> None:
        elapsed = timedelta(seconds=int(time.monotonic() - self._began))
        self._output.print(f"{elapsed} {line}", markup=False, highlight=False, soft_wrap=True)

"""What an engine runs: calls that say what they read and write, and what they come after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PROGRESS_SECONDS = 0.2
"""Between what a job tells of how far it is, at least."""


@dataclass(frozen=True)
class JobPath:
    """An argument that stands for a path in the folder of a job, wherever that folder is when the job runs.

    Attributes:
        path: Relative to the folder.
    """

    path: str = "."


@dataclass(frozen=True)
class Job:
    """A call that can be sent to another process.

    Attributes:
        name: What is shown while it runs; no two of a run have the same.
        function: A function of a module.
        arguments: Plain data; a :class:`JobPath` is given to the function as a whole path.
        folder: Where it reads and writes; None if it does not.
        reads: Files and folders there, by relative paths, that it needs if they are there.
        writes: Those that it makes, replaces or removes.
        after: Names of jobs that are to end before it begins; those that are not in the run have.
        imports: Modules that it uses, besides its function's: they may be imported once for all jobs.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    folder: Path | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    def called_in(self, folder: Path | None) -> tuple[Any, ...]:
        """Return the arguments for a call with the job's files in a folder."""
        return tuple(
            folder / argument.path if isinstance(argument, JobPath) and folder is not None else argument
            for argument in self.arguments
        )


OnCrash = Callable[[Job], Any]
"""Is called with a job that took its process down, alone too; returns its result."""
Watch = Callable[[Job, float], None]
"""Is called with a job when it begins, and with the share of it that is done, as it goes."""


class Engine(Protocol):
    """Runs jobs.

    Attributes:
        workers: How many at a time.
    """

    workers: int

    def run(
        self, jobs: Sequence[Job], *, died: OnCrash | None = None, watch: Watch | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """Yield each job with its result as it finishes; the first error ends all.

        Args:
            jobs: Each begins when those that it comes after have ended, else in this order.
            died: Of a job that takes its process down; by default that is an error.
            watch: Is told what runs, and how far it is.

        Raises:
            RuntimeError: A job took its process down.
            ValueError: Two jobs have the same name, or some wait for each other.
        """
        ...


class Schedule:
    """Which job is next.

    Args:
        jobs: See :meth:`Engine.run`.

    Raises:
        ValueError: Two jobs have the same name.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._open = {job.name for job in jobs}
        self.running: list[Job] = []
        if len(self._open) < len(jobs):
            names = [job.name for job in jobs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two jobs are called {twice!r}")

    @property
    def left(self) -> bool:
        """Whether any job has not ended."""
        return bool(self._open)

    def next(self) -> Job | None:
        """Return a job that may begin now; None if there is none yet.

        Raises:
            ValueError: The rest wait for each other.
        """
        for place, job in enumerate(self._waiting):
            if self._open.isdisjoint(job.after):
                del self._waiting[place]
                self.running.append(job)
                return job
        if self._waiting and not self.running:
            raise ValueError(f"these jobs wait for each other: {', '.join(job.name for job in self._waiting)}")
        return None

    def end(self, job: Job) -> None:
        """Take down that a job has ended."""
        self.running.remove(job)
        self._open.remove(job.name)


class Progress:
    """How far the job is that runs in this process, told now and then."""

    def __init__(self) -> None:
        self._listener: Callable[[float], None] | None = None
        self._due = 0.0

    def listened_to_by(self, listener: Callable[[float], None] | None) -> None:
        """Set who is told; None for nobody."""
        self._listener = listener
        self._due = 0.0

    def tell(self, share: float) -> None:
        """Is called by a job as it goes.

        Args:
            share: Of it that is done, from 0 to 1.
        """
        now = time.monotonic()
        if self._listener is None or now < self._due:
            return
        self._due = now + PROGRESS_SECONDS
        self._listener(min(1.0, max(0.0, share)))


progress = Progress()
"""Of this process, which runs one job at a time."""

"""Jobs: function calls that an engine runs, with their files and the jobs that they wait for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PROGRESS_SECONDS = 0.2
"""Least time between two progress reports of a job, seconds."""


@dataclass(frozen=True)
class JobPath:
    """Argument that becomes a path in the folder of a job, wherever that folder is when the job runs.

    Attributes:
        path: Path relative to the folder.
    """

    path: str = "."


@dataclass(frozen=True)
class Job:
    """Function call that can be sent to another process.

    Attributes:
        name: Name that is shown while it runs; unique within a run.
        function: Function of a module.
        arguments: Plain data; the function receives a :class:`JobPath` as an absolute path.
        folder: Folder of its files; None if it has none.
        reads: Relative paths of files and folders that it reads; missing ones are skipped.
        writes: Relative paths that it creates, replaces or removes.
        after: Names of jobs that must end before it begins; names that are not in the run count as ended.
        imports: Modules that it uses besides that of its function; they may be imported once for all jobs.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[Any, ...]
    folder: Path | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    def arguments_in(self, folder: Path | None) -> tuple[object, ...]:
        """Return the arguments for a call with the job's files in a folder."""
        return tuple(
            folder / argument.path if isinstance(argument, JobPath) and folder is not None else argument
            for argument in self.arguments
        )


@dataclass(frozen=True)
class TimeLimit:
    """Limit to the wall time of a part of a job.

    Attributes:
        what: Name of the part in errors, such as "the episode with seed 3".
        seconds: Wall time after which the engine ends the process of the job; infinity for no limit.
    """

    what: str = ""
    seconds: float = math.inf

    def error(self) -> TimeoutError:
        """Return the error of a job that took longer."""
        return TimeoutError(f"{self.what} took longer than {self.seconds:g} s")


OnCrash = Callable[[Job, Exception], object]
"""Called with a job whose process crashed, also when it ran alone, or exceeded a time limit, and with the error that
the engine raises otherwise; returns the result of the job."""
OnProgress = Callable[[Job, float], None]
"""Called with a job and its progress from 0 to 1: when it begins, and while it runs."""


class Engine(Protocol):
    """Runner of jobs.

    Attributes:
        workers: Number of jobs that run at the same time.
    """

    workers: int

    def run(
        self, jobs: Sequence[Job], *, on_crash: OnCrash | None = None, on_progress: OnProgress | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """Yield each job with its result as it finishes; the first error stops all jobs.

        Args:
            jobs: Jobs in the order in which they begin, as far as ``after`` allows.
            on_crash: Called with a job whose process crashed or exceeded a time limit, in place of an error.
            on_progress: Called with the progress of each job.

        Raises:
            RuntimeError: The process of a job crashed.
            TimeoutError: A job exceeded a time limit that it had set (:meth:`Progress.limit`).
            ValueError: Two jobs have the same name, or jobs wait for each other.
        """
        ...


class Schedule:
    """Order in which jobs begin.

    Args:
        jobs: Jobs, as in :meth:`Engine.run`.

    Raises:
        ValueError: Two jobs have the same name.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._open = {job.name for job in jobs}
        self.running: list[Job] = []
        if len(self._open) < len(jobs):
            names = [job.name for job in jobs]
            duplicate = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two jobs are named {duplicate!r}; expected unique names")

    @property
    def left(self) -> bool:
        """True while a job has not ended."""
        return bool(self._open)

    def next(self) -> Job | None:
        """Return a job that may begin now; None if there is none yet.

        Raises:
            ValueError: The remaining jobs wait for each other.
        """
        for index, job in enumerate(self._waiting):
            if self._open.isdisjoint(job.after):
                del self._waiting[index]
                self.running.append(job)
                return job
        if self._waiting and not self.running:
            raise ValueError(f"these jobs wait for each other: {', '.join(job.name for job in self._waiting)}")
        return None

    def end(self, job: Job) -> None:
        """Mark a job as ended."""
        self.running.remove(job)
        self._open.remove(job.name)


class Progress:
    """Progress of the job that runs in this process, which it reports to the engine."""

    def __init__(self) -> None:
        self._listener: Callable[[float | TimeLimit], None] | None = None
        self._due = 0.0

    def set_listener(self, listener: Callable[[float | TimeLimit], None] | None) -> None:
        """Set the function that receives progress and time limits; None disables reports."""
        self._listener = listener
        self._due = 0.0

    def report(self, fraction: float) -> None:
        """Report progress; jobs call this while they run.

        Args:
            fraction: Fraction of the job that is done, from 0 to 1.
        """
        now = time.monotonic()
        if self._listener is None or now < self._due:
            return
        self._due = now + PROGRESS_SECONDS
        self._listener(min(1.0, max(0.0, fraction)))

    def limit(self, what: str, seconds: float) -> None:
        """Limit the wall time until the next call: the engine ends this process if it comes later, or never.

        Args:
            what: Name of what is limited, for the error.
            seconds: Wall time.
        """
        if self._listener is not None:
            self._listener(TimeLimit(what, seconds))

    def no_limit(self) -> None:
        """Remove the limit."""
        self.limit("", math.inf)


progress = Progress()
"""Progress of this process, which runs one job at a time."""

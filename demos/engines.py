"""Where jobs run. ``local``: processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PARENT_CHECK_SECONDS = 0.5
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries ask at their import how many threads they may use."""


@dataclass(frozen=True)
class Here:
    """An argument that stands for a path in the folder of a job, wherever that folder is when the job runs.

    Attributes:
        path: Relative to the folder.
    """

    path: str = "."


@dataclass(frozen=True)
class Job:
    """A call that can be sent to another process.

    Attributes:
        name: What is shown while it runs.
        function: A function of a module.
        arguments: Plain data; a :class:`Here` is given to the function as a whole path.
        folder: Where it reads and writes; None if it does not.
        reads: Files and folders there, by relative paths, that it needs.
        writes: Those that it makes, replaces or removes.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    folder: Path | None = None
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def called_in(self, folder: Path | None) -> tuple[Any, ...]:
        """Returns the arguments for a call with the job's files in a folder."""
        return tuple(
            folder / argument.path if isinstance(argument, Here) and folder is not None else argument
            for argument in self.arguments
        )


class Engine(Protocol):
    """Runs independent jobs.

    Attributes:
        workers: How many at a time.
    """

    workers: int

    def run(self, jobs: Sequence[Job], *, died: Callable[[Job], Any] | None = None) -> Iterator[tuple[Job, Any]]:
        """Yields each job with its result as it finishes; the first error ends all.

        Args:
            jobs: Independent of each other.
            died: Called with a job that takes its process down, alone too: returns its result. By default that is an
                error.

        Raises:
            RuntimeError: A job took its process down.
        """
        ...


class LocalEngine:
    """Runs jobs in processes of this machine.

    Args:
        workers: How many at a time; by default one a core.

    Raises:
        ValueError: Fewer than one worker.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers if workers is not None else _cores()
        if self.workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")

    def run(self, jobs: Sequence[Job], *, died: Callable[[Job], Any] | None = None) -> Iterator[tuple[Job, Any]]:
        """See :class:`Engine`."""
        left = list(jobs)
        try:
            for job, result in self._together(left, self.workers):
                left.remove(job)
                yield job, result
        except BrokenProcessPool:
            # Which one it was nobody knows: alone, it shows.
            for job in left:
                try:
                    yield from self._together([job], 1)
                except BrokenProcessPool as error:
                    if died is None:
                        raise RuntimeError(f"the process of {job.name} died: killed, or out of memory?") from error
                    yield job, died(job)

    def _together(self, jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, Any]]:
        if not jobs:
            return
        # Spawned, not forked: a Bullet client or a thread pool must not be inherited.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=context, initializer=_prepare_worker, initargs=(os.getpid(),)
        )
        try:
            with _one_thread_each():
                waiting: dict[Future[Any], Job] = {
                    pool.submit(job.function, *job.called_in(job.folder)): job for job in jobs
                }
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Lets processes that start now use one thread each: threads of one would take the cores of the others."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with(parent: int) -> None:
    """Ends this worker when its parent was killed: no one would take its result."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def _cores() -> int:
    """Cores that this process may use; where the system does not tell, those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepare_worker(parent: int) -> None:
    # Ctrl-C goes to the parent, which ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


ENGINES: dict[str, type[LocalEngine]] = {"local": LocalEngine}

"""Runs jobs in processes of this machine."""

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
from typing import Any

from demos.engines.job import PROGRESS_SECONDS, Died, Job, Schedule, Watch, progress

PARENT_CHECK_SECONDS = 0.5
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries ask at their import how many threads they may use."""


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

    def run(
        self, jobs: Sequence[Job], *, died: Died | None = None, watch: Watch | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """See :class:`demos.engines.Engine`."""
        schedule = Schedule(jobs)
        while schedule.left:
            try:
                yield from _together(schedule, min(self.workers, len(jobs)), watch)
            except BrokenProcessPool:
                # Which one it was nobody knows: alone, it shows.
                for job in list(schedule.running):
                    try:
                        yield from _together(Schedule([job]), 1, watch)
                    except BrokenProcessPool as error:
                        if died is None:
                            raise RuntimeError(
                                f"the process of {job.name} died: killed, or out of memory?"
                            ) from error
                        yield job, died(job)
                    schedule.end(job)


def _together(schedule: Schedule, workers: int, watch: Watch | None) -> Iterator[tuple[Job, Any]]:
    """Runs what is left of a schedule in one pool of processes."""
    # Spawned, not forked: a Bullet client or a thread pool must not be inherited.
    context = multiprocessing.get_context("spawn")
    told = context.SimpleQueue()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_prepare_worker, initargs=(os.getpid(), told if watch else None)
    )
    running: dict[Future[Any], Job] = {}
    try:
        while True:
            while len(running) < workers and (job := schedule.next()) is not None:
                with _one_thread_each():
                    running[pool.submit(_called, job.name, job.function, job.called_in(job.folder))] = job
                if watch is not None:
                    watch(job, 0.0)
            if not running:
                break
            ended = wait(running, None if watch is None else PROGRESS_SECONDS, FIRST_COMPLETED).done
            named = {job.name: job for job in running.values()}
            while watch is not None and not told.empty():
                name, share = told.get()
                if name in named:
                    watch(named[name], share)
            for future in ended:
                result = future.result()
                job = running.pop(future)
                schedule.end(job)
                yield job, result
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _called(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Calls a job in its process."""
    progress.listened_to_by(None if _told is None else lambda share: _told.put((name, share)))
    try:
        return function(*arguments)
    finally:
        progress.listened_to_by(None)


_told: Any = None
"""Where this worker tells how far it is; None in the parent, and where nobody asks."""


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


def _prepare_worker(parent: int, told: Any = None) -> None:
    global _told
    _told = told
    # Ctrl-C goes to the parent, which ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

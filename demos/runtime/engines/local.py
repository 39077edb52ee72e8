"""Runs jobs in processes of this machine: one process a job, so that what one leaves behind decides nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from demos.runtime.engines.job import Job, OnCrash, Schedule, Watch, progress

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries ask at their import how many threads they may use."""
GRACE_SECONDS = 2.0
"""That a process has to end when its job has: what a job leaves behind does not hold up the rest."""
TOLD, DONE, FAILED = "told", "done", "failed"
"""What a process says: how far it is, and how it ended."""


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
        self, jobs: Sequence[Job], *, died: OnCrash | None = None, watch: Watch | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """See :class:`demos.runtime.engines.Engine`."""
        schedule = Schedule(jobs)
        context = _context({name for job in jobs for name in (job.function.__module__, *job.imports)})
        running: list[_Running] = []
        lost: dict[str, Job] = {}
        try:
            while schedule.left:
                while len(running) < self.workers and not lost and (job := schedule.next()) is not None:
                    running.append(_begin(context, job, watch))
                if not running:
                    # What died may have wanted more memory than there was beside others: it has another try alone.
                    running.append(_begin(context, next(iter(lost.values())), watch))
                for one in _heard_of(running):
                    message = one.receive()
                    if message is not None and message[0] == TOLD:
                        if watch is not None:
                            watch(one.job, message[1])
                        continue
                    running.remove(one)
                    if message is None and one.job.name not in lost:
                        one.end(0.0)
                        lost[one.job.name] = one.job
                        continue
                    lost.pop(one.job.name, None)
                    result = _result(one, message, died)
                    schedule.end(one.job)
                    yield one.job, result
        finally:
            for one in running:
                one.end(0.0)


@dataclass(eq=False)
class _Running:
    """A job and its process."""

    job: Job
    process: Any
    heard: Connection

    def receive(self) -> tuple[str, Any] | None:
        """What its process says; None if that died."""
        # What it began may hold its end of the pipe when it is gone itself.
        if not self.heard.poll():
            return None
        try:
            kind, content = ForkingPickler.loads(self.heard.recv_bytes())
        except (EOFError, OSError):
            return None
        return str(kind), content

    def end(self, grace: float) -> None:
        """End the process, and what it began, after some time."""
        self.process.join(grace)
        # Its group, which holds what it began, may be there when it is not.
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.heard.close()


def _begin(context: Any, job: Job, watch: Watch | None) -> _Running:
    heard, told = context.Pipe(duplex=False)
    call = bytes(ForkingPickler.dumps((job.function, job.called_in(job.folder))))
    process = context.Process(target=_work, args=(told, call, dict(os.environ)), name=job.name)
    # Threads of one would take the cores of the others.
    with _environment(**dict.fromkeys(THREADS, "1")):
        process.start()
    told.close()
    if watch is not None:
        watch(job, 0.0)
    return _Running(job, process, heard)


def _heard_of(running: Sequence[_Running]) -> list[_Running]:
    """Wait until some process says something or ends."""
    ready = wait([part for one in running for part in (one.heard, one.process.sentinel)])
    return [one for one in running if one.heard in ready or one.process.sentinel in ready]


def _result(ended: _Running, message: tuple[str, Any] | None, died: OnCrash | None) -> Any:
    """What a job came to.

    Raises:
        RuntimeError: It took its process down, and nobody is told.
    """
    ended.end(0.0 if message is None else GRACE_SECONDS)
    if message is None:
        if died is None:
            raise RuntimeError(f"the process of {ended.job.name} died: killed, or out of memory?")
        return died(ended.job)
    kind, content = message
    if kind == FAILED:
        error, trace = content
        raise error from _ElsewhereError(trace)
    return content


class _ElsewhereError(Exception):
    """The traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _work(told: Connection, call: bytes, environment: dict[str, str]) -> None:
    """Does a job in a process of its own."""
    os.environ.clear()
    os.environ.update({**environment, **dict.fromkeys(THREADS, "1")})
    # Ctrl-C goes to the parent, which ends the workers; what they begin ends with them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(0, 0)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    progress.listened_to_by(lambda share: told.send((TOLD, share)))
    try:
        function, arguments = ForkingPickler.loads(call)
        message = bytes(ForkingPickler.dumps((DONE, function(*arguments))))
    except BaseException as error:
        trace = traceback.format_exc()
        try:
            message = bytes(ForkingPickler.dumps((FAILED, (error, trace))))
            ForkingPickler.loads(message)
        except Exception:
            message = bytes(ForkingPickler.dumps((FAILED, (RuntimeError(repr(error)), trace))))
    progress.listened_to_by(None)
    told.send_bytes(message)
    told.close()


def _end_with_the_parent() -> None:
    """End this process, and what it began, when its parent was killed: no one would take its result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


_imported: set[str] = set()
"""What the server of forks imported."""


def _context(modules: set[str]) -> Any:
    """How processes begin: as copies of one that has imported the modules and done nothing else.

    Not as copies of this one: a Bullet client or a thread must not be inherited. Where that is not safe (outside of
    Linux), or what is imported cannot be told (before Python 3.11), each process imports for itself.
    """
    if sys.platform != "linux" or sys.version_info < (3, 11):
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    # This module too: its functions run in each process, whatever the jobs are.
    wanted = {name for name in modules | {__name__} if name not in ("builtins", "__main__")}
    if not wanted <= _imported:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        # Preload earlier modules too: jobs of alternating kinds then do not import them each time.
        _imported.update(wanted)
        context.set_forkserver_preload(sorted(_imported))
    # It is to find the same modules as this process.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with _environment(PYTHONPATH=path, PYTHONSAFEPATH="1", **dict.fromkeys(THREADS, "1")):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables for processes that start now."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _cores() -> int:
    """Cores that this process may use; where the system does not tell, those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

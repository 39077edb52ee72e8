"""Engine that runs each job in its own process on this machine, so that no job depends on the state of another."""

from __future__ import annotations

import contextlib
import faulthandler
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from demos.runtime.engines.job import Job, OnCrash, OnProgress, Schedule, TimeLimit, progress

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

Context: TypeAlias = "ForkServerContext | SpawnContext"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that limit the threads of numeric libraries."""
LONGEST_WAIT_SECONDS = 3600.0
"""Longest time between two looks at the time limits of jobs, seconds."""
GRACE_SECONDS = 2.0
"""Time that a process has to exit after its job ended, or to write where it hangs, seconds."""
REPORT, DONE, FAILED = "report", "done", "failed"
"""Kinds of messages that a process sends."""


class LocalEngine:
    """Engine that runs jobs in processes of this machine.

    Args:
        workers: Number of jobs that run at the same time; one for each core by default.

    Raises:
        ValueError: There is no worker.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers if workers is not None else usable_cores()
        if self.workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")

    def run(
        self, jobs: Sequence[Job], *, on_crash: OnCrash | None = None, on_progress: OnProgress | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """See :class:`demos.runtime.engines.Engine`."""
        schedule = Schedule(jobs)
        context = _context({name for job in jobs for name in (job.function.__module__, *job.imports)})
        running: list[_Running] = []
        crashed: dict[str, Job] = {}
        folder = tempfile.TemporaryDirectory(prefix="lam-envs-", ignore_cleanup_errors=True)
        traces = (Path(folder.name) / str(number) for number in count())
        try:
            while schedule.left:
                while len(running) < self.workers and not crashed and (job := schedule.next()) is not None:
                    running.append(_begin(context, job, next(traces), on_progress))
                if not running:
                    # A crashed job may have run out of memory beside others: try it once more, alone.
                    running.append(_begin(context, next(iter(crashed.values())), next(traces), on_progress))
                for running_job in _ready(running):
                    message = running_job.receive()
                    if message is not None and message[0] == REPORT:
                        running_job.hear(message[1], on_progress)
                        continue
                    running.remove(running_job)
                    if message is None and not running_job.is_late and running_job.job.name not in crashed:
                        running_job.end(0.0)
                        crashed[running_job.job.name] = running_job.job
                        continue
                    crashed.pop(running_job.job.name, None)
                    result = _result(running_job, message, on_crash)
                    schedule.end(running_job.job)
                    yield running_job.job, result
        finally:
            for running_job in running:
                running_job.end(0.0)
            folder.cleanup()


@dataclass(eq=False)
class _Running:
    """Job and its process.

    Attributes:
        job: Job that runs.
        process: Its process.
        messages: End of the pipe on which the process sends messages.
        trace: File in which the process writes where it crashes.
        limit: Time limit that it set last.
        until: Time at which the limit is over, as that of ``time.monotonic``.
    """

    job: Job
    process: Any
    messages: Connection
    trace: Path
    limit: TimeLimit = field(default_factory=TimeLimit)
    until: float = math.inf

    @property
    def is_late(self) -> bool:
        """True if the time limit is over."""
        return time.monotonic() >= self.until

    def hear(self, report: float | TimeLimit, on_progress: OnProgress | None) -> None:
        """Take a report of the process: its progress, or a time limit."""
        if isinstance(report, TimeLimit):
            self.limit, self.until = report, time.monotonic() + report.seconds
        elif on_progress is not None:
            on_progress(self.job, report)

    def error(self) -> Exception:
        """Return the error of a process that crashed or was late, caused by where it was."""
        late = self.is_late
        if late:
            # faulthandler then writes the trace.
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, signal.SIGABRT)
            self.process.join(GRACE_SECONDS)
        died = f"the process of {self.job.name} died: it was killed, or ran out of memory"
        error = self.limit.error() if late else RuntimeError(died)
        if self.trace.is_file() and (trace := self.trace.read_text(errors="replace")):
            error.__cause__ = RemoteTracebackError(trace)
        return error

    def receive(self) -> tuple[str, Any] | None:
        """Return the next message of the process; None if it crashed."""
        # Its child processes may hold its end of the pipe open after it is gone.
        if not self.messages.poll():
            return None
        try:
            kind, content = ForkingPickler.loads(self.messages.recv_bytes())
        except (EOFError, OSError):
            return None
        return str(kind), content

    def end(self, grace: float) -> None:
        """End the process and its child processes after some time, seconds."""
        self.process.join(grace)
        # Its process group, with its children, may outlive it.
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.messages.close()


def _begin(context: Context, job: Job, trace: Path, on_progress: OnProgress | None) -> _Running:
    messages, sender = context.Pipe(duplex=False)
    call = bytes(ForkingPickler.dumps((job.function, job.arguments_in(job.folder))))
    process = context.Process(target=_work, args=(sender, call, dict(os.environ), trace), name=job.name)
    # Threads of one job would take the cores of others.
    with _environment(**dict.fromkeys(THREADS, "1")):
        process.start()
    sender.close()
    if on_progress is not None:
        on_progress(job, 0.0)
    return _Running(job, process, messages, trace)


def _ready(running: Sequence[_Running]) -> list[_Running]:
    """Wait until a process sends a message, ends or is late; return those that did or are."""
    until = min(running_job.until for running_job in running)
    # The system call waits for weeks at most.
    timeout = None if math.isinf(until) else min(max(0.0, until - time.monotonic()), LONGEST_WAIT_SECONDS)
    ready = wait(
        [part for running_job in running for part in (running_job.messages, running_job.process.sentinel)], timeout
    )
    return [
        running_job
        for running_job in running
        if running_job.messages in ready or running_job.process.sentinel in ready or running_job.is_late
    ]


def _result(ended: _Running, message: tuple[str, Any] | None, on_crash: OnCrash | None) -> Any:
    """Return the result of a job.

    Raises:
        RuntimeError: Its process crashed, and ``on_crash`` is not given.
        TimeoutError: It was late, and ``on_crash`` is not given.
    """
    if message is None:
        error = ended.error()
        ended.end(0.0)
        if on_crash is None:
            raise error
        return on_crash(ended.job, error)
    ended.end(GRACE_SECONDS)
    kind, content = message
    if kind == FAILED:
        failure, trace = content
        raise failure from RemoteTracebackError(trace)
    return content


class RemoteTracebackError(Exception):
    """Traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _work(sender: Connection, call: bytes, environment: dict[str, str], trace: Path) -> None:
    """Run a job in this process."""
    faulthandler.enable(trace.open("w"))
    os.environ.clear()
    os.environ.update({**environment, **dict.fromkeys(THREADS, "1")})
    # Ctrl-C goes to the parent, which ends the workers and their children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        os.setpgid(0, 0)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    progress.set_listener(lambda report: sender.send((REPORT, report)))
    try:
        function, arguments = ForkingPickler.loads(call)
        message = bytes(ForkingPickler.dumps((DONE, function(*arguments))))
    except BaseException as error:
        text = traceback.format_exc()
        try:
            message = bytes(ForkingPickler.dumps((FAILED, (error, text))))
            ForkingPickler.loads(message)
        except Exception:
            message = bytes(ForkingPickler.dumps((FAILED, (RuntimeError(repr(error)), text))))
    progress.set_listener(None)
    sender.send_bytes(message)
    sender.close()


def _exit_with_parent() -> None:
    """End this process and its children when its parent is gone: nobody would receive the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    with contextlib.suppress(OSError, AttributeError):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


_imported: set[str] = set()
"""Modules that the fork server has imported."""


def _context(modules: set[str]) -> Context:
    """Return the multiprocessing context: processes are forked from a server that has only imported the modules.

    They are not forked from this process, because a Bullet client or a thread must not be inherited. Where a fork
    server is not safe (outside of Linux) or cannot preload modules (before Python 3.11), processes are spawned.
    """
    if sys.platform != "linux" or sys.version_info < (3, 11):
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    # Include this module: its functions run in each process. What is built into Python needs no import.
    wanted = (modules | {__name__}) - {*sys.builtin_module_names, "__main__"}
    if not wanted <= _imported:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        # Preload earlier modules too: jobs of alternating kinds then do not import them each time.
        _imported.update(wanted)
        context.set_forkserver_preload(sorted(_imported))
    # The server must find the same modules as this process.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with _environment(PYTHONPATH=path, PYTHONSAFEPATH="1", **dict.fromkeys(THREADS, "1")):
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for processes that start within the block."""
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


def usable_cores() -> int:
    """Return the number of cores that this process may use, or of the machine if that is unknown."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

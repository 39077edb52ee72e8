"""Runs jobs on the machines of a Ray cluster.

What a job reads and writes travels through Ray's object store, unless all machines share the folder it is in.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from demos.runtime.engines.job import Job, OnCrash, Schedule, Watch, progress
from demos.runtime.engines.local import THREADS

RETRIES = 2
"""How often a job is begun again whose machine or process was lost."""
POLL_SECONDS = 0.5
LOCAL = "local"
"""The address of a cluster that is started here."""

Files = dict[str, bytes | None]
"""Content by relative path, with ``/``; None of a folder."""


class RayEngine:
    """Runs jobs on a Ray cluster.

    A job whose machine is lost is begun again on another. lam-envs and the agents that are measured are to be
    installed on every machine. Ray listens to the network and asks for no password: start it only in a network that
    you trust.

    Args:
        workers: How many at a time; by default one a core of the cluster.
        address: Of the cluster: ``auto`` for the one that this machine belongs to, ``host:port``, or ``local`` for
            one that is started here and ends with this process.
        shared: Whether all machines have the jobs' folders, under the same paths: then nothing travels.

    Raises:
        ImportError: Ray is not installed.
        ValueError: Fewer than one worker, or there is no such cluster.
    """

    def __init__(self, workers: int | None = None, *, address: str = "auto", shared: bool = False) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        try:
            import ray
        except ImportError as error:
            raise ImportError("the engine ray needs Ray: pip install 'lam-envs[ray]'") from error
        self._ray: Any = ray
        self._shared = shared
        if not ray.is_initialized():
            try:
                # A page that nobody asked for is not served.
                quiet = {"include_dashboard": False} if address == LOCAL else {}
                self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ValueError(
                    f"no Ray cluster at {address!r} ({error}): start one by `ray start --head`, give --address "
                    "host:port, or --address local for one on this machine alone"
                ) from error
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def run(
        self, jobs: Sequence[Job], *, died: OnCrash | None = None, watch: Watch | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """See :class:`demos.runtime.engines.Engine`."""
        ray = self._ray
        remote = ray.remote(
            num_cpus=1,
            max_retries=RETRIES,
            # A task that comes back runs in a fresh process: what the last one left behind decides nothing.
            max_calls=1,
            runtime_env={"env_vars": dict.fromkeys(THREADS, "1")},
        )(_called)
        board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board).remote() if watch else None
        schedule = Schedule(jobs)
        running: dict[Any, Job] = {}
        stored: dict[tuple[Path, str], Any] = {}
        try:
            while schedule.left:
                while len(running) < self.workers and (job := schedule.next()) is not None:
                    sent = None if self._shared else self._sent(job, stored)
                    running[remote.remote(job, sent, board)] = job
                    if watch is not None:
                        watch(job, 0.0)
                ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
                if watch is not None:
                    self._show(board, running, watch)
                for reference in ended:
                    job = running.pop(reference)
                    yield job, self._taken(job, reference, died, stored)
                    schedule.end(job)
        finally:
            self._cancel(list(running))
            if board is not None:
                ray.kill(board)

    def _sent(self, job: Job, stored: dict[tuple[Path, str], Any]) -> dict[str, Any]:
        """Put what a job reads into the object store, once for all jobs that read it."""
        sent = {}
        for name in job.reads:
            assert job.folder is not None  # noqa: S101  (what reads has a folder)
            key = (job.folder, name)
            if key not in stored:
                stored[key] = self._ray.put(packed(job.folder, name))
            sent[name] = stored[key]
        return sent

    def _taken(self, job: Job, reference: Any, died: OnCrash | None, stored: dict[tuple[Path, str], Any]) -> Any:
        """Take a job's result, and puts what it wrote into its folder."""
        try:
            result, written = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except (self._ray.exceptions.RaySystemError, self._ray.exceptions.RayError) as error:
            if died is None:
                raise RuntimeError(f"the process of {job.name} died: killed, or out of memory?") from error
            return died(job)
        if written is not None and job.folder is not None:
            for name in job.writes:
                put(job.folder, name, written.get(name))
                # Who reads it from now on reads this.
                stored.pop((job.folder, name), None)
        return result

    def _cancel(self, references: list[Any]) -> None:
        """End what still runs; Ray 2.60 aborts a process that cancels what has just ended."""
        if references:
            _, unfinished = self._ray.wait(references, num_returns=len(references), timeout=0)
            for reference in unfinished:
                self._ray.cancel(reference, force=True)

    def _show(self, board: Any, running: dict[Any, Job], watch: Watch) -> None:
        named = {job.name: job for job in running.values()}
        try:
            told = self._ray.get(board.taken.remote(), timeout=POLL_SECONDS)
        except self._ray.exceptions.RayError:
            # The machine it was on is gone, or slow: what it knew is of no importance.
            return
        for name, share in told.items():
            if name in named:
                watch(named[name], share)


class _Board:
    """Where the jobs of all machines write how far they are."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}

    def write(self, name: str, share: float) -> None:
        self._shares[name] = share

    def taken(self) -> dict[str, float]:
        """What was written since it was last asked."""
        shares, self._shares = self._shares, {}
        return shares


def _called(job: Job, sent: dict[str, Any] | None, board: Any) -> tuple[Any, dict[str, Files] | None]:
    """Run a job on a machine of the cluster; returns what it returns and what it wrote."""
    listener: Callable[[float], None] | None = None
    if board is not None:
        listener = lambda share: board.write.remote(job.name, share)  # noqa: E731
    progress.listened_to_by(listener)
    try:
        if sent is None or job.folder is None:
            return job.function(*job.called_in(job.folder)), None
        import ray  # late: only machines of a cluster have it

        with tempfile.TemporaryDirectory(prefix="lam-envs-") as made:
            folder = Path(made)
            for name, reference in sent.items():
                put(folder, name, ray.get(reference))
            result = job.function(*job.called_in(folder))
            return result, {name: packed(folder, name) for name in job.writes if (folder / name).exists()}
    finally:
        progress.listened_to_by(None)


def packed(folder: Path, name: str) -> Files:
    """Read a file or a folder, with all that is in it.

    Args:
        folder: Where it is.
        name: Its relative path; nothing is read if nothing is there.
    """
    top = folder / name
    if top.is_file():
        return {"": top.read_bytes()}
    if not top.is_dir():
        return {}
    found: Files = {"": None}
    for path in sorted(top.rglob("*")):
        if not path.is_symlink():
            found[path.relative_to(top).as_posix()] = path.read_bytes() if path.is_file() else None
    return found


def put(folder: Path, name: str, files: Files | None) -> None:
    """Write what :func:`packed` read, in place of what is there, at once or not at all.

    Args:
        folder: Where to.
        name: Relative path in it.
        files: What was read; nothing, or None, removes what is there.

    Raises:
        ValueError: A path leaves the folder.
    """
    target = _within(folder, name)
    if not files:
        _remove(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".coming-", dir=target.parent) as made:
        top = Path(made) / "it"
        for path, content in files.items():
            place = _within(top, path) if path else top
            if content is None:
                place.mkdir(parents=True, exist_ok=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        if target.is_dir():
            _remove(target)
        os.replace(top, target)


def _within(folder: Path, path: str) -> Path:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"{path!r} leaves its folder")
    return folder.joinpath(*pure.parts)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

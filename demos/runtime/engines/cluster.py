"""Engine that runs jobs on the machines of a Ray cluster.

Files of jobs are sent through Ray's object store, unless all machines share a file system.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from demos.runtime.engines.job import Job, OnCrash, OnProgress, Schedule, TimeLimit, progress
from demos.runtime.engines.local import THREADS

if TYPE_CHECKING:
    import ray

RETRIES = 2
"""Number of retries of a job whose machine or process was lost."""
POLL_SECONDS = 0.5
LOCAL = "local"
"""Address that starts a cluster on this machine."""

Files = dict[str, bytes | None]
"""Content by relative path, separated by ``/``; None for a folder."""
ObjectRef: TypeAlias = "ray.ObjectRef[Any]"
"""Reference to the files or the result of a job in the object store of Ray."""
Stored: TypeAlias = dict[tuple[Path, str], ObjectRef]
"""References to files by folder and relative path."""


class RayEngine:
    """Engine that runs jobs on a Ray cluster.

    A job whose machine is lost starts again on another one. Install lam-envs and the agents on every machine. Ray
    listens to the network and asks for no password: start it only in a network that you trust.

    Args:
        workers: Number of jobs that run at the same time; one for each core of the cluster by default.
        address: Address of the cluster: ``auto`` for that of this machine, ``host:port``, or ``local`` to start one
            here that ends with this process.
        shared_filesystem: True if all machines see the folders of the jobs under the same paths: no files are sent.

    Raises:
        ImportError: Ray is not installed.
        ValueError: There is no worker, or no such cluster.
    """

    def __init__(self, workers: int | None = None, *, address: str = "auto", shared_filesystem: bool = False) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers is {workers}; expected at least 1")
        try:
            import ray
        except ImportError as error:
            raise ImportError("the engine ray needs Ray: pip install 'lam-envs[ray]'") from error
        self._ray: ModuleType = ray
        self._shared = shared_filesystem
        if not ray.is_initialized():
            try:
                # The dashboard is not needed.
                options = {"include_dashboard": False} if address == LOCAL else {}
                self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise ValueError(
                    f"no Ray cluster at {address!r} ({error}): start one by `ray start --head`, give --address "
                    "host:port, or --address local for one on this machine alone"
                ) from error
        self.workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def run(
        self, jobs: Sequence[Job], *, on_crash: OnCrash | None = None, on_progress: OnProgress | None = None
    ) -> Iterator[tuple[Job, Any]]:
        """See :class:`demos.runtime.engines.Engine`."""
        ray = self._ray
        remote = ray.remote(
            num_cpus=1,
            max_retries=RETRIES,
            # Each job runs in a fresh process, so that it does not depend on the state of another.
            max_calls=1,
            runtime_env={"env_vars": dict.fromkeys(THREADS, "1")},
        )(_run_job)
        progress_actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_ProgressActor).remote()
        schedule = Schedule(jobs)
        running: dict[ObjectRef, Job] = {}
        stored: Stored = {}
        late: dict[str, TimeLimit] = {}
        try:
            while schedule.left:
                while len(running) < self.workers and (job := schedule.next()) is not None:
                    sent = None if self._shared else self._put_files(job, stored)
                    running[remote.remote(job, sent, progress_actor)] = job
                    if on_progress is not None:
                        on_progress(job, 0.0)
                ended, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
                over = self._report_progress(progress_actor, running, on_progress)
                for reference in ended:
                    job = running.pop(reference)
                    yield job, self._collect_result(job, reference, late.get(job.name), on_crash, stored)
                    schedule.end(job)
                self._cancel([each for each, job in running.items() if job.name in over and job.name not in late])
                late |= over
        finally:
            self._cancel(list(running))
            ray.kill(progress_actor)

    def _put_files(self, job: Job, stored: Stored) -> dict[str, ObjectRef]:
        """Put the files that a job reads into the object store, once for all jobs that read them."""
        sent = {}
        for name in job.reads:
            assert job.folder is not None  # noqa: S101  (a job that reads has a folder)
            key = (job.folder, name)
            if key not in stored:
                stored[key] = self._ray.put(read_files(job.folder, name))
            sent[name] = stored[key]
        return sent

    def _collect_result(
        self,
        job: Job,
        reference: ObjectRef,
        late: TimeLimit | None,
        on_crash: OnCrash | None,
        stored: Stored,
    ) -> Any:
        """Return the result of a job, and write its files into its folder."""
        try:
            result, written = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except (self._ray.exceptions.RaySystemError, self._ray.exceptions.RayError) as error:
            died = f"the process of {job.name} died: it was killed, or ran out of memory"
            failure = RuntimeError(died) if late is None else late.error()
            if on_crash is None:
                raise failure from error
            return on_crash(job, failure)
        if written is not None and job.folder is not None:
            for name in job.writes:
                write_files(job.folder, name, written.get(name))
                # Later jobs must read the new content.
                stored.pop((job.folder, name), None)
        return result

    def _cancel(self, references: list[ObjectRef]) -> None:
        """Cancel running jobs, without those that just ended: canceling these aborts the process in Ray 2.60."""
        if references:
            _, unfinished = self._ray.wait(references, num_returns=len(references), timeout=0)
            for reference in unfinished:
                self._ray.cancel(reference, force=True)

    def _report_progress(
        self, progress_actor: Any, running: dict[ObjectRef, Job], on_progress: OnProgress | None
    ) -> dict[str, TimeLimit]:
        """Pass the progress of the jobs on, and return the time limits that are over, by the names of their jobs."""
        named = {job.name: job for job in running.values()}
        try:
            fractions, over = self._ray.get(progress_actor.read.remote(), timeout=POLL_SECONDS)
        except self._ray.exceptions.RayError:
            # Its machine is gone or slow: a later call has the reports.
            return {}
        for name, fraction in fractions.items():
            if name in named and on_progress is not None:
                on_progress(named[name], fraction)
        return {name: limit for name, limit in over.items() if name in named}


class _ProgressActor:
    """Ray actor that collects the last progress and the last time limit of the jobs on all machines."""

    def __init__(self) -> None:
        self._fractions: dict[str, float] = {}
        self._limits: dict[str, tuple[float, TimeLimit]] = {}

    def write(self, name: str, report: float | TimeLimit) -> None:
        if isinstance(report, TimeLimit):
            self._limits[name] = (time.monotonic() + report.seconds, report)
        else:
            self._fractions[name] = report

    def read(self) -> tuple[dict[str, float], dict[str, TimeLimit]]:
        """Return the progress of the jobs, and the time limits that are over."""
        now = time.monotonic()
        return self._fractions, {name: limit for name, (until, limit) in self._limits.items() if now >= until}


def _run_job(job: Job, sent: dict[str, ObjectRef] | None, progress_actor: Any) -> tuple[Any, dict[str, Files] | None]:
    """Run a job on a machine of the cluster; return its result and the files that it wrote."""
    progress.set_listener(lambda report: progress_actor.write.remote(job.name, report))
    # A machine that was lost may have set one.
    progress.no_limit()
    try:
        if sent is None or job.folder is None:
            return job.function(*job.arguments_in(job.folder)), None
        import ray  # late: an optional dependency

        with tempfile.TemporaryDirectory(prefix="lam-envs-") as temporary:
            folder = Path(temporary)
            for name, reference in sent.items():
                write_files(folder, name, ray.get(reference))
            result = job.function(*job.arguments_in(folder))
            return result, {name: read_files(folder, name) for name in job.writes if (folder / name).exists()}
    finally:
        progress.set_listener(None)


def read_files(folder: Path, name: str) -> Files:
    """Return the content of a file, or of all files in a folder.

    Args:
        folder: Folder that holds it.
        name: Relative path in the folder; the result is empty if nothing is there.
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


def write_files(folder: Path, name: str, files: Files | None) -> None:
    """Write the files that :func:`read_files` returned, atomically, in place of what is there.

    Args:
        folder: Folder to write into.
        name: Relative path in it.
        files: Result of :func:`read_files`; an empty one or None removes what is there.

    Raises:
        ValueError: A path leaves the folder.
    """
    target = _within(folder, name)
    if not files:
        _remove(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as temporary:
        top = Path(temporary) / "content"
        for path, content in files.items():
            destination = _within(top, path) if path else top
            if content is None:
                destination.mkdir(parents=True, exist_ok=True)
            else:
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(content)
        if target.is_dir():
            _remove(target)
        os.replace(top, target)


def _within(folder: Path, path: str) -> Path:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"the path {path!r} leaves its folder; expected a path within it")
    return folder.joinpath(*pure.parts)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

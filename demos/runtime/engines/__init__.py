"""Engines that run jobs: ``local`` in processes of this machine, ``ray`` on a cluster."""

from __future__ import annotations

from demos.runtime.engines.job import Engine, Job, JobPath, OnCrash, OnProgress, progress
from demos.runtime.engines.local import LocalEngine
from lam_envs.validation import check_name

__all__ = ["ENGINES", "Engine", "Job", "JobPath", "LocalEngine", "OnCrash", "OnProgress", "make_engine", "progress"]

ENGINES = ("local", "ray")


def make_engine(
    name: str = "local", workers: int | None = None, *, address: str | None = None, shared_filesystem: bool = False
) -> Engine:
    """Make an engine.

    Args:
        name: ``local`` or ``ray``.
        workers: Number of jobs that run at the same time; one for each core by default.
        address: Address of the Ray cluster; ``auto`` by default.
        shared_filesystem: True if all machines of the cluster see the same folders.

    Raises:
        ImportError: Ray is not installed.
        ValueError: The name is unknown, there is no worker or no such cluster, or ``local`` gets cluster options.
    """
    if check_name("engine", name, ENGINES) == "ray":
        from demos.runtime.engines.cluster import RayEngine  # late: few need it

        return RayEngine(workers, address=address or "auto", shared_filesystem=shared_filesystem)
    if address is not None or shared_filesystem:
        raise ValueError("--address and --shared-filesystem need a cluster; add --engine ray")
    return LocalEngine(workers)

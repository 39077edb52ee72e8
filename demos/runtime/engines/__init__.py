"""Where jobs run. ``local``: processes of this machine; ``ray``: a cluster."""

from __future__ import annotations

from demos.runtime.engines.job import Engine, Job, JobPath, OnCrash, Watch, progress
from demos.runtime.engines.local import LocalEngine
from lam_envs.validation import known_name

__all__ = ["ENGINES", "Engine", "Job", "JobPath", "LocalEngine", "OnCrash", "Watch", "make_engine", "progress"]

ENGINES = ("local", "ray")


def make_engine(
    name: str = "local", workers: int | None = None, *, address: str | None = None, shared: bool = False
) -> Engine:
    """Make an engine.

    Args:
        name: ``local`` or ``ray``.
        workers: Jobs at a time; by default one a core.
        address: Of a cluster; by default ``auto``.
        shared: Whether all machines of a cluster share the folders of the jobs.

    Raises:
        ImportError: Ray is not installed.
        ValueError: An unknown name, fewer than one worker, no such cluster, or what is of clusters for ``local``.
    """
    if known_name("engine", name, ENGINES) == "ray":
        from demos.runtime.engines.cluster import RayEngine  # late: few need it

        return RayEngine(workers, address=address or "auto", shared=shared)
    if address is not None or shared:
        raise ValueError("--address and --shared are of clusters; add --engine ray")
    return LocalEngine(workers)

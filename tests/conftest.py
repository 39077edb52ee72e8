"""Fixtures that several packages' tests share. Everything real: environments, files, processes."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

# Before PyTorch is imported: each core has a process that runs tests, whose threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium as gym
import pytest

import lam_envs  # noqa: F401  (registers the ids)

Make = Callable[..., gym.Env[Any, Any]]


def pytest_collection_finish() -> None:
    """Exempt the modules and tests that are there from garbage collection, which would visit them again and again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Lets the commands that tests start be interrupted, also where the tests run in the background of a shell.

    A shell has what runs in its background ignore interrupts, and what a process ignores its children ignore too.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes environments and closes them after the test."""
    made: list[gym.Env[Any, Any]] = []

    def make_one(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
        made.append(gym.make(env_id, **kwargs))
        return made[-1]

    yield make_one
    for env in made:
        env.close()


@pytest.fixture(scope="session")
def server() -> None:
    """Lets the processes of all jobs be forked from one server, which has imported what any of them needs.

    An engine starts the server again where a job needs what it has not imported, which takes seconds each time.
    """
    from agents.registry import AGENTS
    from benchmarks.runner import runner
    from demos.runtime.engines import Job, LocalEngine

    needed = (
        *(AGENTS[name].partition(":")[0] for name in ("random", "expert", "bc", "lam")),
        *runner.IMPORTED_LATE,
        *runner.IMPORTED_BY_TRAININGS,
        "benchmarks.runner.jobs",
        "demos.collection.shards",
        "tests.demos.runtime.chores",
        "tests.reader",
    )
    assert [result for _, result in LocalEngine(1).run([Job("first", abs, (-1,), imports=needed)])] == [1]


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a small dataset of each task, as (root, {env_id: dataset id})."""
    import demos

    root = tmp_path_factory.mktemp("datasets")
    ids = {}
    for env_id in ("LamReach-v0", "LamGrasp-v0"):
        ids[env_id] = demos.collect(env_id, episodes=6, seed=7, root=root).id
    return root, ids

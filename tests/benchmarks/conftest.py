"""Results of the small suite, measured once for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.runner import runner
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from .suites import written


@pytest.fixture(scope="session", autouse=True)
def started(server: None) -> None:
    """Starts the server before any job could start it with less."""


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured once, by whichever of the processes that run the tests comes first: a run goes on where it was."""
    together = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if together else base) / "suite"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if (folder / "done").exists():
            return folder / "results"
        suite = read_suite(written(folder), ("tests.benchmarks.third_party:ZeroAgent",))
        runner.run(suite, folder / "results", LocalEngine(2))
        (folder / "done").touch()
        return folder / "results"

"""Workers: they do not outlive the process that they work for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from demos.engines import Job, LocalEngine


def test_a_worker_whose_parent_is_gone_before_it_begins_ends() -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    code = (
        f"import time; from demos.engines import _prepare_worker; _prepare_worker({int(gone.stdout)}); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 1


def jobs() -> list[Job]:
    return [Job("one", abs, (-1,)), Job("bad", os._exit, (3,)), Job("two", abs, (-2,)), Job("worse", os._exit, (4,))]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_that_takes_its_process_down_is_told_and_the_others_are_done(workers: int) -> None:
    results = {
        job.name: result for job, result in LocalEngine(workers).run(jobs(), died=lambda job: f"{job.name} died")
    }
    assert results == {"one": 1, "two": 2, "bad": "bad died", "worse": "worse died"}


def test_where_nobody_is_told_it_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the process of bad died"):
        list(LocalEngine(2).run(jobs()))

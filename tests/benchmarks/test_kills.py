"""A run that is interrupted or killed loses what was in flight alone, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.runner.results import read_results

from .suites import finished, written


@contextlib.contextmanager
def begun(suite: str, out: Path, sign: str) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """Starts a run in a session of its own, waits until such a file is there, and leaves nothing behind."""
    command = [sys.executable, "-m", "benchmarks", "run", suite, "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            deadline = time.monotonic() + 100
            while not list(out.glob(sign)):
                assert process.poll() is None, "the run ended before it could be stopped"
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield command, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_the_end_of_all(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 20
    while left := _processes_of(process.pid):
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.1)


def _processes_of(session: int) -> list[str]:
    """Processes of a session that are not yet gone."""
    alive = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Fields after the name in parentheses: state, parent, group, session.
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                alive.append(status.parent.name)
    return alive


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    suite = written(tmp_path, agents=["expert", "random"], training_seeds=[0], videos=None)
    with begun(suite, out, "cells/*.json") as (_, process):
        os.killpg(process.pid, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    again = CliRunner().invoke(app, ["run", suite, "--out", str(out)])
    assert again.exit_code == 0, again.output
    assert len(read_results(out)[1]) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills_at_random_moments_change_no_result(results: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    suite, out = written(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks", "run", suite, "--out", str(out), "--workers", "2"]
    killed = 0
    while killed < 10:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=float(rng.uniform(2.0, 10.0)))
        if process.poll() is not None:
            assert process.returncode == 0
            shutil.rmtree(out)
            continue
        # Now the parent alone, whose workers notice, now all at once.
        (os.kill if rng.random() < 0.5 else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
        killed += 1
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    whole = finished(results)
    assert finished(out) == {name: result for name, result in whole.items() if "ZeroAgent" not in name}


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_says_that_nothing_is_lost(tmp_path: Path) -> None:
    with begun(written(tmp_path, demonstrations=5000), tmp_path, "datasets/.partial/*/shard-*") as (_, process):
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "what was finished is kept" in said
        assert "Traceback" not in said
        wait_for_the_end_of_all(process)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with begun(written(tmp_path, demonstrations=5000), tmp_path, "datasets/.partial/*/shard-*") as (_, process):
        os.kill(process.pid, signal.SIGKILL)
        wait_for_the_end_of_all(process)

"""Engines: jobs run in order, tell how far they are, and a worker does not outlive the process it works for."""

from __future__ import annotations

import faulthandler
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from demos.runtime.engines import Job, JobPath, LocalEngine, make_engine, progress

from . import chores

pytestmark = pytest.mark.usefixtures("server")


def jobs() -> list[Job]:
    return [Job("one", abs, (-1,)), Job("bad", os._exit, (3,)), Job("two", abs, (-2,)), Job("worse", os._exit, (4,))]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_job_that_takes_its_process_down_is_reported_and_the_others_are_done(workers: int) -> None:
    results = {
        job.name: result
        for job, result in LocalEngine(workers).run(jobs(), on_crash=lambda job, error: f"{job.name} died")
    }
    assert results == {"one": 1, "two": 2, "bad": "bad died", "worse": "worse died"}


def test_where_nobody_is_reported_it_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the process of bad died"):
        list(LocalEngine(2).run(jobs()))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_begins_when_those_before_it_have_ended(workers: int, tmp_path: Path) -> None:
    order = [("c", ("b", "elsewhere")), ("b", ("a",)), ("d", ("c",)), ("a", ())]
    chain = [Job(name, chores.append, (JobPath("log"), name), folder=tmp_path, after=after) for name, after in order]
    results = {job.name: before for job, before in LocalEngine(workers).run(chain)}
    assert results == {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a", "b", "c"]}


def test_a_job_that_dies_lets_those_after_it_begin() -> None:
    chain = [Job("after", abs, (-1,), after=("bad",)), Job("bad", os._exit, (3,)), Job("other", abs, (-2,))]
    results = {job.name: result for job, result in LocalEngine(2).run(chain, on_crash=lambda job, error: "died")}
    assert results == {"bad": "died", "after": 1, "other": 2}


def test_a_job_reports_its_progress() -> None:
    seen: list[tuple[str, float]] = []
    engine = LocalEngine(2)
    work = [
        Job("one", chores.halfway, (1.0,)),
        Job("two", chores.halfway, (1.0,)),
        Job("three", chores.halfway, (1.0,)),
    ]
    assert len(list(engine.run(work, on_progress=lambda job, share: seen.append((job.name, share))))) == 3
    assert {name for name, share in seen if share == 0.0} == {"one", "two", "three"}
    assert ("one", 0.5) in seen
    progress.report(0.1)  # here nobody listens


def test_no_job_knows_of_another() -> None:
    work = [Job(name, chores.remember, (name,)) for name in ("one", "two", "three")]
    assert sorted(result for _, result in LocalEngine(1).run(work)) == [["one"], ["three"], ["two"]]


def test_a_job_that_dies_is_reported_though_what_it_began_lives() -> None:
    work = [Job("bad", chores.fork_and_die, ()), Job("good", abs, (-1,))]
    results = {job.name: result for job, result in LocalEngine(2).run(work, on_crash=lambda job, error: "died")}
    assert results == {"bad": "died", "good": 1}


def test_a_job_that_takes_longer_than_its_limit_is_ended_and_the_others_are_done() -> None:
    work = [Job("late", chores.hang, (time.sleep,)), Job("in time", chores.in_time, (0.8,))]
    errors: list[Exception] = []
    began = time.monotonic()
    ran = list(LocalEngine(2).run(work, on_crash=lambda job, error: errors.append(error)))
    assert {job.name for job, _ in ran} == {"late", "in time"}
    assert time.monotonic() - began < 100.0
    (error,) = errors
    assert str(error) == "a nap took longer than 0.2 s"
    assert "in hang\n" in str(error.__cause__), "it shows where"
    with pytest.raises(TimeoutError, match=r"a nap took longer than 0.2 s"):
        list(LocalEngine(1).run(work[:1]))


@pytest.mark.parametrize("limit", [1e9, 1e300, math.inf])
def test_a_limit_of_years_is_no_error(limit: float) -> None:
    assert len(list(LocalEngine(1).run([Job("in time", chores.in_time_of, (limit,))]))) == 1


def test_a_crash_shows_where_it_was() -> None:
    errors: list[Exception] = []
    list(
        LocalEngine(1).run([Job("bad", faulthandler._sigsegv, ())], on_crash=lambda job, error: errors.append(error))
    )
    assert "Segmentation fault" in str(errors[0].__cause__)


def command_of(process: int) -> bytes:
    """Return the command of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_what_a_job_leaves_behind_ends_with_it() -> None:
    ((_, left),) = LocalEngine(1).run([Job("one", chores.wait_for_ever, ())])
    # A kill is sent, not awaited, and whoever takes up orphans may be slow to bury them: one that is gone has no
    # command.
    deadline = time.monotonic() + 60
    while command_of(left):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([("a", ("b",)), ("b", ("a",))], "these jobs wait for each other: a, b"),
        ([("a", ("a",))], "these jobs wait for each other: a"),
        ([("a", ()), ("a", ())], "two jobs are named 'a'"),
    ],
)
def test_an_impossible_order_is_refused(chain: list[tuple[str, tuple[str, ...]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(LocalEngine(1).run([Job(name, abs, (-1,), after=after) for name, after in chain]))


def test_an_error_in_a_job_ends_all() -> None:
    with pytest.raises(ValueError, match="a mistake of mine"):
        list(LocalEngine(2).run([Job("bad", chores.failing, ()), Job("slow", time.sleep, (30,))]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"name": "lokal"}, "unknown engine 'lokal'"),
        ({"workers": 0}, "workers is 0; expected at least 1"),
        ({"address": "auto"}, "--address and --shared-filesystem need a cluster"),
        ({"name": "ray", "workers": 0}, "workers is 0"),
    ],
)
def test_engines_that_cannot_be_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_engine(**keywords)

"""On a cluster, files travel with the jobs, and a lost machine loses nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import demos
from demos.datasets.checksum import checksum
from demos.runtime.engines import Job, JobPath, LocalEngine, make_engine, progress
from demos.runtime.engines.cluster import read_files, write_files

from ...clusters import small_cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with small_cluster() as made:
        yield made


def double(folder: Path) -> str:
    """Read, writes, and takes away."""
    number = int((folder / "given" / "number.txt").read_text())
    (folder / "made").mkdir()
    (folder / "made" / "number.txt").write_text(str(2 * number))
    (folder / "old.txt").unlink(missing_ok=True)
    return str(folder)


def add(folder: Path, slowly: float) -> int:
    progress.report(0.5)
    time.sleep(slowly)
    return 1 + int((folder / "made" / "number.txt").read_text())


def where(seconds: float) -> str:
    import ray

    time.sleep(seconds)
    return str(ray.get_runtime_context().get_node_id())


def failing() -> None:
    raise ValueError("a mistake of mine")


def chain(folder: Path) -> list[Job]:
    (folder / "given").mkdir(parents=True)
    (folder / "given" / "number.txt").write_text("21")
    (folder / "old.txt").write_text("stays if nobody takes it away")
    return [
        Job("add", add, (JobPath(), 1.5), folder=folder, reads=("made",), after=("double",)),
        Job("double", double, (JobPath(),), folder=folder, reads=("given", "old.txt"), writes=("made", "old.txt")),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("shared_filesystem", [False, True])
def test_what_a_job_writes_is_read_by_the_next(shared_filesystem: bool, cluster: Any, tmp_path: Path) -> None:
    engine = make_engine("ray", 2, shared_filesystem=shared_filesystem)
    seen: list[tuple[str, float]] = []
    jobs = chain(tmp_path / "work")
    results = {
        job.name: result
        for job, result in engine.run(jobs, on_progress=lambda job, share: seen.append((job.name, share)))
    }
    assert results["add"] == 43
    assert (results["double"] == str(tmp_path / "work")) is shared_filesystem
    assert (tmp_path / "work" / "made" / "number.txt").read_text() == "42"
    assert not (tmp_path / "work" / "old.txt").exists()
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["given", "made"]
    assert ("double", 0.0) in seen
    assert ("add", 0.5) in seen


@pytest.mark.slow
def test_errors_and_deaths_are_reported_as_on_one_machine(cluster: Any) -> None:
    engine = make_engine("ray", 2)
    with pytest.raises(ValueError, match="a mistake of mine"):
        list(engine.run([Job("bad", failing, ())]))
    work = [Job("bad", os._exit, (3,)), Job("after", abs, (-1,), after=("bad",))]
    results = {job.name: result for job, result in engine.run(work, on_crash=lambda job, error: f"{job.name} died")}
    assert results == {"bad": "bad died", "after": 1}
    with pytest.raises(RuntimeError, match="the process of bad died"):
        list(engine.run([Job("bad", os._exit, (3,))]))


def hang() -> None:
    progress.limit("a nap", 1.0)
    time.sleep(600.0)


@pytest.mark.slow
def test_a_job_that_takes_longer_than_its_limit_is_ended(cluster: Any) -> None:
    engine = make_engine("ray", 2)
    work = [Job("late", hang, ()), Job("after", abs, (-1,), after=("late",))]
    results = {job.name: result for job, result in engine.run(work, on_crash=lambda job, error: repr(error))}
    assert results == {"late": "TimeoutError('a nap took longer than 1 s')", "after": 1}


@pytest.mark.slow
def test_demonstrations_collected_on_a_cluster_are_the_same(cluster: Any, tmp_path: Path) -> None:
    there = demos.collect("LamReach-v0", episodes=60, root=tmp_path / "there", engine=make_engine("ray", 2))
    here = demos.collect("LamReach-v0", episodes=60, root=tmp_path / "here", engine=LocalEngine(1))
    assert checksum(there) == checksum(here)


@pytest.mark.slow
def test_jobs_of_a_lost_machine_are_done_by_another(cluster: Any) -> None:
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    engine = make_engine("ray", 2)
    head = cluster.head_node.node_id
    results: dict[str, str] = {}
    for job, node in engine.run([Job(f"job {number}", where, (3.0,)) for number in range(4)]):
        results[job.name] = node
        if len(results) == 2:
            assert set(results.values()) == {head, lost.node_id}
            cluster.remove_node(lost, allow_graceful=False)
    assert sorted(results) == [f"job {number}" for number in range(4)]
    assert [results["job 2"], results["job 3"]] == [head, head]


@pytest.mark.parametrize("path", ["/etc/passwd", "../out", "a/../../out"])
def test_what_comes_back_stays_in_its_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leaves its folder"):
        write_files(tmp_path / "in", path, {"": b"x"})
    with pytest.raises(ValueError, match="leaves its folder"):
        write_files(tmp_path / "in", "name", {"": None, path: b"x"})
    assert not (tmp_path / "out").exists()


def test_files_and_folders_arrive_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "from" / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "from" / "deep" / "file").write_bytes(b"\x00\x01")
    (tmp_path / "from" / "one").write_text("1")
    (tmp_path / "to" / "deep").mkdir(parents=True)
    (tmp_path / "to" / "deep" / "stale").write_text("goes")
    for name in ("deep", "one", "nothing"):
        write_files(tmp_path / "to", name, read_files(tmp_path / "from", name))
    found = {path.relative_to(tmp_path / "to").as_posix() for path in (tmp_path / "to").rglob("*")}
    assert found == {"deep", "deep/empty", "deep/file", "one"}
    assert (tmp_path / "to" / "deep" / "file").read_bytes() == b"\x00\x01"

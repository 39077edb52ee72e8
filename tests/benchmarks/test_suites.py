"""Suites run every cell once, survive kills, refuse nonsense, and report what was measured."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from agents.provenance import versions
from benchmarks import report as reports
from benchmarks import runner
from benchmarks.results import read_cell, read_results
from benchmarks.suite import read_suite
from demos.engines import Job, LocalEngine

SMALL: dict[str, Any] = {
    "name": "small",
    "environments": ["LamReach-v0"],
    "agents": ["random", "expert", "bc"],
    "demonstrations": 8,
    "demonstration_seed": 0,
    "training_seeds": [0, 1],
    "evaluation": {"first_seed": 1000, "episodes": 6},
    "videos": {"agent": "bc", "episodes": 1, "size": 64},
    "curves": {"points": 4, "episodes": 2},
}


def written(folder: Path, **changes: Any) -> str:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return str(path)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measured once, by whichever of the processes that run the tests comes first: a run goes on where it was."""
    together = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if together else base) / "suite"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        suite = read_suite(written(folder), ("tests.agents.test_agents:StillAgent",))
        return runner.run(suite, folder / "results", LocalEngine(2))


def test_every_cell_is_measured_on_the_same_unseen_seeds(results: Path) -> None:
    _, cells = read_results(results)
    names = sorted(result.cell.name for result in cells)
    assert names == [
        "LamReach-v0-bc-seed0",
        "LamReach-v0-bc-seed1",
        "LamReach-v0-expert",
        "LamReach-v0-random",
        "LamReach-v0-tests_agents_test_agents_StillAgent-7a7d03b1",
    ]
    assert {tuple(episode.seed for episode in result.evaluation.episodes) for result in cells} == {
        tuple(range(1000, 1006))
    }
    assert all(result.versions["pybullet"] for result in cells)
    assert (results / "videos" / "LamReach-v0.mp4").stat().st_size > 1000


def test_a_second_run_measures_nothing_again(results: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")}
    suite = read_suite(written(tmp_path), ("tests.agents.test_agents:StillAgent",))
    runner.run(suite, results, LocalEngine(2))
    assert {path: path.stat().st_mtime_ns for path in (results / "cells").glob("*.json")} == before


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(results: Path, tmp_path: Path) -> None:
    def told(suite: str, out: Path) -> str:
        command = [sys.executable, "-m", "benchmarks", "run", suite, "--out", str(out), "--dry-run", "--workers", "2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
        return done.stdout

    suite = written(tmp_path)
    said = told(suite, tmp_path / "out")
    assert "1 datasets, 4 of 4 measurements and 1 films are to be made" in said
    assert "4 measurements of which nothing is known yet" in said
    assert not (tmp_path / "out").exists()
    folder = shutil.copytree(results, tmp_path / "copy")
    for name in ("LamReach-v0-bc-seed0", "LamReach-v0-expert"):
        (folder / "cells" / f"{name}.json").unlink()
    before = sorted(folder.rglob("*"))
    said = told(suite, folder)
    assert sorted(folder.rglob("*")) == before
    assert "1 datasets, 2 of 4 measurements and 0 films" in said
    assert "1 measurements of which nothing is known yet" in said
    seconds = read_cell(folder / "cells" / "LamReach-v0-bc-seed1.json")
    took = (seconds.training_seconds or 0.0) + seconds.evaluation_seconds
    assert re.search(rf"LamReach-v0 +bc +1 +{took:.0f} s", said)


def test_changed_code_of_an_agent_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import agents\nclass Mine:\n"
        "    def __init__(self, env): self.acting = agents.make('{}', env)\n"
        "    def predict(self, *arguments, **keywords): return self.acting.predict(*arguments, **keywords)\n"
    )
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "benchmarks", "run", written(tmp_path, agents=["mine:Mine"], videos=None)]
    rates = []
    for name in ("random", "expert"):
        (tmp_path / "mine.py").write_text(source.format(name))
        done = subprocess.run([*command, "--out", "out"], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        rates.append(read_results(tmp_path / "out")[1][0].evaluation.success_rate)
    assert rates == [0.0, 1.0]


def test_a_report_holds_the_last_suite_alone(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    fewer = {"agents": ["expert"], "evaluation": {"first_seed": 5, "episodes": 2}, "videos": None}
    runner.run(read_suite(written(tmp_path, **fewer)), folder, LocalEngine(1))
    _, cells = read_results(folder)
    assert [result.cell.agent for result in cells] == ["expert"]
    assert [episode.seed for episode in cells[0].evaluation.episodes] == [5, 6]


def test_results_of_other_versions_are_made_again(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    metadata = next((folder / "datasets").glob("*/data/metadata.json"))
    metadata.write_text(metadata.read_text().replace(results_versions()["pybullet"], "0.0.1"))
    for path in (folder / "cells").glob("*.json"):
        path.write_text(path.read_text().replace(results_versions()["pybullet"], "0.0.1"))
    (folder / "videos" / "LamReach-v0.json").unlink()
    runner.run(read_suite(written(tmp_path)), folder, LocalEngine(2))
    assert {result.versions["pybullet"] for result in read_results(folder)[1]} == {results_versions()["pybullet"]}
    assert (folder / "videos" / "LamReach-v0.json").exists()


def test_a_folder_of_results_alone_can_be_filmed(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("agents", "datasets", "videos"))
    runner.run(read_suite(written(tmp_path)), folder, LocalEngine(2))
    assert (folder / "videos" / "LamReach-v0.mp4").is_file()


def results_versions() -> dict[str, str]:
    return versions("expert")


def test_a_damaged_or_foreign_result_is_measured_again_with_the_same_outcome(results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(results, tmp_path / "copy"))
    path = folder / "cells" / "LamReach-v0-expert.json"
    whole = path.read_text()
    before = read_cell(path)
    path.write_text(whole[:200])
    with pytest.raises(ValueError, match="is damaged"):
        read_results(folder)
    runner.run(read_suite(written(tmp_path)), folder, LocalEngine(1))
    assert read_cell(path) == before
    for change in (
        {"versions": {}},
        {"step_seconds": "fast"},
        {"episodes": {**json.loads(whole)["episodes"], "jerk": ["much"] * 6}},
        {"episodes": {**json.loads(whole)["episodes"], "seed": [1] * 6}},
        {"episodes": {name: column[:5] for name, column in json.loads(whole)["episodes"].items()}},
    ):
        path.write_text(json.dumps({**json.loads(whole), **change}))
        with pytest.raises(ValueError, match=r"is damaged|does not have the episodes that it says"):
            read_results(folder)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is damaged"):
        read_results(folder)
    changed = json.loads(whole)
    changed["success_rate"] = 0.123
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="states a success rate that its episodes do not have"):
        read_cell(path)
    path.write_text(whole)


def test_a_report_shows_what_was_measured(results: Path) -> None:
    files = reports.report(results)
    assert [file.name for file in files] == ["success.png", "report.md", "report.html"]
    rows = {row.agent: row for row in reports.rows(read_results(results)[1])}
    assert rows["expert"].success_rate == 1.0
    assert rows["bc"].trainings == 2
    assert rows["expert"].trainings is None
    assert rows["bc"].episodes == 12
    assert rows["bc"].demonstrations == 8
    assert rows["expert"].training_seconds is None
    times = [result.training_seconds for result in read_results(results)[1] if result.cell.agent == "bc"]
    assert rows["bc"].training_seconds == pytest.approx(sum(times) / 2)
    assert min(times) > 0.0
    assert rows["bc"].over_runs is not None
    for file in files[1:]:
        text = file.read_text()
        for row in rows.values():
            assert f"{100 * row.success_rate:.1f}%" in text
            assert f"{100 * row.low:.1f}% to {100 * row.high:.1f}%" in text
        assert "videos/LamReach-v0.mp4" in text
        assert "1000 to 1005" in text
    links = re.findall(r'src="([^"]+)"', files[2].read_text())
    assert links
    assert all((results / link).is_file() for link in links)


def test_a_report_of_the_same_results_is_the_same(results: Path) -> None:
    first = [file.read_bytes() for file in reports.report(results)]
    assert [file.read_bytes() for file in reports.report(results)] == first


def test_markup_in_a_name_stays_text(results: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    content = json.loads((results / "cells" / "LamReach-v0-expert.json").read_text())
    content["cell"]["label"] = "<script>alert(1)</script>"
    (tmp_path / "cells" / "LamReach-v0-_script_alert_1___script_-fe26ee76.json").write_text(json.dumps(content))
    suite = json.loads((results / "suite.json").read_text())
    (tmp_path / "suite.json").write_text(json.dumps({**suite, "cells": [content["cell"]]}))
    reports.report(tmp_path)
    for name in ("report.html", "report.md"):
        assert "<script>alert" not in (tmp_path / name).read_text()


def test_an_agent_is_measured_as_often_as_a_suite_sets_it_differently(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 32}
    agents = [
        {"agent": "bc", "label": "one-epoch", "settings": quick},
        {"agent": "bc", "label": "more-shown", "settings": quick, "demonstrations": 9, "quality": "noisy"},
        {
            "agent": "dqn",
            "settings": {"steps": 80, "learning_starts": 40},
            "environments": ["LamReachDiscrete-v0"],
        },
    ]
    videos = {"agent": "one-epoch", "episodes": 1, "size": 64}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], videos=videos))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    cells = {result.cell.name: result.cell for result in read_results(folder)[1]}
    assert set(cells) == {
        "LamReach-v0-one-epoch-seed0",
        "LamReach-v0-more-shown-seed0",
        "LamReachDiscrete-v0-dqn-seed0",
    }
    assert [cell.demonstrations for _, cell in sorted(cells.items())] == [9, 8, None]
    assert [cell.quality for _, cell in sorted(cells.items())] == ["noisy", "expert", None]
    saved = {name: json.loads((folder / "agents" / name / "agent.json").read_text()) for name in cells}
    assert [saved[name]["settings"]["epochs"] for name in sorted(cells)[:2]] == [1, 1]
    assert saved["LamReachDiscrete-v0-dqn-seed0"]["training"]["demonstrations"] is None
    assert [file.stem for file in (folder / "videos").glob("*.mp4")] == ["LamReach-v0"]
    for file in reports.report(folder)[1:]:
        text = file.read_text()
        assert "bc, batch_size 32, epochs 1" in text
        assert "9 noisy" in text
        assert "| one-epoch | " in text or "<td>one-epoch</td>" in text
    discrete, tasks = reversed(reports.overviews(reports.rows(read_results(folder)[1])))
    assert tasks.environments == ("LamReach-v0",)
    assert {agent for agent, _ in tasks.agents} == {"one-epoch", "more-shown"}
    assert [agent for agent, _ in discrete.agents] == ["dqn"]


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


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with begun(written(tmp_path, videos=None), out, "cells/*.json") as (command, process):
        os.killpg(process.pid, signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    again = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    assert len(read_results(out)[1]) == 4
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_an_interrupt_ends_the_workers_and_says_that_nothing_is_lost(tmp_path: Path) -> None:
    with begun(written(tmp_path, demonstrations=5000), tmp_path, "datasets/.partial/*/shard-*") as (_, process):
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "what was finished is kept" in said
        assert "Traceback" not in said
        wait_for_the_end_of_all(process)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with begun(written(tmp_path, demonstrations=5000), tmp_path, "datasets/.partial/*/shard-*") as (_, process):
        os.kill(process.pid, signal.SIGKILL)
        wait_for_the_end_of_all(process)


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


def test_strangers_that_fail_are_reported_and_the_rest_is_measured(tmp_path: Path) -> None:
    strangers = {
        "Raising": "KeyError: 'a mistake of mine'",
        "NotANumber": "ValueError: .*nan",
        "WrongShape": r"ValueError: .*\(9,\)",
        "Hanging": "TookTooLong: an episode took longer than 1 s",
        "Stubborn": "TookTooLong: an episode took longer than 1 s",
        "Interrupting": "KeyboardInterrupt",
        "Killing": "its process died",
        "Garbled": r"ValueError: \\udcff bad",
        "Exiting": "SystemExit: 3",
    }
    places = {f"tests.benchmarks.strangers:{name}": told for name, told in strangers.items()}
    still, wandering = (f"tests.benchmarks.strangers:{name}" for name in ("Stranger", "Wandering"))
    suite = written(
        tmp_path,
        agents=[*places, wandering, still, "expert"],
        evaluation={"first_seed": 1000, "episodes": 3, "episode_seconds": 1},
        videos={"agent": "tests.benchmarks.strangers:Raising", "episodes": 1, "size": 32},
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", suite, "--out", "out"],
        capture_output=True, text=True, timeout=200, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{len(places)} measurements or films failed" in done.stderr
    rates = {result.cell.label: result.evaluation.success_rate for result in read_results(out)[1]}
    assert rates == {still: 0.0, wandering: 0.0, "expert": 1.0}
    failed = runner.failures(read_suite(suite), out)
    assert len(failed) == len(places)
    for cell in read_suite(suite).cells():
        if cell.agent in places:
            assert re.search(places[cell.agent], failed[cell.name].splitlines()[-1])
            assert f"{cell.name} failed: " in done.stderr


def test_a_measurement_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file where agents would be saved")
    suite = read_suite(written(tmp_path, agents=["bc", "random"], training_seeds=[0], videos=None))
    runner.run(suite, tmp_path, LocalEngine(1))
    assert list(runner.failures(suite, tmp_path)) == ["LamReach-v0-bc-seed0"]
    (tmp_path / "agents").unlink()
    runner.run(suite, tmp_path, LocalEngine(1))
    assert runner.failures(suite, tmp_path) == {}
    assert len(read_results(tmp_path)[1]) == 2


def test_a_film_that_fails_is_reported_beside_the_measurements(tmp_path: Path) -> None:
    agent = "tests.benchmarks.strangers:ShyOfCameras"
    videos = {"agent": agent, "episodes": 1, "size": 32}
    suite = read_suite(written(tmp_path, agents=[agent], videos=videos))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert len(read_results(folder)[1]) == 1
    failed = runner.failures(suite, folder)
    assert list(failed) == ["film-of-LamReach-v0"]
    assert failed["film-of-LamReach-v0"].splitlines()[-1] == "SystemExit: no pictures"


def fail() -> None:
    raise ValueError("this job fails")


def test_an_error_in_a_job_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="this job fails"):
        list(LocalEngine(2).run([Job("bad", fail, ())]))


def test_demonstrations_never_share_a_seed_with_the_evaluation(tmp_path: Path) -> None:
    from demos.plan import episode_seed

    suite = read_suite(written(tmp_path, evaluation={"first_seed": episode_seed(0, 3), "episodes": 1}))
    with pytest.raises(ValueError, match="share the seeds"):
        runner.collect_demonstrations(suite, "LamReach-v0", 8, "expert", str(tmp_path))

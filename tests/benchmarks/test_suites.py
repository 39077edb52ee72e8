"""Suites run every cell once, survive kills, refuse nonsense, and report what was measured."""

from __future__ import annotations

import contextlib
import dataclasses
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

import numpy as np
import pytest
import yaml
from filelock import FileLock

from agents.provenance import versions
from benchmarks import report as reports
from benchmarks import results as results_module
from benchmarks import runner
from benchmarks.results import read_cell, read_results, write_cell
from benchmarks.suite import Cell
from benchmarks.suite_file import read_suite
from benchmarks.tables import overviews
from benchmarks.tables import rows as rows_of
from benchmarks.trained import ToTrain
from demos.engines import Job, LocalEngine

SMALL: dict[str, Any] = {
    "name": "small",
    "environments": ["LamReach-v0"],
    "agents": ["random", "expert", "bc"],
    "demonstrations": 8,
    "demonstration_seed": 0,
    "training_seeds": [0, 1],
    "evaluation": {"first_seed": 1000, "episodes": 6},
    "videos": {"agent": "bc", "size": 64},
    "curves": {"points": 4, "episodes": 2},
}


CLONE = "LamReach-v0-bc-8-expert-seed0"


def written(folder: Path, **changes: Any) -> str:
    path = folder / "small.yaml"
    content = {name: value for name, value in {**SMALL, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content))
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
        "LamReach-v0-bc-8-expert-seed0",
        "LamReach-v0-bc-8-expert-seed1",
        "LamReach-v0-expert",
        "LamReach-v0-random",
        "LamReach-v0-tests_agents_test_agents_StillAgent-7a7d03b1",
    ]
    assert {tuple(episode.seed for episode in result.evaluation.episodes) for result in cells} == {
        tuple(range(1000, 1006))
    }
    assert all(result.versions["pybullet"] for result in cells)
    for which in ("median", "worst"):
        assert (results / "videos" / f"{CLONE}-{which}.mp4").stat().st_size > 1000
    assert len(list((results / "agents").iterdir())) == 2


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
    assert "1 datasets, 2 trainings, 4 of 4 measurements and 1 films are to be made" in said
    assert "6 trainings and measurements of which nothing is known yet" in said
    assert not (tmp_path / "out").exists()
    folder = shutil.copytree(results, tmp_path / "copy")
    for name in ("LamReach-v0-bc-8-expert-seed0", "LamReach-v0-expert"):
        (folder / "cells" / f"{name}.json").unlink()
    before = sorted(folder.rglob("*"))
    said = told(suite, folder)
    assert sorted(folder.rglob("*")) == before
    assert "0 datasets, 0 trainings, 2 of 4 measurements and 0 films" in said
    assert "1 trainings and measurements of which nothing is known yet" in said
    other = read_cell(folder / "cells" / "LamReach-v0-bc-8-expert-seed1.json")
    assert re.search(rf"LamReach-v0 +bc +- +1 +{other.evaluation_seconds:.0f} s", said)
    shutil.rmtree(folder / "agents")
    said = told(suite, folder)
    assert "1 datasets, 1 trainings, 2 of 4 measurements and 0 films" in said
    took = (other.training_seconds or 0.0) + other.evaluation_seconds
    assert re.search(rf"LamReach-v0 +bc +1 +1 +{took:.0f} s", said)


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
        result = read_cell(path)
        write_cell(folder, dataclasses.replace(result, versions={**result.versions, "pybullet": "0.0.1"}))
    for path in (folder / "agents").glob("*/training.json"):
        path.write_text(path.read_text().replace('"address": "', '"address": "0'))
    (folder / "videos" / f"{CLONE}.json").unlink()
    runner.run(read_suite(written(tmp_path)), folder, LocalEngine(2))
    assert {result.versions["pybullet"] for result in read_results(folder)[1]} == {results_versions()["pybullet"]}
    assert (folder / "videos" / f"{CLONE}.json").exists()


def test_a_folder_of_results_alone_can_be_filmed(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(results, folder, ignore=shutil.ignore_patterns("agents", "datasets", "videos"))
    suite = read_suite(written(tmp_path))
    todo = runner.missing(suite, folder)
    assert [len(part) for part in (todo.datasets, todo.trainings, todo.cells, todo.films)] == [1, 1, 0, 1]
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}
    runner.run(suite, folder, LocalEngine(2))
    assert (folder / "videos" / f"{CLONE}-median.mp4").is_file()
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")} == before


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
        {"success_rate": 0.123},
        {"decision_ms": float("nan")},
        {"address": "0" * 32},
    ):
        content = {**json.loads(whole), **change}
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"is damaged .*its checksum is of something else"):
            read_results(folder)
        # Whoever takes the trouble to mend the checksum is found out by what does not fit together.
        path.write_text(json.dumps({**content, "checksum": results_module._checksum(content)}))
        with pytest.raises(
            ValueError, match=r"is damaged|does not have the episodes|success rate that its|what its address says"
        ):
            read_results(folder)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is damaged"):
        read_results(folder)
    path.write_text(whole)


def test_two_hundred_corruptions_of_results_are_found_and_nothing_is_overwritten(
    results: Path, tmp_path: Path
) -> None:
    """Bytes that are lost, doubled or changed, in what was measured and in what says what the folder holds."""
    folder = Path(shutil.copytree(results, tmp_path / "copy", ignore=shutil.ignore_patterns("agents", "datasets")))
    sound = read_results(folder)
    files = [*sorted((folder / "cells").glob("*.json")), folder / "suite.json"]
    rng = np.random.default_rng(0)
    for number in range(200):
        path = files[number % len(files)]
        whole = path.read_bytes()
        at, kind, length = int(rng.integers(len(whole))), int(rng.integers(4)), int(rng.integers(1, 9))
        noise = bytes(int(byte) for byte in rng.integers(0, 256, length))
        damaged = (
            whole[:at] + whole[at + length :],
            whole[:at] + noise + whole[at + length :],
            whole[: at + length] + whole[at:],
            whole[:at],
        )[kind]
        path.write_bytes(damaged)
        problem = complaint(folder)
        if problem is None:
            # Space between words, or what the suite says of what is not measured.
            told = read_results(folder)[1]
            assert [result for result in told if result not in sound[1]] == []
        else:
            assert str(folder) in problem
        assert path.read_bytes() == damaged
        path.write_bytes(whole)
    assert read_results(folder) == sound


def complaint(folder: Path) -> str | None:
    """What is wrong with a folder of results; None if nothing is."""
    try:
        reports.report(folder)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    return None


def test_a_report_shows_what_was_measured(results: Path) -> None:
    files = reports.report(results)
    assert [file.name for file in files] == ["success.png", "report.md", "report.html"]
    rows = {row.agent: row for row in rows_of(read_results(results)[1])}
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
        assert "1000 to 1005" in text
    assert f"videos/{CLONE}-median.mp4" in files[1].read_text()
    page = files[2].read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [source[:22] for source in sources].count("data:video/mp4;base64,") == 2
    assert all(source.startswith(("data:", "#")) for source in sources), "the page is whole by itself"
    assert not re.search(r"https?://(?!www\.w3\.org)|<script|@import|url\(http", page)
    assert re.findall("<h3>([^<]+)</h3>", page) == ["Success", "Learning curves", "How they act"]


def test_a_report_of_the_same_results_is_the_same(results: Path) -> None:
    first = [file.read_bytes() for file in reports.report(results)]
    assert [file.read_bytes() for file in reports.report(results)] == first


def test_markup_in_a_name_stays_text(results: Path, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    content = json.loads((results / "cells" / "LamReach-v0-expert.json").read_text())
    content["cell"]["label"] = "<script>alert(1)</script>"
    result = read_cell(results / "cells" / "LamReach-v0-expert.json")
    write_cell(tmp_path, dataclasses.replace(result, cell=Cell(**content["cell"])))
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
    videos = {"agent": "one-epoch", "size": 64}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], videos=videos))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    cells = {result.cell.name: result.cell for result in read_results(folder)[1]}
    assert set(cells) == {
        "LamReach-v0-one-epoch-8-expert-seed0",
        "LamReach-v0-more-shown-9-noisy-seed0",
        "LamReachDiscrete-v0-dqn-seed0",
    }
    assert [cell.demonstrations for _, cell in sorted(cells.items())] == [9, 8, None]
    assert [cell.quality for _, cell in sorted(cells.items())] == ["noisy", "expert", None]
    trained = {name: ToTrain.of(cell) for name, cell in cells.items()}
    saved = {
        name: json.loads((folder / each.path / "agent.json").read_text())
        for name, each in trained.items()
        if each is not None
    }
    assert [saved[name]["settings"]["epochs"] for name in sorted(cells)[:2]] == [1, 1]
    assert saved["LamReachDiscrete-v0-dqn-seed0"]["training"]["demonstrations"] is None
    assert sorted(file.stem for file in (folder / "videos").glob("*.mp4")) == [
        "LamReach-v0-one-epoch-8-expert-seed0-median",
        "LamReach-v0-one-epoch-8-expert-seed0-worst",
    ]
    for file in reports.report(folder)[1:]:
        text = file.read_text()
        assert "bc, batch_size 32, epochs 1" in text
        assert "9 noisy" in text
        assert "| one-epoch | " in text or "</span>one-epoch</td>" in text
    discrete, tasks = reversed(overviews(rows_of(read_results(folder)[1])))
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
        videos={"agent": "tests.benchmarks.strangers:Raising", "size": 32},
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", suite, "--out", "out"],
        capture_output=True, text=True, timeout=200, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{len(places) + 1} jobs failed" in done.stderr
    rates = {result.cell.label: result.evaluation.success_rate for result in read_results(out)[1]}
    assert rates == {still: 0.0, wandering: 0.0, "expert": 1.0}
    failed = runner.failures(read_suite(suite), out)
    assert len(failed) == len(places) + 1, "the film of one, too"
    for cell in read_suite(suite).cells():
        if cell.agent in places:
            assert re.search(places[cell.agent], failed[cell.name].splitlines()[-1])
            assert f"{cell.name} failed: " in done.stderr


def test_what_failed_is_told_with_what_was_to_be_made_of_it_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file where agents would be saved")
    suite = read_suite(written(tmp_path, agents=["bc", "random"], training_seeds=[0], videos=None))
    runner.run(suite, tmp_path, LocalEngine(1))
    failed = runner.failures(suite, tmp_path)
    training, measurement = failed
    assert training.startswith("LamReach-bc-seed0-")
    assert measurement == CLONE
    assert f"its training failed: see failures/{training}.txt" in failed[measurement]
    (tmp_path / "agents").unlink()
    runner.run(suite, tmp_path, LocalEngine(1))
    assert runner.failures(suite, tmp_path) == {}
    assert len(read_results(tmp_path)[1]) == 2


def test_demonstrations_that_fail_stop_only_what_learns_from_them(tmp_path: Path) -> None:
    from demos.plan import episode_seed

    evaluation = {"first_seed": episode_seed(0, 3), "episodes": 1}
    suite = read_suite(
        written(tmp_path, agents=["bc", "expert"], training_seeds=[0], evaluation=evaluation, videos=None)
    )
    runner.run(suite, tmp_path / "out", LocalEngine(2))
    told = list(runner.failures(suite, tmp_path / "out").values())
    assert "share the seeds" in told[0]
    assert "its demonstrations were not collected: see failures/LamReach-expert-8-seed0-v0.txt" in told[1]
    assert "its training failed" in told[2]
    assert [result.cell.label for result in read_results(tmp_path / "out")[1]] == ["expert"]


def test_a_film_that_fails_is_reported_beside_the_measurements(tmp_path: Path) -> None:
    agent = "tests.benchmarks.strangers:ShyOfCameras"
    suite = read_suite(written(tmp_path, agents=[agent], videos={"agent": agent, "size": 32}))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    cell = read_results(folder)[1][0].cell
    failed = runner.failures(suite, folder)
    assert list(failed) == [f"film-of-{cell.name}"]
    assert failed[f"film-of-{cell.name}"].splitlines()[-1] == "SystemExit: no pictures"


def test_an_agent_is_trained_once_for_all_that_measure_it(tmp_path: Path) -> None:
    quick = {"epochs": 1, "batch_size": 32}
    agents = [{"agent": "bc", "settings": quick}, {"agent": "bc", "label": "again", "settings": quick}]
    conditions = {"as trained": {}, "noise": {"action_noise": 0.3}, "another arm": {"env": {"robot": "xarm6"}}}
    suite = read_suite(written(tmp_path, agents=agents, training_seeds=[0], conditions=conditions, videos=None))
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.datasets), len(todo.trainings), len(todo.cells)) == (1, 1, 6)
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    assert len(list((folder / "agents").iterdir())) == 1
    _, found = read_results(folder)
    ends = {(one.cell.label, one.cell.condition): one.evaluation.episodes for one in found}
    assert len(ends) == 6
    for condition in conditions:
        assert ends["bc", condition] == ends["again", condition]
    assert len({ends["bc", condition] for condition in conditions}) == 3
    text = reports.report(folder)[1].read_text()
    assert "| LamReach-v0 | as trained | another arm | noise |" in text
    assert "Under other conditions" in (folder / "report.html").read_text()


def finished(folder: Path) -> dict[str, Any]:
    """What the result files say, times aside."""
    told = {}
    for path in sorted((folder / "cells").glob("*.json")):
        result = read_cell(path)
        told[path.name] = (result.cell, result.evaluation.episodes, result.versions, result.training)
    return told


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_kills_at_random_moments_change_no_result(results: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    suite, out = written(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks", "run", suite, "--out", str(out), "--workers", "2"]
    killed = 0
    for _ in range(10):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=float(rng.uniform(2.0, 20.0)))
        killed += process.poll() is None
        # Now the parent alone, whose workers notice, now all at once.
        with contextlib.suppress(ProcessLookupError):
            (os.kill if rng.random() < 0.5 else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
        if process.poll() == 0:
            shutil.rmtree(out)
    assert killed >= 5
    assert subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    whole = finished(results)
    assert finished(out) == {name: told for name, told in whole.items() if "StillAgent" not in name}


def test_one_worker_gives_the_results_of_two(results: Path, tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path), ("tests.agents.test_agents:StillAgent",))
    assert finished(runner.run(suite, tmp_path / "out", LocalEngine(1))) == finished(results)


def fail() -> None:
    raise ValueError("this job fails")


def test_an_error_in_a_job_reaches_the_caller() -> None:
    with pytest.raises(ValueError, match="this job fails"):
        list(LocalEngine(2).run([Job("bad", fail, ())]))

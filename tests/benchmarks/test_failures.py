"""Failures are reported with their reason, and stop only the jobs that need them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.runner import runner
from benchmarks.runner.results import read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from .suites import CLONE, written

FAILING_AGENTS = {
    "Raising": "KeyError: 'a mistake of mine'",
    "NotANumber": "ValueError: .*nan",
    "WrongShape": r"ValueError: .*\(9,\)",
    "Hanging": "TimeoutError: the episode with seed 1000 took longer than 1 s",
    "Stubborn": "TimeoutError: the episode with seed 1000 took longer than 1 s",
    "Interrupting": "KeyboardInterrupt",
    "Killing": "RuntimeError: the process of .* died",
    "Garbled": r"ValueError: \\udcff bad",
    "Exiting": "SystemExit: 3",
    "Swallowing": "TimeoutError: the episode with seed 1000 took longer than 1 s",
    "Counting": "TimeoutError: the episode with seed 1000 took longer than 1 s",
    "Bare": r"TypeError: predict returned array.*expected a pair \(action, state\)",
}


@pytest.mark.parametrize(
    "failing",
    [("Raising", "Counting", "Killing"), pytest.param(tuple(FAILING_AGENTS), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_third_party_agents_that_fail_are_reported_and_the_rest_is_measured(
    failing: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {f"tests.benchmarks.third_party:{name}": FAILING_AGENTS[name] for name in failing}
    still, wandering = (f"tests.benchmarks.third_party:{name}" for name in ("ZeroAgent", "Wandering"))
    suite = written(
        tmp_path,
        agents=[*places, wandering, still, "expert"],
        evaluation={"first_seed": 1000, "episodes": 3, "episode_seconds": 1},
        videos={"agent": "tests.benchmarks.third_party:Raising", "size": 32},
    )
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run", suite, "--out", "out"])
    assert done.exit_code == 2
    assert f"{len(places) + 1} jobs failed" in done.stderr
    rates = {result.cell.label: result.evaluation.success_rate for result in read_results(out)[1]}
    assert rates == {still: 0.0, wandering: 0.0, "expert": 1.0}
    failed = runner.failures(out)
    assert len(failed) == len(places) + 1, "the video of one, too"
    for page in ("report.md", "report.html"):
        text = (out / page).read_text()
        assert "a mistake of mine" in text
        assert all(cell.name in text for cell in read_suite(suite).cells() if cell.agent in places)
    for cell in read_suite(suite).cells():
        if cell.agent in places:
            assert re.search(places[cell.agent], failed[cell.name].splitlines()[-1])
            assert f"{cell.name} failed: " in done.stderr
            if "TimeoutError" in places[cell.agent]:
                assert "in predict" in failed[cell.name], "it shows where"


def test_what_failed_is_reported_with_what_was_to_be_made_of_it_and_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file where agents would be saved")
    suite = read_suite(written(tmp_path, agents=["bc", "random"], training_seeds=[0], videos=None))
    runner.run(suite, tmp_path, LocalEngine(1))
    failed = runner.failures(tmp_path)
    training, measurement = failed
    assert training.startswith("LamReach-bc-seed0-")
    assert measurement == CLONE
    assert f"its training failed: see failures/{training}.txt" in failed[measurement]
    (tmp_path / "agents").unlink()
    runner.run(suite, tmp_path, LocalEngine(1))
    assert runner.failures(tmp_path) == {}
    assert len(read_results(tmp_path)[1]) == 2


@pytest.mark.slow
def test_demonstrations_that_fail_stop_only_what_learns_from_them(tmp_path: Path) -> None:
    from demos.collection.plan import episode_seed

    shown = next(seed for seed in (episode_seed(0, number) for number in range(8)) if seed < 2**30)
    evaluation = {"first_seed": shown, "episodes": 1}
    suite = read_suite(
        written(tmp_path, agents=["bc", "expert"], training_seeds=[0], evaluation=evaluation, videos=None)
    )
    runner.run(suite, tmp_path / "out", LocalEngine(2))
    reasons = list(runner.failures(tmp_path / "out").values())
    assert "share the seeds" in reasons[0]
    assert "its demonstrations were not collected: see failures/LamReach-expert-8-seed0-v0.txt" in reasons[1]
    assert "its training failed" in reasons[2]
    assert [result.cell.label for result in read_results(tmp_path / "out")[1]] == ["expert"]


def test_a_trained_agent_is_not_measured_on_a_seed_of_its_demonstrations(tmp_path: Path) -> None:
    from demos.collection.plan import episode_seed

    shown = next(seed for seed in (episode_seed(0, number) for number in range(8)) if seed < 2**30)
    quick = [{"agent": "bc", "settings": {"epochs": 1}}]
    for first, reasons in ((1000, []), (shown, [f"share the seeds [{shown}]"])):
        evaluation = {"first_seed": first, "episodes": 1}
        suite = read_suite(
            written(
                tmp_path, agents=quick, training_seeds=[0], evaluation=evaluation, videos=None, periodic_eval=None
            )
        )
        runner.run(suite, tmp_path / "out", LocalEngine(1))
        failed = list(runner.failures(tmp_path / "out").values())
        assert len(failed) == len(reasons)
        assert all(words in text for words, text in zip(reasons, failed, strict=True))


def test_a_video_that_fails_is_reported_beside_the_measurements(tmp_path: Path) -> None:
    agent = "tests.benchmarks.third_party:ShyOfCameras"
    suite = read_suite(written(tmp_path, agents=[agent], videos={"agent": agent, "size": 32}))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    cell = read_results(folder)[1][0].cell
    failed = runner.failures(folder)
    assert list(failed) == [f"videos-of-{cell.name}"]
    assert failed[f"videos-of-{cell.name}"].splitlines()[-1] == "SystemExit: no images"


def test_a_video_of_an_agent_that_hangs_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = "tests.benchmarks.third_party:HangingInItsVideo"
    evaluation = {"first_seed": 1000, "episodes": 1, "episode_seconds": 2}
    suite = read_suite(written(tmp_path, agents=[agent], evaluation=evaluation, videos={"agent": agent, "size": 32}))
    monkeypatch.setattr(runner, "DRAWING_SECONDS", 0.1)
    (reason,) = runner.failures(runner.run(suite, tmp_path, LocalEngine(1))).values()
    assert "the video of the episode with seed 1000 took longer than 2.1 s" in reason
    assert len(read_results(tmp_path)[1]) == 1


def test_what_an_agent_leaves_behind_decides_nothing_and_holds_nothing_up(tmp_path: Path) -> None:
    cheating, littering, drawing = (
        f"tests.benchmarks.third_party:{name}" for name in ("Cheating", "Littering", "Drawing")
    )
    once = {"evaluation": {"first_seed": 1000, "episodes": 2}, "videos": None, "periodic_eval": None}
    twice = {"conditions": {"as trained": {}, "again": {"pushes": 0}}}
    suite = read_suite(written(tmp_path, agents=[cheating, littering, drawing, "random"], **once, **twice))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    found = {(one.cell.label, one.cell.condition): one.evaluation for one in read_results(folder)[1]}
    assert len(found) == 8
    assert found[cheating, "again"].success_rate == 1.0
    assert found["random", "as trained"].success_rate == 0.0
    alone = runner.run(read_suite(written(tmp_path, agents=[drawing], **once)), tmp_path / "alone", LocalEngine(1))
    assert read_results(alone)[1][0].evaluation.episodes == found[drawing, "as trained"].episodes


def test_an_agent_that_a_spec_makes_is_not_evaluated_untrained(tmp_path: Path) -> None:
    agent = "tests.benchmarks.third_party:trainable"
    folder = runner.run(read_suite(written(tmp_path, agents=[agent], videos=None)), tmp_path / "out", LocalEngine(1))
    (reason,) = runner.failures(folder).values()
    assert "makes an untrained agent: name its class" in reason

"""A submission is measured once, read only if it is whole, and refuted if its episodes are not those of the agent."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agents.training.arguments import ANY_AGENT, read_settings
from benchmarks.__main__ import app
from benchmarks.leaderboard.submission import Submission, check_episodes, read_submission, write_submission
from benchmarks.leaderboard.submit import SubmittedAgent, submit, suite_of_agent
from benchmarks.leaderboard.verification import (
    Verification,
    config_options,
    draw_seed,
    read_verification,
    sample,
    verification_path,
    verify,
)
from benchmarks.runner import runner
from benchmarks.runner.results import checksum_of, read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import Job, LocalEngine
from demos.runtime.files import write_json

from .leaderboard_cases import forged, small_suite, suite_of
from .suites import part_of_core


class Idle:
    """Engine that has nothing to do."""

    workers = 1

    def run(self, jobs: Sequence[Job], **keywords: Any) -> Iterator[tuple[Job, Any]]:
        assert not jobs
        return iter(())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Submission]:
    """A folder with a suite, and the submission of an agent that was measured there."""
    folder = tmp_path_factory.mktemp("submission")
    _, suite = small_suite(folder)
    agent = SubmittedAgent(name="Third", url="https://example.org", author="A. Author, B. Author")
    submission = submit(suite_of(suite), agent, "command", folder / "work", LocalEngine(1))
    return folder, submission


def test_a_pretrained_agent_is_submitted_and_verified_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, _ = small_suite(tmp_path)
    chosen = ["--agent", "bc/LamReach-v0", "--suite", str(path), "--workers", "1"]
    submitted = CliRunner().invoke(app, ["submit", *chosen])
    assert submitted.exit_code == 0, submitted.stderr
    assert read_submission(Path("submission.json")).agent.name == "bc/LamReach-v0"
    verified = CliRunner().invoke(app, ["verify", "submission.json", *chosen, "--share", "1"])
    assert verified.exit_code == 0, verified.stderr


@pytest.mark.parametrize("command", ["run", "submit", "verify"])
def test_the_help_of_each_command_names_every_source_of_an_agent(command: str) -> None:
    options = typer.main.get_group(app).commands[command].params
    assert ANY_AGENT in next(option.help for option in options if option.name == "agent")


def test_a_submission_that_was_interrupted_measures_nothing_twice(measured: tuple[Path, Submission]) -> None:
    folder, submission = measured
    _, suite = small_suite(folder)
    again = submit(suite_of(suite), submission.agent, "command", folder / "work", Idle())
    assert again.checksum == submission.checksum
    with pytest.raises(AssertionError):
        submit(suite_of(suite, "random"), submission.agent, "command", folder / "work", Idle())


def test_a_submission_is_read_as_it_was_written(measured: tuple[Path, Submission], tmp_path: Path) -> None:
    path = write_submission(tmp_path / "third.json", measured[1])
    assert read_submission(path) == measured[1]
    assert {result.cell.condition for result in measured[1].results} == {"as trained", "pushes"}


def test_damaged_and_inconsistent_files_are_refused_by_name(
    measured: tuple[Path, Submission], tmp_path: Path
) -> None:
    path = write_submission(tmp_path / "third.json", measured[1])
    whole = json.loads(path.read_text())
    (first, *others) = whole["results"]

    def complaint(text: str) -> str:
        path.write_text(text)
        with pytest.raises(ValueError, match=r"the submission .*third\.json is damaged") as caught:
            read_submission(path)
        return str(caught.value)

    def changed(**change: Any) -> str:
        content = {**whole, **change}
        return json.dumps({**content, "checksum": checksum_of(content)})

    assert "its checksum does not match" in complaint(json.dumps({**whole, "command": "rm"}))
    assert "Extra inputs" in complaint(changed(more=1))
    assert "agent.url" in complaint(changed(agent={**whole["agent"], "url": "javascript:alert(1)"}))
    assert "agent.name" in complaint(changed(agent={**whole["agent"], "name": "a|b"}))
    assert "a result of agent 'Third'" in complaint(changed(agent={**whole["agent"], "name": "Other"}))
    assert "occurs twice" in complaint(changed(results=[first, first]))
    assert "at least 1 item" in complaint(changed(results=[]))
    better = {**first, "success_rate": 0.5}
    assert "its checksum does not match" in complaint(changed(results=[better, *others]))
    better["checksum"] = checksum_of(better)
    assert "its success rate differs from that of its episodes" in complaint(changed(results=[better, *others]))
    huge = {**first, "cell": {**first["cell"], "episodes": 10**12}}
    huge["checksum"] = checksum_of(huge)
    assert "its episodes do not have the seeds of its cell" in complaint(changed(results=[huge, *others]))
    for text in ("", "[" * 100_000, json.dumps(whole)[:-50], json.dumps({"format": "lam-envs submission"})):
        complaint(text)


def test_an_honest_submission_agrees_and_a_forged_one_does_not(
    measured: tuple[Path, Submission], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, _ = small_suite(tmp_path)
    for submission, expected in ((measured[1], True), (forged(measured[1]), False)):
        path = write_submission(tmp_path / "third.json", submission)
        # The forged file is consistent: nothing but a measurement shows what it is.
        assert read_submission(path) == submission
        # A fixed sample: a random one finds no forged episode in 2% of verifications of so few.
        command = ["verify", str(path), "--agent", "expert", "--suite", str(file), "--workers", "1", "--seed", "0"]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == (0 if expected else 1), done.output
        verification = read_verification(verification_path(path))
        assert verification.seed == 0
        assert verification.agrees == expected
        assert {cell.test for cell in verification.cells} == {"exact"}
        assert [len(cell.seeds) for cell in verification.cells] == [5, 5]
        assert verification.changes == ()


def test_a_submission_of_other_episodes_than_those_of_its_suite_is_refused(
    measured: tuple[Path, Submission], tmp_path: Path
) -> None:
    _, submission = measured
    core = read_suite("core")
    with pytest.raises(ValueError, match="not measured in an environment, condition and episodes of core"):
        verify(submission, core, suite_of(core), tmp_path / "work", Idle(), seed=0)
    _, suite = small_suite(tmp_path)
    with pytest.raises(ValueError, match="share is 0"):
        verify(submission, suite, suite_of(suite), tmp_path / "work", Idle(), seed=0, share=0.0)
    with pytest.raises(ValueError, match="seed is -1; expected at least 0"):
        verify(submission, suite, suite_of(suite), tmp_path / "work", Idle(), seed=-1)


def test_a_submission_without_a_condition_is_refused(measured: tuple[Path, Submission], tmp_path: Path) -> None:
    _, submission = measured
    _, suite = small_suite(tmp_path)
    condition = submission.results[-1].cell.condition
    part = submission.model_copy(update={"results": submission.results[:-1]})
    with pytest.raises(ValueError, match=f"Third has no result of LamReach-v0, condition {condition}; expected all"):
        check_episodes(part, suite)
    check_episodes(submission, suite)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """Published results of an agent that learns from demonstrations, as a submission."""
    folder = part_of_core(tmp_path_factory.mktemp("learned") / "core", {("bc", "LamGrasp-v0")})
    results = tuple(
        replace(result, cell=replace(result.cell, label="Third"))
        for result in read_results(folder)[1]
        if result.cell.label == "bc"
    )
    return Submission(agent=SubmittedAgent(name="Third"), suite="core", command="", machine={}, results=results)


def test_trainings_are_those_of_the_suite(learned: Submission) -> None:
    core = read_suite("core")
    check_episodes(learned, core)
    for change, problem in (
        ({"demonstrations": 1}, "it has 1 demonstrations of expert with seed 1; expected .* 100 demonstrations"),
        ({"demonstrator": "novice"}, "it has 100 demonstrations of novice with seed 1"),
        ({"demonstration_seed": 7}, "it has 100 demonstrations of expert with seed 7"),
        ({"training_seed": None}, "its training seed is None"),
        ({"training_env": {"robot": "xarm6"}}, "was not trained as suite core trains an agent"),
    ):
        first, *others = learned.results
        results = (replace(first, cell=replace(first.cell, **change)), *others)
        with pytest.raises(ValueError, match=problem):
            check_episodes(learned.model_copy(update={"results": results}), core)
    more = tuple(
        replace(result, cell=replace(result.cell, training_seed=100 + place))
        for place, result in enumerate(learned.results)
    )
    with pytest.raises(ValueError, match=r"its training seed is 100, .*; expected training seeds \[0, 1, 2, 3, 4\]"):
        check_episodes(learned.model_copy(update={"results": (*learned.results, *more)}), core)
    with pytest.raises(ValueError, match="no result of LamGrasp-v0, condition as trained, training seed 4, 100"):
        check_episodes(learned.model_copy(update={"results": learned.results[:-1]}), core)


@pytest.mark.parametrize("agent", ["expert", "bc", "sac"])
@pytest.mark.parametrize("name", ["core", "people", "robustness"])
def test_what_submit_measures_of_a_suite_is_accepted(name: str, agent: str, learned: Submission) -> None:
    suite = read_suite(name)
    cells = suite_of_agent(suite, agent, "Third", {}, ["LamGrasp-v0"]).cells()
    results = tuple(replace(learned.results[0], cell=cell) for cell in cells)
    check_episodes(learned.model_copy(update={"results": results}), suite)


def test_other_settings_than_those_of_the_submission_are_refused(
    measured: tuple[Path, Submission], tmp_path: Path
) -> None:
    _, suite = small_suite(tmp_path)
    results = tuple(
        replace(each, cell=replace(each.cell, settings={"executed_actions": 1, "encoder": "a b"}))
        for each in measured[1].results
    )
    other = measured[1].model_copy(update={"results": results})
    options = re.escape(
        "was measured with --config executed_actions=1 --config 'encoder=a b', and this verification has"
    )
    with pytest.raises(ValueError, match=f"{options} no --config: give the settings of the submission by --config"):
        verify(other, suite, suite_of(suite), tmp_path / "work", Idle(), seed=0)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(
    st.dictionaries(
        st.from_regex("[a-z_]+", fullmatch=True).filter(lambda name: name not in ("self", "env")),
        VALUES | st.lists(VALUES) | st.dictionaries(st.text(), VALUES) | st.sampled_from(["1", "null", "NaN", "a=b"]),
    )
)
def test_options_give_the_settings_that_they_are_made_of(settings: dict[str, Any]) -> None:
    words = shlex.split(config_options(settings))
    assert words[::2] == ["--config"] * len(settings)
    assert read_settings(words[1::2]) == settings


def test_a_second_verification_in_a_folder_changes_nothing(measured: tuple[Path, Submission], tmp_path: Path) -> None:
    _, suite = small_suite(tmp_path)
    folder = tmp_path / "work"
    with runner.locked(folder):
        sampled = folder / "samples" / "first.json"
        write_json(sampled, {})
        with pytest.raises(ValueError, match="another run works in"):
            verify(measured[1], suite, suite_of(suite), folder, Idle(), seed=0)
        assert sampled.is_file()
        assert not (folder / "suite.json").exists()


def test_a_command_that_is_too_long_is_refused_before_the_measurement(
    measured: tuple[Path, Submission], tmp_path: Path
) -> None:
    _, suite = small_suite(tmp_path)
    with pytest.raises(ValueError, match=r"the command cannot be stored in a submission: .*4000"):
        submit(suite_of(suite), measured[1].agent, "x" * 5000, tmp_path / "work", LocalEngine(1))
    assert not (tmp_path / "work").exists()


def test_the_author_of_a_submission_cannot_know_its_sample_and_its_seed_repeats_it(
    measured: tuple[Path, Submission], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, _ = small_suite(tmp_path)
    path = write_submission(tmp_path / "third.json", measured[1])
    command = ["verify", str(path), "--agent", "expert", "--suite", str(file), "--workers", "1"]

    def verification(*options: str) -> Verification:
        done = CliRunner().invoke(app, [*command, *options])
        assert done.exit_code == 0, done.output
        found = read_verification(verification_path(path))
        assert f"sample of seed {found.seed}: --seed {found.seed} repeats this verification" in done.output
        return found

    first, second = verification(), verification()
    assert first.seed != second.seed
    assert verification("--seed", str(first.seed)) == first


def test_seeds_of_samples_are_drawn_from_all_of_32_bits() -> None:
    seeds = [draw_seed() for _ in range(100)]
    assert len(set(seeds)) > 95
    assert max(seeds) >= 2**31 > min(seeds) >= 0


def test_a_sample_is_a_tenth_of_the_episodes_and_at_least_five() -> None:
    chosen = sample(range(1000, 1200), 0.1, np.random.default_rng(0))
    assert len(set(chosen)) == 20
    assert set(chosen) <= set(range(1000, 1200))
    assert sorted(sample(range(3), 0.1, np.random.default_rng(0))) == [0, 1, 2]


def test_an_agent_that_learns_is_trained_as_the_suite_trains_its_own() -> None:
    core = read_suite("core")
    cells = suite_of_agent(core, "bc", "mine", {"epochs": 3}, ["LamGrasp-v0"]).cells()
    assert [cell.training_seed for cell in cells] == [0, 1, 2, 3, 4]
    assert {(cell.demonstrations, cell.demonstrator, cell.demonstration_seed) for cell in cells} == {
        (100, "expert", 1)
    }
    assert len(suite_of_agent(core, "expert", "mine", {}).cells()) == len(core.environments)
    with pytest.raises(ValueError, match="suite core has no environment 'LamDrawer-v0'; expected one of LamReach-v0"):
        suite_of_agent(core, "expert", "mine", {}, ["LamDrawer-v0"])
    with pytest.raises(ValueError, match="has no demonstrations for LamReach-v0: submit a trained agent"):
        suite_of_agent(
            core.model_copy(update={"agents": read_suite("experts").agents}), "bc", "mine", {}, ["LamReach-v0"]
        )
    with pytest.raises(ValueError, match="has no training seeds: submit a trained agent"):
        suite_of_agent(read_suite("experts"), "bc", "mine", {})


@pytest.mark.slow
def test_the_verification_of_an_agent_that_learns_trains_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("learned.yaml").write_text(
        "name: learned\nenvironments: [LamReach-v0]\nagents: [bc]\ndemonstrations: 8\ndemonstration_seed: 1\n"
        "training_seeds: [0, 1]\nevaluation: {first_seed: 1000, episodes: 6}\n"
    )
    common = ["--agent", "bc", "--suite", "learned.yaml", "--config", "epochs=5"]
    done = CliRunner().invoke(app, ["submit", *common, "--name", "Mine", "--out", "mine.json"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["verify", "mine.json", *common])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["verify", "mine.json", *common[:-1], "epochs=6"])
    assert done.exit_code == 2, done.output
    message = "was measured with --config epochs=5, and this verification has --config epochs=6"
    assert message in " ".join(done.output.split())

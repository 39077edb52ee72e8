"""The commands of measured episodes follow from their seeds, and give the success by verb."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from agents.evaluation.episode import EpisodeResult
from agents.evaluation.evaluation import Evaluation
from benchmarks.analysis.tables import conditions_of, rows
from benchmarks.analysis.verbs import success_by_verb
from benchmarks.reports import report as reports
from benchmarks.runner.episode_commands import COMMANDS_FILE, commands_key, read_commands, verb_of, write_commands
from benchmarks.runner.results import CellResult
from demos.collection.recording import rollout
from demos.experts import make_expert
from lam_envs.tasks.table.commands import command_name

from .suites import PUBLISHED, published


def measured(condition: str, episodes: int = 200) -> CellResult:
    """A published result of Table, with fewer episodes."""
    result = next(each for each in published("language")[1] if each.cell.condition == condition)
    evaluation = dataclasses.replace(result.evaluation, episodes=result.evaluation.episodes[:episodes])
    return dataclasses.replace(
        result, cell=dataclasses.replace(result.cell, episodes=episodes), evaluation=evaluation
    )


@pytest.mark.parametrize("condition", ["trained commands", "other instruction"])
def test_the_command_of_an_episode_is_the_one_that_its_success_refers_to(condition: str, tmp_path: Path) -> None:
    result = measured(condition, 3)
    assert write_commands(tmp_path, [result]) == tmp_path / COMMANDS_FILE
    (names,) = read_commands(tmp_path).values()
    env = result.cell.perturbation.make(result.cell.environment)
    for episode, name in zip(result.evaluation.episodes, names, strict=True):
        # Only its first steps: the command does not change in an episode.
        for _, _ in zip(range(3), rollout(env, make_expert(env), episode.seed), strict=False):
            assert command_name(env.unwrapped.command) == name  # type: ignore[attr-defined]
    env.close()


@pytest.mark.parametrize("condition", ["known words", "five cubes"])
def test_published_commands_are_those_of_resets_now(condition: str, tmp_path: Path) -> None:
    write_commands(tmp_path, [measured(condition)])
    stored = read_commands(PUBLISHED / "language")
    for key, names in read_commands(tmp_path).items():
        assert stored[key] == names


def test_commands_that_are_stored_are_not_determined_again(tmp_path: Path) -> None:
    result = measured("trained commands", 2)
    key = commands_key(result)
    assert key is not None
    (tmp_path / COMMANDS_FILE).write_text(json.dumps({key: ["open", "close"], "of earlier results": ["open"]}))
    write_commands(tmp_path, [result])
    assert read_commands(tmp_path) == {key: ["open", "close"]}


def test_results_have_no_commands_with_another_version_of_their_environment_or_several_in_an_episode(
    tmp_path: Path,
) -> None:
    result = measured("trained commands", 2)
    versions = {**result.provenance.versions, "task table": 0}
    outdated = dataclasses.replace(result, provenance=dataclasses.replace(result.provenance, versions=versions))
    assert commands_key(outdated) != commands_key(result)
    assert commands_key(measured("chains of five")) is None
    others = [each for each in published("generalist")[1] if each.cell.environment != "LamTable-v0"]
    assert all(commands_key(each) is None for each in others)
    assert write_commands(tmp_path, [outdated, measured("chains of five"), *others]) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"a": [1]}', '{"a": ["jump red_cube"]}'])
def test_a_damaged_file_of_commands_is_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / COMMANDS_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"commands\.json is damaged .*: remove it and run the report again"):
        read_commands(tmp_path)


def test_a_table_of_verbs_has_each_episode_of_each_condition_once() -> None:
    suite, results = published("language")
    table = rows(results)
    commands = read_commands(PUBLISHED / "language")
    conditions = conditions_of(table, suite)
    text = reports.markdown(PUBLISHED / "language")
    tables = success_by_verb(results, table, commands, conditions)
    labels = [
        "lam with ten tasks",
        "lam with ten tasks and sentence encoder",
        "lam",
    ]
    assert {entry["label"] for entry in suite["agents"]} == set(labels)
    assert [verbs.title for verbs in tables] == [f"success of {label} in LamTable-v0" for label in labels]
    for label, verbs in zip(labels, tables, strict=True):
        assert verbs.columns == tuple(name for name in conditions if name != "chains of five")
        for column, condition in enumerate(verbs.columns):
            rates = [own[column] for _, own in verbs.lines]
            assert sum(rate.episodes for rate in rates if rate is not None) == 200
            successes = sum(rate.episodes * rate.success_rate for rate in rates if rate is not None)
            (row,) = (row for row in table if (row.agent, row.condition) == (label, condition))
            assert successes == pytest.approx(200 * row.success_rate)
            assert all(rate.low <= rate.success_rate <= rate.high for rate in rates if rate is not None)
        unseen = dict(verbs.lines)["open"][verbs.columns.index("unseen combinations")]
        assert unseen is None
        assert f"| {verbs.title} | trained commands |" in text
        assert f"Each rate covers {verbs.episodes[0]} to {verbs.episodes[1]} episodes." in text


def test_with_one_condition_a_table_of_verbs_compares_agents_over_their_training_runs() -> None:
    result = measured("trained commands")
    key = commands_key(result)
    assert key is not None
    names = read_commands(PUBLISHED / "language")[key]

    def run(label: str, seed: int, *, success: bool) -> CellResult:
        cell = dataclasses.replace(result.cell, label=label, training_seed=seed)
        episodes: tuple[EpisodeResult, ...] = tuple(
            dataclasses.replace(episode, success=success) for episode in result.evaluation.episodes
        )
        evaluation: Evaluation = dataclasses.replace(result.evaluation, episodes=episodes)
        return dataclasses.replace(result, cell=cell, evaluation=evaluation)

    results = [run("lam", 0, success=True), run("lam", 1, success=False), run("other", 0, success=True)]
    (verbs,) = success_by_verb(results, rows(results), {key: names}, [result.cell.condition])
    assert verbs.title == "success in LamTable-v0"
    assert set(verbs.columns) == {"lam", "other"}
    counts = Counter(map(verb_of, names))
    for verb, own in verbs.lines:
        rates = dict(zip(verbs.columns, own, strict=True))
        assert {rate.episodes for rate in own if rate is not None} == {counts[verb]}
        assert [rates[name].success_rate for name in ("lam", "other") if rates[name] is not None] == [0.5, 1.0]  # type: ignore[union-attr]
    # One verb in every column says no more than the success itself.
    assert success_by_verb(results, rows(results), {key: ["open"] * 200}, [result.cell.condition]) == []

"""Suites adapt trained agents to a condition, and measure them there and as trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.deployment.adaptation.methods.queries import AdaptByQueries
from benchmarks.reports import report as reports
from benchmarks.reports.adaptations import adaptations
from benchmarks.runner import runner
from benchmarks.runner.results import read_results
from benchmarks.runner.trained import read_training
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from .suites import written

FEW: dict[str, Any] = {"check_episodes": 1, "updates": 5, "batch_size": 16}
SMALL: dict[str, Any] = {"agent": "bc", "settings": {"epochs": 2, "hidden_sizes": [8], "batch_size": 32}}
ONLY: dict[str, Any] = {
    "environments": ["LamReach-v0"],
    "demonstrations": 2,
    "training_seeds": [0],
    "evaluation": {"first_seed": 1000, "episodes": 1},
    "conditions": {
        "as trained": {},
        "delay": {"env": {"randomize": {"action_delay": [1, 1]}}},
        "noise": {"env": {"randomize": {"sensor_noise": [0.01, 0.01]}}},
        "pushes": {"pushes": 1},
    },
    "videos": None,
    "periodic_eval": {"evaluations": 1, "episodes": 1},
}


def adapted(method: str, label: str, **changes: Any) -> dict[str, Any]:
    settings = FEW if method != "reward" else {"check_episodes": 1, "hidden_sizes": [8], "learning_starts": 40}
    plan = {"method": method, "condition": "delay", "budget": 80, "settings": settings, **changes}
    return {**SMALL, "label": label, "adaptation": plan}


AGENTS = [SMALL, adapted("queries", "queried"), adapted("reward", "rewarded")]


def test_an_adaptation_follows_its_training_and_is_measured_where_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = read_suite(written(tmp_path, agents=AGENTS, **ONLY))
    measured = {(cell.label, cell.condition) for cell in suite.cells()}
    own = {(label, condition) for label in ("queried", "rewarded") for condition in ("as trained", "delay")}
    assert measured == own | {("bc", condition) for condition in ONLY["conditions"]}
    todo = runner.missing(suite, tmp_path / "out")
    assert (len(todo.datasets), len(todo.trainings)) == (1, 3)
    base, *others = todo.trainings
    assert [each.base for each in others] == [base, base]
    assert (base.base, base.adaptation) == (None, None)
    changed = [adapted("queries", "queried", budget=120), *AGENTS[2:]]
    edited = read_suite(written(tmp_path, agents=[SMALL, *changed], **ONLY))
    keys = {each.key for each in todo.trainings}
    assert len(keys & {each.key for each in runner.missing(edited, tmp_path / "out").trainings}) == 2
    monkeypatch.setattr(AdaptByQueries, "version", 2)
    assert len(keys & {each.key for each in runner.missing(suite, tmp_path / "out").trainings}) == 2


@pytest.mark.slow
def test_adapted_agents_are_saved_measured_and_reported(tmp_path: Path) -> None:
    suite = read_suite(written(tmp_path, agents=AGENTS, **ONLY))
    todo = runner.missing(suite, tmp_path / "out")
    folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    assert runner.failures(folder) == {}
    assert runner.missing(suite, folder).names() == []
    for training in todo.trainings[1:]:
        record = json.loads((folder / training.path / "agent.json").read_text())["training"]["adaptations"][0]
        assert record["method"] == training.adaptation.method
        check, kept = read_training(folder, training).training.check, record["check"]
        assert check is not None
        assert check.changed == (kept["before"]["changed"], kept["after"]["changed"])
        assert check.home == (kept["before"]["home"], kept["after"]["home"])
        assert check.is_used == record["is_better"]
    results = read_results(folder)[1]
    assert [row.label for row in adaptations(results)] == ["queried", "rewarded"]
    queried = next(result for result in results if result.cell.label == "queried")
    assert {"adaptation queries", "agent bc"} <= set(queried.provenance.versions)
    assert queried.provenance.settings["adaptation"]["check_episodes"] == 1
    assert queried.training is not None
    assert queried.training.environment_steps >= 80
    report = next(file for file in reports.report(folder) if file.name == "report.md").read_text()
    assert "adapted to delay by queries (budget 80)" in report
    # The trained agent remains; an adaptation alone is missing.
    runner.delete_results(suite, folder, ["queried"])
    again = runner.missing(suite, folder)
    assert [each.adaptation.method for each in again.trainings] == ["queries"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (adapted("magic", "a"), "found 'magic'; expected 'demonstrations', 'queries' or 'reward'"),
        (adapted("queries", "a", condition="rain"), "no condition 'rain'; expected one of delay, noise, pushes"),
        (adapted("queries", "a", condition="pushes"), "agents are adapted to changes of env; 'pushes' has others"),
        (adapted("queries", "a", condition="as trained"), "agents are adapted to changes of env"),
        (adapted("queries", "a", settings={"updates": 0}), "setting updates of method queries is 0"),
        ({**adapted("queries", "a"), "agent": "random", "settings": {}}, "random cannot be adapted"),
        ({**adapted("queries", "a"), "agent": "lam", "settings": {}}, "lam cannot be adapted"),
    ],
)
def test_an_invalid_adaptation_is_refused(entry: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_suite(written(tmp_path, agents=[entry], **ONLY))

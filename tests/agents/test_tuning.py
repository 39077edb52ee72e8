"""Tuning: a study resumes, belongs to one training, and searches the space of the settings."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.registry import AGENTS
from agents.training import tuning
from agents.training.settings import SEARCH, settings_files

from ..conftest import Make


def tuned(datasets: Any, env: Any, study: Path, trials: int, **settings: Any) -> tuning.TuningResult:
    root, ids = datasets
    dataset = demos.load(ids["LamReach-v0"], root)
    return tuning.tune("bc", env, dataset, study, settings, trials=trials, episodes=3, budget=2)


@pytest.mark.slow
def test_a_study_resumes(datasets: Any, make: Make, tmp_path: Path) -> None:
    env, study = make("LamReach-v0"), tmp_path / "study.db"
    first = tuned(datasets, env, study, 1, batch_size=32)
    assert first.trials == 1
    second = tuned(datasets, env, study, 2, batch_size=32)
    assert second.trials == 2
    assert second.success_rate >= first.success_rate
    assert set(second.settings) == set(tuning.search_space("bc")) - {"batch_size"}
    agents.make("bc", env, **second.settings)
    chosen = optuna.load_study(study_name=None, storage=f"sqlite:///{study}").trials
    assert len({trial.params["learning_rate"] for trial in chosen}) == 2
    with pytest.raises(ValueError, match="holds a study with another settings: choose another file"):
        tuned(datasets, env, study, 3, batch_size=16)
    with pytest.raises(ValueError, match="holds a study of bc LamReach-v0: choose another file for bc LamReachGoal"):
        tuned(datasets, make("LamReachGoal-v0"), study, 3, batch_size=32)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("bc", "act", "lam", "sac") else pytest.mark.slow)
        for name in AGENTS
        if name in settings_files()
    ],
)
def test_every_agent_with_settings_can_be_tuned_within_its_own_bounds(name: str, make: Make) -> None:
    space = tuning.search_space(name)
    discrete = name in ("dqn", "sqil", "dqfd")
    env = make("LamReachDiscrete-v0" if discrete else "LamReach-v0")
    assert SEARCH in yaml.safe_load(settings_files()[name].read_text())
    assert set(space) <= set(type(agents.make(name, env).settings).model_fields)
    study = optuna.create_study()
    for _ in range(5):
        agents.make(name, env, **tuning.suggest_settings(study.ask(), space))


def test_nothing_to_tune_is_an_error(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="agent random has nothing to tune"):
        tuning.tune("random", make("LamReach-v0"), None, tmp_path / "study.db", trials=1)
    with pytest.raises(ValueError, match="trials is 0; expected at least 1"):
        tuning.tune("bc", make("LamReach-v0"), None, tmp_path / "study.db", trials=0)


@pytest.mark.slow
def test_a_killed_study_resumes(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    study = tmp_path / "study.db"
    command = [
        sys.executable, "-m", "agents", "tune", "bc", "--env", "LamReach-v0", "--demos", ids["LamReach-v0"],
        "--root", str(root), "--study", str(study), "--trials", "3", "--episodes", "2", "--budget", "2",
        "--config", "batch_size=32",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and not study.is_file():
        time.sleep(0.05)
    time.sleep(1.0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = CliRunner().invoke(app, command[3:])
    assert done.exit_code == 0, done.stderr
    assert "best of 3 trials: success" in done.stdout
    assert "--config learning_rate=" in done.stdout


def test_executed_actions_are_not_tuned_with_temporal_ensembling() -> None:
    assert "executed_actions" in tuning.search_space("act", {"ensembling": False})
    assert "executed_actions" not in tuning.search_space("act", {"ensembling": True})


def test_files_and_settings_that_cannot_be_tuned_are_refused_first(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    (tmp_path / "notes.txt").write_text("my notes, which are no database")
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\0" + bytes(range(200)))
    with contextlib.closing(sqlite3.connect(tmp_path / "addresses.db")) as others:
        others.execute("CREATE TABLE friends (name TEXT)")
    for path in (tmp_path, *(tmp_path / name for name in ("notes.txt", "torn.db", "addresses.db"))):
        with pytest.raises(ValueError, match="is not a study"):
            tuning.tune("bc", env, None, path, trials=1)
    with pytest.raises(ValueError, match="contains '\\?'"):
        tuning.tune("bc", env, None, tmp_path / "a?b.db", trials=1)
    with pytest.raises(ValueError, match="budget is 0; expected at least 1"):
        tuning.tune("bc", env, None, tmp_path / "study.db", trials=1, budget=0)
    with pytest.raises(ValueError, match="unknown setting 'nope'"):
        tuning.tune("bc", env, None, tmp_path / "study.db", {"nope": 3}, trials=1)
    assert not (tmp_path / "study.db").exists()


def stored(study: Path, **keywords: Any) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=f"sqlite:///{study}", **keywords)


def with_learning_rates(monkeypatch: pytest.MonkeyPatch, *rates: float) -> None:
    """Let trials train with these learning rates, whatever the study proposes."""
    suggest, left = tuning.suggest_settings, iter(rates)
    monkeypatch.setattr(
        tuning, "suggest_settings", lambda *given: {**suggest(*given), "batch_size": 32, "learning_rate": next(left)}
    )


def test_processes_that_start_together_propose_different_trials(
    datasets: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, optimize = tmp_path / "study.db", optuna.Study.optimize

    def optimize_after_another_process(self: Any, *args: Any, **keywords: Any) -> None:
        other = stored(path, sampler=optuna.samplers.TPESampler(seed=0))
        suggest(other.ask(), tuning.search_space("bc"))
        optimize(self, *args, **keywords)

    suggest = tuning.suggest_settings
    with_learning_rates(monkeypatch, -1.0)  # an error before the training, which is not of interest
    monkeypatch.setattr(optuna.Study, "optimize", optimize_after_another_process)
    with pytest.raises(ValueError, match=r"learning_rate of agent bc is -1\.0"):
        tuned(datasets, make("LamReach-v0"), path, 1)
    first, second = (trial.params for trial in stored(path).trials)
    assert first["learning_rate"] != second["learning_rate"]


def test_a_diverging_trial_is_pruned_and_a_single_process_proposes_reproducible_trials(
    datasets: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    expected = [study.ask() for _ in range(2)]
    for trial in expected:
        tuning.suggest_settings(trial, tuning.search_space("bc"))
    with_learning_rates(monkeypatch, 1e30, 0.001)
    assert tuned(datasets, make("LamReach-v0"), tmp_path / "study.db", 2).trials == 2
    trials = stored(tmp_path / "study.db").trials
    assert [trial.state.name for trial in trials] == ["PRUNED", "COMPLETE"]
    assert [trial.params for trial in trials] == [trial.params for trial in expected]


@pytest.mark.slow
def test_a_study_of_trials_that_all_diverge_is_an_error(
    datasets: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_learning_rates(monkeypatch, 1e30)
    with pytest.raises(ValueError, match=r"all 1 trials in .* diverged or .*: start another study"):
        tuned(datasets, make("LamReach-v0"), tmp_path / "study.db", 1)


def test_a_trial_with_a_minibatch_larger_than_the_dataset_is_pruned(make: Make, tmp_path: Path) -> None:
    env, dataset = make("LamReach-v0"), demos.collect("LamReach-v0", episodes=2, root=tmp_path)  # 80 steps
    result = tuning.tune("bc", env, dataset, tmp_path / "study.db", trials=3, episodes=1, budget=1)
    assert result.trials == 3
    assert result.settings["batch_size"] == 64
    trials, choices = stored(tmp_path / "study.db").trials, tuning.search_space("bc")["batch_size"]["choices"]
    found = [(choices[trial.params["batch_size"]], trial.state.name) for trial in trials]
    assert found == [(64, "COMPLETE"), (64, "COMPLETE"), (128, "PRUNED")]


def test_a_dataset_that_is_smaller_than_every_minibatch_is_an_error(make: Make, tmp_path: Path) -> None:
    env, dataset = make("LamReach-v0"), demos.collect("LamReach-v0", episodes=1, root=tmp_path)  # 40 steps
    budget: dict[str, int] = {"trials": 2, "episodes": 1, "budget": 1}
    with pytest.raises(ValueError, match=r"all 2 trials .* had minibatches larger than the demonstrations"):
        tuning.tune("act", env, dataset, tmp_path / "drawn.db", **budget)
    with pytest.raises(ValueError, match="has 40 steps to learn from, fewer than a minibatch of 64"):
        tuning.tune("act", env, dataset, tmp_path / "fixed.db", {"batch_size": 64}, **budget)


def test_a_study_of_act_trains_evaluates_and_returns_settings_that_train(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    fixed = {"batch_size": 60, "width": 16}
    result = tuning.tune("act", env, dataset, tmp_path / "study.db", fixed, trials=1, episodes=2, budget=1)
    assert set(result.settings) == {"learning_rate", "action_horizon", "executed_actions"}
    (trial,) = stored(tmp_path / "study.db").trials
    assert trial.state.name == "COMPLETE"
    assert list(trial.intermediate_values) == [0]  # the periodic evaluation after the only epoch
    agent = agents.make("act", env, **fixed, **result.settings)
    agent.learn(dataset, env, seed=tuning.FIRST_TRAINING_SEED, budget=1)
    first = tuning.FIRST_EVALUATION_SEED
    assert agents.evaluate(agent, env, seeds=range(first, first + 2)).success_rate == result.success_rate

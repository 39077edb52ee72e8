"""Fine-tuning is compared with training from scratch; an interrupted measurement continues; others are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.fine_tuning import measurement, models
from benchmarks.fine_tuning.experiments import EXPERIMENTS, Experiment, Setting
from demos.runtime.engines import Job, LocalEngine
from demos.runtime.files import write_json

SMALL = ["--new", "pick_place", "--demonstrations", "2", "--known-epochs", "1", "--epochs", "1", "--episodes", "2"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_measurement_has_all_models_and_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ("reach", "push", "grasp", "stack")
    monkeypatch.setitem(EXPERIMENTS, "tasks", replace(EXPERIMENTS["tasks"], demonstrators={"expert": 2}))
    out = tmp_path / "finetuning.json"
    done = CliRunner().invoke(app, ["finetuning", *SMALL, "--out", str(out)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    out.unlink()
    done = CliRunner().invoke(app, ["finetuning", *SMALL, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text()) == content, "models whose file was deleted are evaluated again, not trained"
    assert set(content["trainings"]) == {"known", "fine-tuned-pick_place", "from-scratch-pick_place"}
    evaluated = {(row["model"], row["task"]) for row in content["evaluations"].values()}
    assert evaluated == {
        *(("known", task) for task in (*known, "pick_place")),
        *(("fine-tuned-pick_place", task) for task in (*known, "pick_place")),
        ("from-scratch-pick_place", "pick_place"),
    }
    # As after an interruption: what is left out is measured again, with the saved models.
    removed = content["evaluations"].pop("known | reach")
    out.write_text(json.dumps(content))
    done = CliRunner().invoke(app, ["finetuning", *SMALL, "--out", str(out)])
    assert done.exit_code == 0, done.output
    completed = json.loads(out.read_text())
    assert completed["evaluations"].pop("known | reach") == removed
    assert completed == content
    changed = CliRunner().invoke(app, ["finetuning", *SMALL, "--episodes", "3", "--out", str(out)])
    assert changed.exit_code == 2
    assert "was measured with other episodes: name another file" in " ".join(changed.stderr.split())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_new_robot_is_learned_by_its_joints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, unseen = (Setting("reach", {"robot": robot, "control": "joint"}) for robot in ("panda", "ur5e"))
    small = Experiment(
        known=(known,),
        new={"ur5e": (unseen,)},
        unfamiliar=frozenset(),
        demonstrators={"expert": 2},
        difficult={},
        known_epochs=1,
        new_epochs=1,
    )
    monkeypatch.setitem(EXPERIMENTS, "robot", small)
    out = tmp_path / "finetuning.json"
    command = ["finetuning", "--experiment", "robot", "--demonstrations", "2", "--episodes", "2", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert set(json.loads(out.read_text())["evaluations"]) == {
        "known | reach panda joint", "known | reach ur5e joint",
        "fine-tuned-ur5e | reach ur5e joint", "fine-tuned-ur5e | reach panda joint",
        "from-scratch-ur5e | reach ur5e joint",
    }  # fmt: skip


class Planner(LocalEngine):
    """Engine that collects demonstrations, and lists the trainings and evaluations instead of running them."""

    def __init__(self) -> None:
        super().__init__(1)
        self.jobs: dict[str, Job] = {}

    def run(self, jobs: Sequence[Job], **keywords: Any) -> Iterator[tuple[Job, Any]]:
        if all(job.function in (models.train, models.fine_tune, models.evaluate_model) for job in jobs):
            self.jobs = {job.name: job for job in jobs}
            return iter(())
        return super().run(jobs, **keywords)

    @property
    def trainings(self) -> list[str]:
        return [name for name, job in self.jobs.items() if job.function is not models.evaluate_model]


def test_models_are_reused_with_equal_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Experiment(
        known=(Setting("reach"),),
        new={"grasp": (Setting("grasp"),)},
        unfamiliar=frozenset({"grasp"}),
        demonstrators={"expert": 1},
        difficult={},
        known_epochs=1,
        new_epochs=1,
    )
    monkeypatch.setitem(EXPERIMENTS, "tasks", small)
    out, first = tmp_path / "finetuning.json", Planner()
    measurement.run(out, first, demonstrations=1, episodes=1)
    assert first.trainings == ["known", "fine-tuned-grasp", "from-scratch-grasp"]
    costs = {name: {"model": name, "epochs": 1, "cpu_seconds": 2.0} for name in first.trainings}
    for name, cost in costs.items():
        # As a training leaves it that ends before the results file is written.
        folder = out.with_suffix("") / models.MODELS / name
        write_json(folder / models.TRAINING_FILE, {"identity": first.jobs[name].arguments[2], "cost": cost})
    for changes, trainings in (
        ({}, []),
        ({"episodes": 2}, []),
        ({"new_epochs": 2}, ["fine-tuned-grasp", "from-scratch-grasp"]),
        ({"known_epochs": 2}, first.trainings),
    ):
        engine = Planner()
        settings: dict[str, Any] = {"demonstrations": 1, "episodes": 1, **changes}
        content = measurement.run(out, engine, **settings)
        assert engine.trainings == trainings
        assert content.trainings == {name: cost for name, cost in costs.items() if name not in trainings}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--new", "fly"], "unknown tasks to learn 'fly'; expected one of pick_place, insert"),
        (["--experiment", "arms"], "unknown experiment 'arms'; expected one of tasks, robot"),
        (["--experiment", "robot", "--new", "insert"], "unknown robot to learn 'insert'; expected one of ur5e"),
        (["--demonstrations", "0"], "demonstrations is 0; expected at least 1"),
        (["--out", "finetuning"], "the results file is finetuning; expected a name that ends in .json"),
    ],
)
def test_invalid_arguments_are_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["finetuning", "--out", str(tmp_path / "finetuning.json"), *arguments])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert not any(tmp_path.iterdir())


def test_a_file_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "other.json"
    out.write_text('{"figures": []}')
    done = CliRunner().invoke(app, ["finetuning", *SMALL, "--out", str(out)])
    assert done.exit_code == 2
    assert "holds no measurements of fine-tuning" in " ".join(done.stderr.split())
    assert out.read_text() == '{"figures": []}'

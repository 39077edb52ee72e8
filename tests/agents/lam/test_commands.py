"""Training of one model on several datasets and environments from the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from agents.__main__ import app

SMALL = ["--config", "width=16", "--config", "batches=2", "--config", "batch_size=32", "--budget", "1"]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_model_is_trained_on_several_datasets_and_evaluated_in_their_environments(
    datasets: Any, tmp_path: Path
) -> None:
    root, ids = datasets
    out = str(tmp_path / "lam")
    data = ["--dataset", ids["LamReach-v0"], "--dataset", ids["LamGrasp-v0"], "--root", str(root)]
    run("train", "lam", *data, "--out", out, "--eval-episodes", "1", *SMALL)
    for env_id in ids:
        evaluated = run("evaluate", out, "--env", env_id, "--env-kwargs", "instruct=true", "--episodes", "1")
        assert "success rate" in evaluated
    shown = run("show", out)
    for row in ("environment +LamReach-v0", "environment +LamGrasp-v0", "instruct +True", ids["LamGrasp-v0"]):
        assert re.search(row, shown), row


def test_a_model_is_finetuned_with_a_replay_of_what_it_learned_from(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    common = ["--root", str(root), "--eval-episodes", "0", *SMALL]
    run("train", "lam", "--dataset", ids["LamReach-v0"], "--out", first, *common)
    tune = ["finetune", first, "--dataset", ids["LamGrasp-v0"], "--out", second, "--root", str(root), *SMALL[2:]]
    run(*tune, "--eval-episodes", "0")
    for env_id in ids:
        run("evaluate", second, "--env", env_id, "--episodes", "1")
    assert f"{ids['LamGrasp-v0']}, {ids['LamReach-v0']}" in re.sub(r"\s+", " ", run("show", second))
    failed = CliRunner().invoke(app, tune)
    assert failed.exit_code == 2
    assert "holds an agent already" in failed.stderr
    recipe = tmp_path / "recipe.yaml"
    replayed = "datasets:\n  - {environments: [LamReach-v0], demonstrations: 1}\n"
    recipe.write_text(f"description: Reach.\nseed: 5\n{replayed}")
    tune[tune.index(second)] = third = str(tmp_path / "third")
    run(*tune, "--eval-episodes", "0", "--replay-recipe", str(recipe))
    assert f"{ids['LamGrasp-v0']}, lam/LamReach-expert-1-seed5-v0" in re.sub(r"\s+", " ", run("show", third))


def test_other_agents_are_trained_in_one_environment_and_on_several_datasets(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    data = ["--demos", ids["LamReach-v0"], "--demos", ids["LamReach-v0"], "--root", str(root)]
    out = ["--out", str(tmp_path / "bc"), "--eval-episodes", "0", "--config", "batch_size=32", "--budget", "1"]
    run("train", "bc", "--env", "LamReach-v0", *data, *out)
    assert "12 episodes" in run("show", str(tmp_path / "bc"))
    failed = CliRunner().invoke(app, ["finetune", str(tmp_path / "bc"), *data, "--out", str(tmp_path / "tuned")])
    assert f"finetune takes agent lam, and {tmp_path / 'bc'} holds bc: adapt it by python -m agents" in failed.stderr
    for environments, message in (
        (["--env", "LamReach-v0", "--env", "LamGrasp-v0"], "agent bc is trained in one environment: give --env once"),
        ([], "agent bc needs an environment: give one by --env"),
    ):
        other = ["--out", str(tmp_path / "other")]
        failed = CliRunner().invoke(app, ["train", "bc", *environments, *data, *other])
        assert failed.exit_code == 2
        assert message in failed.stderr

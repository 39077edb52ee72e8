"""The speed of vector environments is measured in alternation; no test depends on how fast the machine is."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app


@pytest.mark.slow
@pytest.mark.parametrize("training", [0, 1920])
def test_the_command_measures_rates_ratios_and_a_training(training: int, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = ["vector", "--env", "LamReach-v0", "--steps", "1", "--rounds", "2", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--training-steps", str(training)])
    assert done.exit_code == 0, done.output
    content = json.loads(out.read_text())
    figures = {(each["what"], each["unit"]): each for each in content["figures"]}
    rate = figures["LamReach-v0, 2 workers", "steps/s"]["value"]
    assert rate == pytest.approx(20.0 * figures["LamReach-v0, 2 workers: real-time factor", ""]["value"])
    ratio = figures["LamReach-v0, 2 workers over AsyncVectorEnv of 16", ""]
    assert len(ratio["rounds"]) == 2
    assert ratio["value"] > 0
    bound = figures["LamReach-v0, 2 processes that exchange nothing", "steps/s"]
    assert len(bound["rounds"]) == 2
    assert any(what.startswith("training time of ppo") for what, _ in figures) == bool(training)
    assert (content["steps"], content["training_steps"]) == (1, training)
    assert not multiprocessing.active_children()


def test_bad_requests_are_refused() -> None:
    for arguments, message in ((["--env", "LamFly-v0"], "unknown environment"), (["--steps", "0"], "steps is 0")):
        failed = CliRunner().invoke(app, ["vector", *arguments])
        assert failed.exit_code == 2
        assert message in failed.stderr

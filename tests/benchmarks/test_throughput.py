"""The figures of speed mean what they say; no test depends on how fast the machine is."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import gymnasium as gym
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.speed import throughput
from benchmarks.suite.suite_file import read_speed_suite


def test_shares_and_rates_are_in_their_ranges() -> None:
    speed = throughput.measure("LamReach-v0", steps=50, rounds=1)
    assert speed.steps_per_second > 0
    assert speed.resets_per_second > 0
    assert speed.physics_share is not None
    assert 0 < speed.physics_share < 1


def test_an_environment_compared_with_itself_simulates_as_much_time_as_steps() -> None:
    pair = throughput.compare("LamReach-v0", "LamReach-v0", steps=50, rounds=2)
    assert pair.low <= pair.ratio <= pair.high
    assert pair.simulated_time_ratio == pair.ratio


@pytest.mark.slow
def test_images_and_processes_are_compared_too() -> None:
    throughput.installed_others()
    drawn = throughput.compare_rendering("LamReach-v0", "PandaReach-v3", frames=2, rounds=1)
    assert (drawn.ours, drawn.against) == ("LamReachPixels-v0, front", "PandaReach-v3, render()")
    assert drawn.ratio > 0
    assert drawn.simulated_time_ratio is None
    for mode in throughput.PROCESS_MODES:
        pair = throughput.compare_processes("LamReach-v0", mode, steps=20, rounds=1)
        assert pair.ours == f"LamReach-v0, {mode.name}"
        assert pair.ratio > 0
    assert not multiprocessing.active_children()


def test_every_installed_project_is_an_environment() -> None:
    found = throughput.installed_others()
    assert {other.package for other in found} >= {throughput.PANDA_GYM}
    for other in found:
        gym.spec(other.ours)
        gym.spec(other.theirs)


def test_the_command_measures_what_is_named_and_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    command = ["throughput", "--env", "LamReach-v0", "--steps", "30", "--rounds", "1", "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_text())
    assert [speed["env_id"] for speed in figures["speeds"]] == ["LamReach-v0"]
    assert figures["comparisons"] == []
    assert figures["machine"]["cores"] >= 1
    assert (figures["steps"], figures["rounds"]) == (30, 1)
    assert figures["versions"]["panda-gym"]


def test_bad_requests_are_refused() -> None:
    for arguments, message in ((["--env", "LamFly-v0"], "unknown environment"), (["--steps", "0"], "steps is 0")):
        failed = CliRunner().invoke(app, ["throughput", *arguments])
        assert failed.exit_code == 2
        assert message in failed.stderr


def test_a_suite_of_speed_is_carried_out(tmp_path: Path) -> None:
    file = tmp_path / "fast.yaml"
    file.write_text("name: fast\nenvironments: [LamReach-v0]\nsteps: 20\nrounds: 1\n")
    command = ["run", str(file), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, [*command, "--dry-run"])
    assert said.exit_code == 0
    assert "1 environments, 1 rounds of 20 steps" in said.output
    assert not (tmp_path / "out").exists()
    assert CliRunner().invoke(app, command).exit_code == 0
    content = json.loads((tmp_path / "out" / "throughput.json").read_text())
    assert [speed["env_id"] for speed in content["speeds"]] == ["LamReach-v0"]
    assert CliRunner().invoke(app, [*command, "--agent", "bc"]).exit_code == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("steps: 0", "line 3, steps: found 0; expected at least 1"),
        ("pace: 3", "line 3, pace: unknown key 'pace'"),
        ("steps: [1]", "line 3, steps: found"),
    ],
)
def test_a_bad_suite_of_speed_says_what_is_wrong(line: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "fast.yaml"
    file.write_text(f"name: fast\nenvironments: [LamReach-v0]\n{line}\nrounds: 1\n")
    with pytest.raises(ValueError, match=message):
        read_speed_suite(str(file))

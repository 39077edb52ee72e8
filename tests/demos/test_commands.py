"""python -m demos ..."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import pytest
from typer.main import get_command
from typer.testing import CliRunner

import demos
from demos.__main__ import app


def invoked(*arguments: str, columns: int = 200) -> Any:
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": str(columns)})


def test_the_commands_do_a_whole_round(tmp_path: Path) -> None:
    root = ["--root", str(tmp_path)]
    collected = invoked("collect", "LamReach-v0", "--episodes", "3", "--id", "mine-v0", *root)
    assert collected.exit_code == 0, collected.stderr
    assert "3 episodes, 120 steps" in collected.stdout
    listed = invoked("list", *root)
    assert "mine-v0" in listed.stdout
    output = invoked("info", "mine-v0", *root)
    assert "LamReach-v0" in output.stdout
    replayed = invoked("replay", "mine-v0", *root)
    assert replayed.exit_code == 0
    assert "3 of 3 episodes bit-identical" in replayed.stdout
    changed = invoked("preprocess", "mine-v0", "--step", "resample:rate=5", "--id", "slow-v0", *root)
    assert changed.exit_code == 0, changed.stderr
    video = tmp_path / "video.mp4"
    rendered = invoked("render", "slow-v0", "--out", str(video), "--episodes", "1", "--size", "64", *root)
    assert rendered.exit_code == 0, rendered.stderr
    assert video.stat().st_size > 1000


@pytest.mark.parametrize(
    ("env_id", "size", "expected"),
    [
        ("LamReachPixels-v0", "24", "uncompressed: front (24 x 24 x 3), wrist (24 x 24 x 3); JPEG needs at least 32"),
        ("LamReachPixels-v0", "32", ""),
        ("LamReach-v0", None, "the observations have no images: JPEG has no effect"),
    ],
)
def test_collect_reports_images_that_it_does_not_store_as_jpeg(
    env_id: str, size: str | None, expected: str, tmp_path: Path
) -> None:
    keywords = ["--env-kwargs", "max_episode_steps=2"]
    for name in ("image_width", "image_height") if size else ():
        keywords += ["--env-kwargs", f"{name}={size}"]
    options = ["--episodes", "1", "--keep-failures", "--jpeg", "--root", str(tmp_path)]
    done = invoked("collect", env_id, *options, *keywords)
    assert done.exit_code == 0, done.stderr
    assert expected in " ".join(done.output.split())
    assert ("JPEG" in done.output) == bool(expected)


def test_errors_are_one_clear_line(tmp_path: Path) -> None:
    demos.collect("LamReach-v0", episodes=2, dataset_id="made-v0", root=tmp_path)
    torn = demos.collect("LamReach-v0", episodes=2, dataset_id="torn-v0", root=tmp_path).storage.data_path
    os.truncate(torn / "main_data.hdf5", (torn / "main_data.hdf5").stat().st_size // 2)
    for arguments, message in (
        (["collect", "LamGrab-v0"], "unknown environment 'LamGrab-v0'"),
        (["collect", "Hover-v0"], "python -m demos --import MODULE collect"),
        (["collect", "LamReach-v0", "--episodes", "0"], "episodes is 0; expected a whole number of at least 1"),
        (["collect", "LamReach-v0", "--env-kwargs", "robot"], "expected name=value"),
        (["collect", "LamReach-v0", "--env-kwargs", "robt=panda"], "did you mean 'robot'"),
        (["info", "none-v0"], "no dataset 'none-v0'"),
        (["replay", "none-v0"], "no dataset 'none-v0'"),
        (["info", str(tmp_path)], "no dataset"),
        (["split", "made-v0", "a=0.5", "a=0.5"], "duplicate names"),
        (["split", "made-v0", "a"], "expected NAME=SHARE"),
        (["preprocess", "made-v0", "--step", "resample", "--id", "new-v0"], "lacks the settings rate"),
        (["info", "torn-v0"], "python -m demos check lists the damage"),
        (["render", "made-v0", "--out", "x.mp4", "--episodes", "0"], "episodes is 0; expected at least 1"),
        (["render", "none-v0", "--out", "x.mp4"], "no dataset 'none-v0'"),
    ):
        failed = CliRunner().invoke(app, [*arguments, "--root", str(tmp_path)])
        assert failed.exit_code == 2
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr


def test_an_imported_module_that_is_missing_is_named() -> None:
    failed = CliRunner().invoke(app, ["--import", "no_such_module", "list"])
    assert failed.exit_code == 2
    assert "--import no_such_module: No module named 'no_such_module'; expected a module in" in failed.stderr


COMMANDS = sorted(command.name or "" for command in get_command(app).commands.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"python -m demos {command}" in shown.output


def test_statistics_name_the_features(tmp_path: Path) -> None:
    demos.collect("LamReach-v0", episodes=1, dataset_id="mine-v0", root=tmp_path)
    shown = invoked("info", "mine-v0", "--statistics", "--root", str(tmp_path)).stdout
    assert "observation[0] tool/position x" in shown
    env: Any = gym.make("LamReach-v0").unwrapped
    for name, part in env.layout.items():
        assert f"observation[{part.slice.start}] {name}" in shown
    env.close()


def test_damage_is_reported_without_a_traceback(tmp_path: Path) -> None:
    for name in ("torn-v0", "whole-v0"):
        demos.collect("LamReach-v0", episodes=2, dataset_id=name, root=tmp_path)
    (tmp_path / "torn-v0" / "data" / "metadata.json").write_text("{")
    listed = invoked("list", "--root", str(tmp_path))
    assert "whole-v0" in listed.stdout
    assert "torn-v0/data is damaged" in listed.stderr
    assert "UserWarning" not in listed.stderr
    os.truncate(tmp_path / "torn-v0" / "data" / "main_data.hdf5", 100)
    checked = invoked("check", "torn-v0", "--root", str(tmp_path))
    assert checked.exit_code == 1
    assert "no episode can be read" in checked.stdout


@pytest.mark.parametrize("content", ["[]", "null", "[" * 100_000, '{"total_episodes": "[/]"}'])
def test_one_damaged_dataset_does_not_hide_the_others(content: str, tmp_path: Path) -> None:
    demos.collect("LamReach-v0", episodes=1, dataset_id="whole-v0", root=tmp_path)
    (tmp_path / "torn-v0" / "data").mkdir(parents=True)
    (tmp_path / "torn-v0" / "data" / "metadata.json").write_text(content)
    (tmp_path / "empty" / "data").mkdir(parents=True)
    listed = invoked("list", "--root", str(tmp_path))
    assert listed.exit_code == 0
    assert "whole-v0" in listed.stdout
    assert "torn-v0" in listed.stdout
    assert "empty" not in listed.stdout


def test_brackets_in_paths_are_reported_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "a [bold] [" / "x]"
    made = invoked("collect", "LamReach-v0", "--episodes", "1", "--id", "mine-v0", "--root", str(root))
    assert made.exit_code == 0
    assert f"in {root}" in made.stdout
    output = invoked("info", "mine-v0", "--root", str(root)).stdout
    # A long path is folded.
    assert "a[bold][/x]" in "".join(output.split())


def test_data_of_others_have_information_too(tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=1, root=tmp_path)
    demos.export_dataset(dataset, "robomimic", tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5", "a") as file:
        del file["lam_envs"]
    demos.import_dataset(tmp_path / "out.hdf5", "robomimic", "mine-v0", root=tmp_path)
    output = invoked("info", "mine-v0", "--statistics", "--root", str(tmp_path))
    assert output.exit_code == 0, output.stderr
    assert "unknown" in output.stdout
    assert "observation[0]" in output.stdout


def test_a_repair_under_a_name_that_is_taken_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for name in ("torn-v0", "whole-v0"):
        demos.collect("LamReach-v0", episodes=2, dataset_id=name, root=tmp_path)
    for wanted, message in (
        (["whole-v0"], "whole-v0 exists"),
        (["no id"], "malformed dataset id"),
        (["torn-v0", "--overwrite"], "torn-v0 cannot replace its own source"),
    ):
        refused = invoked("check", "torn-v0", "--repair", *wanted, "--root", str(tmp_path))
        assert refused.exit_code == 2
        assert message in refused.stderr
        assert "sound" not in refused.stdout


def test_ids_are_listed_whole(tmp_path: Path) -> None:
    name = f"lam/{'long-' * 20}name-v0"
    demos.collect("LamReach-v0", episodes=1, dataset_id=name, root=tmp_path)
    assert name in invoked("list", "--root", str(tmp_path), columns=40).stdout

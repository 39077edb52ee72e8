"""python -m agents enjoy|pretrained|publish"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs
from typer.testing import CliRunner

from agents.__main__ import app
from agents.deployment.pretrained.commands import has_display
from agents.training.saving.zoo import CHECKOUT

REACH = "bc/LamReach-v0"


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.chdir(tmp_path)


def test_a_newcomer_watches_a_trained_agent_by_one_command() -> None:
    shown = CliRunner().invoke(app, ["enjoy", "LamReach-v0", "--episodes", "1"])
    assert shown.exit_code == 0, shown.stderr
    assert f"{REACH} in LamReach-v0" in shown.stdout
    assert "seed 1000: solved after 8 (of 40 steps)" in shown.stdout
    assert "solved 1 of 1 episodes" in shown.stdout
    assert "wrote enjoy-LamReach-v0.mp4" in shown.stdout
    frames, seconds = count_frames_and_secs("enjoy-LamReach-v0.mp4")
    assert (frames, round(seconds, 1)) == (41, 2.0)


def test_the_folder_of_a_saved_agent_is_watched_too_and_the_video_has_the_given_name() -> None:
    command = ["enjoy", "LamReach-v0", "--agent", str(CHECKOUT / REACH), "--episodes", "1", "--seed", "7"]
    shown = CliRunner().invoke(app, [*command, "--video", "reach.mp4", "--env-kwargs", "max_episode_steps=3"])
    assert shown.exit_code == 0, shown.stderr
    assert "seed 7: not solved (of 3 steps)" in shown.stdout
    assert Path("reach.mp4").is_file()


class Dot(gym.Env[np.ndarray, np.ndarray]):
    """Environment of another package: it reports neither success nor its frame rate."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, **keywords: Any) -> None:
        self.render_mode = keywords.get("render_mode")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        return action, 0.0, False, False, {}

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)


def test_an_environment_that_reports_neither_success_nor_its_frame_rate_is_watched() -> None:
    gym.register("Dot-v0", Dot, max_episode_steps=3)
    try:
        command = ["enjoy", "Dot-v0", "--agent", "random", "--episodes", "2", "--video", "dot.mp4"]
        shown = CliRunner().invoke(app, command)
    finally:
        del gym.registry["Dot-v0"]
    assert shown.exit_code == 0, shown.output
    assert "seed 1001: success is not reported (of 3 steps)" in shown.stdout
    assert "the environment does not report success: info has no is_success" in shown.stdout
    assert count_frames_and_secs("dot.mp4")[0] == 8


def test_a_display_is_recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_display()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["LamReachPixels-v0"], r"no pretrained agent for LamReachPixels-v0; expected one of .*bc/LamReach-v0"),
        (
            ["LamReach-v0", "--agent", "ppo"],
            r"no pretrained agent 'ppo' for LamReach-v0; expected one of bc/LamReach-v0",
        ),
        (
            ["LamReach-v0", "--agent", "bc/LamFly-v0"],
            r"no folder bc/LamFly-v0, and no pretrained agent of this name; expected .* one of bc/LamGrasp-v0",
        ),
        (["LamReach-v0", "--video", "reach.gif"], r"invalid video file reach\.gif"),
    ],
)
def test_what_cannot_be_watched_is_an_error(arguments: list[str], message: str) -> None:
    shown = CliRunner().invoke(app, ["enjoy", *arguments])
    assert shown.exit_code == 2
    assert re.search(message, shown.stderr), shown.stderr


def test_the_pretrained_agents_are_listed() -> None:
    shown = CliRunner().invoke(app, ["pretrained"])
    assert shown.exit_code == 0, shown.stderr
    assert re.search(rf"{REACH} +LamReach-v0", shown.stdout)
    assert str(CHECKOUT) in shown.stdout


def test_a_run_is_published_by_a_command() -> None:
    command = ["publish", str(CHECKOUT / REACH), "mine/reach", "--out", "zoo", "--episodes", "1"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.stderr
    assert "published in zoo/mine/reach" in shown.stdout
    assert CliRunner().invoke(app, command).exit_code == 2


@pytest.mark.slow
def test_with_a_display_a_window_shows_the_agent(tmp_path: Path) -> None:
    assert shutil.which("xvfb-run"), "this test needs a virtual display: install xvfb"
    command = [sys.executable, "-m", "agents", "enjoy", "LamReach-v0", "--episodes", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    shown = subprocess.run(
        ["xvfb-run", "-a", *command], check=True, timeout=120, env=environment, cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert b"solved 1 of 1 episodes" in shown.stdout
    assert b"wrote" not in shown.stdout

"""python -m agents ..."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.training.arguments import training_run
from agents.training.checkpoints import write_state
from agents.training.run import CHECKPOINT
from demos.runtime.console import clear_errors

from ..conftest import Make


def test_an_agent_is_trained_saved_and_evaluated(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    out = tmp_path / "bc"
    command = ["train", "bc", "--env", "LamReach-v0", "--demos", ids["LamReach-v0"], "--root", str(root)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        trained = CliRunner().invoke(app, [*command, "--out", str(out), "--budget", "2", "--eval-episodes", "2"])
    assert trained.exit_code == 0, trained.stderr
    assert not [each for each in warned if issubclass(each.category, UserWarning)]
    for agent, num_envs in ((str(out), "2"), ("expert", "1")):
        evaluated = CliRunner().invoke(
            app, ["evaluate", agent, "--env", "LamReach-v0", "--episodes", "2", "--num-envs", num_envs]
        )
        assert evaluated.exit_code == 0, evaluated.stderr
        assert "success rate" in evaluated.stdout
        assert "seeds 1000 to 1001" in evaluated.stdout


def test_overwrite_starts_a_training_from_scratch_and_keeps_the_old_one_until_then(tmp_path: Path) -> None:
    out = tmp_path / "bc"
    path = out.with_name("bc.training") / CHECKPOINT
    path.parent.mkdir()
    write_state(path, {"identity": {}, "evaluated": 0, "logged": 0, "state": {"epochs": 3}})
    before = path.read_bytes()
    assert training_run(out, device="cpu", episodes=0, overwrite=False).restored() == {"epochs": 3}
    assert training_run(out, device="cpu", episodes=0, overwrite=True).restored() is None
    assert path.read_bytes() == before


def test_ctrl_c_reports_what_holds_for_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for given, expected in (((), "finished parts are saved"), (("interrupted; nothing is saved",), "nothing is")):
        with pytest.raises(typer.Exit), clear_errors(*given):
            raise KeyboardInterrupt
        assert expected in capsys.readouterr().err


def test_a_saved_agent_is_shown(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env = make("LamReach-v0")
    agent = agents.make("bc", env, batch_size=32)
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=4, budget=1)
    shown = CliRunner().invoke(app, ["show", str(agent.save(tmp_path / "bc"))])
    assert shown.exit_code == 0, shown.stderr
    for row in ("agent +bc", "seed +4", "budget +1", "batch_size +32", ids["LamReach-v0"]):
        assert re.search(row, shown.stdout), row


def test_success_at_any_step_is_shown_beside_success_at_the_end() -> None:
    agent = "tests.agents.test_evaluation:ReachAndLeave"
    done = CliRunner().invoke(app, ["evaluate", agent, "--env", "LamReach-v0", "--episodes", "2"])
    assert done.exit_code == 0, done.stderr
    assert re.search(r"success rate +0\.000", done.stdout)
    assert re.search(r"success at any step +1\.000", done.stdout)


class Slow:
    """Agent that takes its time."""

    def __init__(self, env: gym.Env[Any, Any], seconds: float = 0.6) -> None:
        self.seconds = seconds

    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        time.sleep(self.seconds)
        return np.zeros(4, dtype=np.float32), None


TOO_SLOW = ["evaluate", "tests.agents.test_commands:Slow", "--env", "LamReach-v0", "--episode-seconds", "0.5"]


def test_an_agent_that_is_too_slow_is_an_error() -> None:
    done = CliRunner().invoke(app, [*TOO_SLOW, "--episodes", "1"])
    assert done.exit_code == 2
    assert "error: the episode with seed 1000 took longer than 0.5 s" in done.stderr


def test_a_command_ends_and_shows_where_an_agent_hangs() -> None:
    command = [sys.executable, "-m", "agents", *TOO_SLOW, "--config", "seconds=600"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "in predict" in done.stderr


def test_errors_are_one_clear_line(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    train = ["--env", "LamReach-v0", "--demos", ids["LamReach-v0"], "--root", str(root), "--out", str(tmp_path / "x")]
    for arguments, message in (
        (["train", "expert", *train], "agent expert cannot be trained"),
        (["train", "bd", *train], "unknown agent 'bd'"),
        (["train", "residual", *train], "agent residual is made from a saved agent: use python -m agents adapt"),
        (["train", "bc", *train, "--config", "env=3"], "--config env: no agent has such a setting"),
        (["train", "bc", *train, "--device", "bogus"], "device is 'bogus'; expected one of auto, cpu, cuda"),
        (["train", "bc", *train, "--config", "epoch=2"], "unknown setting 'epoch'"),
        (["serve", "bc", "--port", "99999"], "port is 99999; expected 0 to 65535"),
        (["evaluate", "bc2", "--env", "LamReach-v0"], "unknown agent 'bc2'"),
        (["evaluate", "bc", "--env", "LamReach-v0"], "agent bc is not trained"),
        (["evaluate", "runs/no", "--env", "LamReach-v0"], "there is no folder runs/no"),
        (["evaluate", str(tmp_path), "--env", "LamReach-v0"], "no saved agent"),
        (["evaluate", "random", "--env", "LamFly-v0"], "cannot make 'LamFly-v0'"),
        (["evaluate", "random", "--env", "LamReach-v0", "--episodes", "0"], "no seeds"),
        (["evaluate", "random", "--env", "LamReach-v0", "--num-envs", "0"], "num_envs is 0; expected a whole number"),
        (["evaluate", "random", "--env", "LamReach-v0", "--num-envs", "2"], "RandomAgent acts in one episode at a"),
    ):
        failed = CliRunner().invoke(app, arguments)
        assert failed.exit_code == 2, arguments
        assert message in failed.stderr
        assert "Traceback" not in failed.stderr
    assert not (tmp_path / "x").exists()


RECIPE = "{description: one, seed: 3, datasets: [{environments: [LamReach-v0], demonstrations: 2}]}"


def test_errors_come_before_the_datasets_of_a_recipe_are_collected(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    given = ["--recipe", str(tmp_path / "recipe.yaml"), "--root", str(tmp_path / "root")]
    env, out = ["--env", "LamReach-v0"], ["--out", str(tmp_path / "x")]
    for arguments, message in (
        (["bc", *env, *out, "--config", "epoch=2"], "unknown setting 'epoch'"),
        (["lam", *out, "--config", "epoch=2"], "unknown setting 'epoch'"),
        (["bc", *out], "agent bc needs an environment"),
        (["bc", *env, "--out", str(tmp_path / "full"), "--overwrite"], "holds 'notes.txt'"),
        (["bc", *env, *out, "--device", "bogus"], "device is 'bogus'"),
        (["bc", *env, *out, "--play", "lam/any-v0"], "agent bc does not learn from play"),
        (["ppo", *env, *out], "agent ppo learns from reward alone: remove --demos and --recipe"),
    ):
        failed = CliRunner().invoke(app, ["train", *arguments, *given])
        assert failed.exit_code == 2, arguments
        assert message in " ".join(failed.stderr.split())
    assert not (tmp_path / "root").exists()


THIRD_PARTY = """
class Raises:
    def __init__(self, env): pass
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        raise ValueError("boom")

class Keeps:
    def __init__(self, env): self.space = env.action_space
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.space.low, state
    def learn(self, demonstrations, env, *, seed, budget=None, progress=False): pass
    def save(self, directory):
        from pathlib import Path
        Path(directory).mkdir(parents=True)
        return Path(directory)
    @classmethod
    def load(cls, directory, env): return cls(env)
"""


def test_a_third_party_agents_error_keeps_its_traceback_and_its_saved_agent_is_evaluated(
    datasets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ids = datasets
    (tmp_path / "third_party.py").write_text(THIRD_PARTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def here(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    failed = here("evaluate", "third_party:Raises", "--env", "LamReach-v0", "--episodes", "1")
    assert failed.exit_code == 2
    assert "third_party.py" in failed.stderr
    assert "error: boom" in failed.stderr
    trained = here(
        "train", "third_party:Keeps", "--env", "LamReach-v0", "--demos", ids["LamReach-v0"], "--root", str(root),
        "--out", "kept",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.stderr
    refused = here("evaluate", "kept", "--env", "LamReach-v0", "--episodes", "1")
    assert "--agent-class package.module:Class" in refused.stderr
    evaluated = here(
        "evaluate", "kept", "--agent-class", "third_party:Keeps", "--env", "LamReach-v0", "--episodes", "1"
    )
    assert evaluated.exit_code == 0, evaluated.stderr

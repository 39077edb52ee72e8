"""Commands take the name of a published agent where they take the folder of a saved one."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

import agents
from agents.__main__ import app
from agents.training.saving import zoo as zoo_module
from agents.training.saving.zoo import CHECKOUT, agent_path

REACH = "bc/LamReach-v0"
EVALUATE = ["evaluate", REACH, "--env", "LamReach-v0", "--episodes", "2"]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_published_agent_is_evaluated_by_its_name() -> None:
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 0, shown.stderr
    result = agents.evaluate(agents.load_pretrained(REACH), "LamReach-v0", seeds=range(1000, 1002))
    assert f"success rate {result.success_rate:.3f}" in re.sub(" +", " ", shown.stdout)
    assert f"return {result.mean_return:.2f}" in re.sub(" +", " ", shown.stdout)


@pytest.mark.slow
def test_a_published_agent_is_explained_by_its_name() -> None:
    command = ["explain", REACH, "--env", "LamReach-v0", "--method", "uncertainty", "--out", "reach.html"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.stderr
    assert json.loads(Path("reach.json").read_text())["explanations"]


def test_a_published_agent_is_served_by_its_name_with_the_version_of_its_files() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        shown = CliRunner().invoke(app, ["serve", REACH, "--port", str(occupied.getsockname()[1])])
    # The agent is loaded before the port is opened.
    assert shown.exit_code != 0
    assert "already in use" in shown.stderr


def test_a_folder_comes_before_a_published_agent_of_the_same_name() -> None:
    Path(REACH).mkdir(parents=True)
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 2
    assert f"no saved agent in {REACH}" in shown.stderr


def test_a_damaged_published_agent_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    zoo = Path(shutil.copytree(CHECKOUT, tmp_path / "zoo"))
    (zoo / REACH / "weights.safetensors").write_bytes(b"")
    monkeypatch.setattr(zoo_module, "CHECKOUT", zoo)
    shown = CliRunner().invoke(app, EVALUATE)
    assert shown.exit_code == 2
    assert "is not the published file" in shown.stderr


@pytest.mark.parametrize("name", ["bc", "ws://127.0.0.1:8000", "package.module:Class", "runs", str(CHECKOUT / REACH)])
def test_other_names_of_agents_are_unchanged(name: str) -> None:
    Path("runs").mkdir()
    assert agent_path(name) == name


@pytest.mark.parametrize("name", ["bc/LamFly-v0", "../bc/LamReach-v0", "runs/no", "./bc/LamReach-v0"])
def test_a_name_that_is_neither_a_folder_nor_published_is_an_error(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"there is no folder {re.escape(name)}, .* one of .*{REACH}"):
        agent_path(name)


def test_without_any_published_agents_the_error_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(zoo_module, "CHECKOUT", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=f"there is no folder {REACH}; .*pip install lam-envs-zoo"):
        agent_path(REACH)

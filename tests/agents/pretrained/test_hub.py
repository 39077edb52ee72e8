"""Agents are pushed to the Hub and pulled from it by its own client; what comes down is a third party's file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import agents
from agents.deployment.pretrained.hub import pull, push
from agents.deployment.pretrained.publishing import FILES
from agents.rl.residual import ResidualAgent
from agents.training.saving.zoo import CHECKOUT

from ...conftest import Make
from .hub_server import COMMIT, hub_server

REACH = CHECKOUT / "bc" / "LamReach-v0"
WEIGHTS, DESCRIPTION = "weights.safetensors", "agent.json"
REPOSITORY = "someone/reach"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A Hub with one repository: address, folder of the repository, and files that were downloaded."""
    shutil.copytree(REACH, tmp_path / "hub" / REPOSITORY)
    with hub_server(tmp_path / "hub") as (address, downloaded):
        yield address, tmp_path / "hub" / REPOSITORY, downloaded


def test_an_agent_that_was_pushed_and_pulled_is_the_same(tmp_path: Path, make: Make) -> None:
    (tmp_path / "hub").mkdir()
    with hub_server(tmp_path / "hub") as (address, _):
        assert push(REACH, REPOSITORY, endpoint=address) == f"{address}/{REPOSITORY}/commit/{COMMIT}"
        pulled = pull(REPOSITORY, tmp_path / "new" / "pulled", revision=COMMIT, endpoint=address)
    assert {file.name for file in pulled.iterdir()} == set(FILES)
    for file in FILES:
        assert (pulled / file).read_bytes() == (REACH / file).read_bytes()
    assert list((tmp_path / "new").iterdir()) == [pulled]
    agents.load(pulled, make("LamReach-v0"))


def test_an_agent_with_a_residual_policy_is_pushed_and_pulled(tmp_path: Path, make: Make) -> None:
    env = make("LamReach-v0")
    saved = ResidualAgent.of(agents.load(REACH, env), env, hidden_sizes=[8]).save(tmp_path / "residual")
    (saved / "README.md").write_text("card")
    (tmp_path / "hub").mkdir()
    with hub_server(tmp_path / "hub") as (address, _):
        push(saved, REPOSITORY, endpoint=address)
        pulled = pull(REPOSITORY, tmp_path / "pulled", endpoint=address)
    assert isinstance(agents.load(pulled, env), ResidualAgent)


def test_only_settings_weights_and_card_are_downloaded(hub: Any, tmp_path: Path) -> None:
    address, repository, downloaded = hub
    for name in ("model.pkl", "modeling.py", "other.safetensors", ".gitattributes"):
        (repository / name).write_bytes(b"never read")
    pull(REPOSITORY, tmp_path / "pulled", endpoint=address)
    assert sorted(downloaded) == sorted(FILES)


def test_a_damaged_or_foreign_agent_is_refused_and_leaves_nothing(hub: Any, tmp_path: Path) -> None:
    address, repository, _ = hub
    described = json.loads((repository / DESCRIPTION).read_text())

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message):
            pull(REPOSITORY, tmp_path / "new" / "pulled", endpoint=address)
        assert not list((tmp_path / "new").iterdir())
        shutil.copytree(REACH, repository, dirs_exist_ok=True)

    (repository / WEIGHTS).write_bytes(b"\x80\x04 a pickle")
    refused(r"weights\.safetensors is damaged")
    (repository / DESCRIPTION).write_text(json.dumps({**described, "agent": "os:system"}))
    refused("which is not registered")
    (repository / DESCRIPTION).write_text("{")
    refused(r"agent\.json is damaged")
    (repository / WEIGHTS).unlink()
    refused(r"someone/reach holds no lam-envs agent: weights\.safetensors is missing")


def test_a_file_that_is_too_large_is_not_downloaded(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, downloaded = hub
    monkeypatch.setattr("agents.deployment.pretrained.hub.MAX_BYTES", 100_000)
    with pytest.raises(ValueError, match=r"weights\.safetensors of someone/reach has \d+ bytes; expected at most"):
        pull(REPOSITORY, tmp_path / "pulled", endpoint=address)
    assert not downloaded


def test_faults_of_the_hub_and_of_folders_are_clear_errors(hub: Any, tmp_path: Path) -> None:
    address, _, _ = hub
    with pytest.raises(OSError, match="Repository Not Found"):
        pull("someone/else", tmp_path / "pulled", endpoint=address)
    with pytest.raises(ConnectionError, match="cannot reach the Hub"):
        pull(REPOSITORY, tmp_path / "pulled", endpoint="http://127.0.0.1:9")
    with pytest.raises(FileExistsError, match="exists already"):
        pull(REPOSITORY, tmp_path, endpoint=address)
    with pytest.raises(ValueError, match="Repo id"):
        pull("not/a/repository", tmp_path / "pulled", endpoint=address)
    with pytest.raises(FileNotFoundError, match="write it by python -m agents publish"):
        push(tmp_path, REPOSITORY, endpoint=address)

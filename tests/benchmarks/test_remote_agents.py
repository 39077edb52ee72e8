"""Suites measure policies of other processes like ours, and report the servers that fail."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from websockets.sync.server import ServerConnection

from agents.deployment.remote.identity import server_identity
from agents.deployment.remote.messages import pack
from agents.deployment.remote.server import PolicyServer, metadata_of
from benchmarks.__main__ import app
from benchmarks.runner import runner
from benchmarks.runner.results import outdated_by, read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from ..agents.remote.servers import ACTIONS, FAULTS, ours, serving, slow
from ..agents.test_export import scrambled
from ..conftest import Make
from .suites import written

QUICK: dict[str, Any] = {
    "evaluation": {"first_seed": 1000, "episodes": 2},
    "env": {"max_episode_steps": 10},
    "videos": None,
    "periodic_eval": None,
}


def test_a_policy_has_the_same_results_here_and_on_a_server(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    agent = scrambled("bc", env, {})
    saved = agent.save(tmp_path / "agent")
    address = ours(PolicyServer(agent, env, metadata_of(saved, env)))
    suite = read_suite(written(tmp_path, agents=[str(saved), address], **QUICK))
    folder = runner.run(suite, tmp_path / "out", LocalEngine(2))
    assert runner.failures(folder) == {}
    here, there = (result.evaluation for result in read_results(folder)[1])
    assert here == there
    # The saved files are the version in the metadata.
    assert runner.missing(suite, folder).cells == ()


def test_results_are_reused_while_the_server_reports_the_same_version(tmp_path: Path) -> None:
    metadata: dict[str, Any] = {"version": "mine 1"}

    def handler(client: ServerConnection) -> None:
        client.send(pack(metadata))
        for _ in client:
            client.send(pack({"actions": ACTIONS}))

    def todo() -> int:
        server_identity.cache_clear()
        return len(runner.missing(suite, folder).cells)

    with serving(handler) as address:
        suite = read_suite(written(tmp_path, agents=[address], **QUICK))
        folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
        (result,) = read_results(folder)[1]
        assert todo() == 0
        metadata["version"] = "mine 2"
        assert todo() == 1
        assert "code of the server was" in outdated_by(result)[0]
        # Nothing shows that the policy is the same one.
        metadata.clear()
        assert todo() == 1
        assert outdated_by(result) == []
    assert todo() == 1, "nobody answers"
    assert outdated_by(result) == []


def test_settings_are_checked_before_the_suite_runs(tmp_path: Path) -> None:
    for agent, problem in (
        ({"agent": "ws://127.0.0.1:8000", "settings": {"speed": 1}}, "unexpected keyword argument 'speed'"),
        ("ws://", "invalid address 'ws://' of a policy server"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_suite(written(tmp_path, agents=[agent], **QUICK))


@pytest.mark.parametrize(
    "faults",
    [("crashes", "NaN", "hangs at once"), pytest.param(tuple(FAULTS), marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_faulty_servers_are_reported_and_the_rest_is_measured(faults: tuple[str, ...], tmp_path: Path) -> None:
    server_identity.cache_clear()
    with contextlib.ExitStack() as servers:
        addresses = {}
        for fault in faults:
            handler, settings, kind, _ = FAULTS[fault]
            seconds = 0.5 if kind is TimeoutError else 20
            addresses[servers.enter_context(serving(handler, **settings))] = (fault, seconds)
        entries = [{"agent": address, "settings": {"seconds": limit}} for address, (_, limit) in addresses.items()]
        suite = written(tmp_path, agents=[*entries, "random"], **QUICK)
        done = CliRunner().invoke(app, ["run", suite, "--out", str(tmp_path / "out"), "--workers", "2"])
    assert done.exit_code == 2
    assert f"{len(faults)} jobs failed" in done.stderr
    assert [result.cell.label for result in read_results(tmp_path / "out")[1]] == ["random"]
    failed = "\n".join(runner.failures(tmp_path / "out").values())
    for address, (fault, _) in addresses.items():
        assert FAULTS[fault][2].__name__ in failed
        assert failed.count(f"the policy server at {address}") >= 1


def test_a_server_that_is_slow_in_every_answer_is_reported_by_the_time_of_its_episode(tmp_path: Path) -> None:
    server_identity.cache_clear()
    with serving(slow(0.3)) as address:
        evaluation = {"first_seed": 1000, "episodes": 1, "episode_seconds": 1}
        suite = read_suite(written(tmp_path, agents=[address, "random"], **{**QUICK, "evaluation": evaluation}))
        folder = runner.run(suite, tmp_path / "out", LocalEngine(1))
    (failed,) = runner.failures(folder).values()
    assert "the episode with seed 1000 took longer than 1 s" in failed
    assert [result.cell.label for result in read_results(folder)[1]] == ["random"]

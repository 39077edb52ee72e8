"""Clients and servers that others wrote for openpi's protocol, in a Python of their own, work with ours."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
from agents.deployment.remote.messages import ArrayForm
from agents.deployment.remote.server import PolicyServer, metadata_of
from demos.collection.recording import record, rollout

from ...conftest import Make
from ..test_export import CASES, scrambled
from .openpi_server import infer
from .servers import ours

HERE = Path(__file__).parent
POLICY = HERE.parents[2] / ".venv-policy"
PYTHON = POLICY / "bin" / "python"
STEPS = {"max_episode_steps": 20}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    assert (POLICY / ".installed").exists(), "these tests need make .venv-policy/.installed"


@pytest.mark.parametrize("client", ["openpi", "policy-websocket"])
@pytest.mark.parametrize("case", ["bc", "act, images", "act, instructions"])
def test_their_clients_get_the_actions_of_our_agents(case: str, client: str, make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES[case]
    env = make(env_id, **{**keywords, **STEPS})
    agent = scrambled(name, env, settings)
    metadata = metadata_of(agent.save(tmp_path / "agent"), env)
    port = ours(PolicyServer(agent, env, metadata, api_key="the key")).rpartition(":")[2]
    episode = record(env, rollout(env, agent, 1000), 1000)
    parts: Any = episode.observations if isinstance(episode.observations, dict) else {"state": episode.observations}
    rows = {f"observation/{part}": values[:-1] for part, values in parts.items() if part != "instruction"}
    np.savez(tmp_path / "observed.npz", **rows)
    files = [tmp_path / "observed.npz", tmp_path / "got.npz"]
    command = [PYTHON, "-I", HERE / "openpi_client.py", client, port, env.unwrapped.instruction, *files]
    subprocess.run(command, check=True, timeout=120)
    with np.load(tmp_path / "got.npz") as got:
        assert str(got["version"]) == metadata["version"]
        np.testing.assert_array_equal(got["actions"], episode.actions)
        assert got["actions"].dtype == episode.actions.dtype


class Here:
    """The policy of the servers, in this process."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        starts = state is None or not len(state)
        chunk = infer({"observation/state": observation})["actions"] if starts else state
        return chunk[0], chunk[1:]


@pytest.fixture(params=["openpi", "msgpack-numpy"])
def their_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, ArrayForm]]:
    """Address of a server, and its form of arrays."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([PYTHON, "-I", HERE / "openpi_server.py", request.param, str(port)]) as process:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield f"ws://127.0.0.1:{port}", request.param
        process.kill()


def test_their_servers_act_as_the_same_policy_here(their_server: tuple[str, ArrayForm], make: Make) -> None:
    address, form = their_server
    env = make("LamReach-v0", **STEPS)
    remote = agents.make(address, env, arrays=form)
    results = [agents.evaluate(agent, env, seeds=range(1000, 1005)) for agent in (Here(), remote)]
    remote.close()
    assert results[0] == results[1]

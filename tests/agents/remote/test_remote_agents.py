"""A policy acts from another process as it does in this one, and a faulty server is reported in time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gymnasium.spaces import Box, Dict
from typer.testing import CliRunner
from websockets.sync.server import ServerConnection

import agents
from agents.__main__ import app
from agents.deployment.remote.agent import read_actions
from agents.deployment.remote.messages import pack, unpack
from agents.deployment.remote.names import ObservationNames, read_names
from agents.deployment.remote.server import PolicyServer, metadata_of
from agents.explain.failure.monitor import NAMES, Monitor
from demos.collection.recording import record, rollout

from ...conftest import Make
from ..test_export import CASES, scrambled
from .servers import ACTIONS, FAULTS, HANG_SECONDS, actions, ours, serving, slow

STEPS = {"max_episode_steps": 10}
SERVED = ("bc", "bc, discrete, ensemble", "bc-rnn", "act, images", "act, instructions")
"""Cases with vectors, discrete actions, memory, images and instructions."""


def served(folder: Path, env: Any, agent: Any, **settings: Any) -> str:
    return ours(PolicyServer(agent, env, metadata_of(agent.save(folder), env), **settings))


@pytest.mark.parametrize("case", SERVED)
def test_a_remote_policy_gives_the_same_episodes(case: str, make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES[case]
    env = make(env_id, **{**keywords, **STEPS})
    agent = scrambled(name, env, settings)
    remote = agents.make(served(tmp_path / "agent", env, agent), env)
    for seed in (1000, 1001):
        own, other = (record(env, rollout(env, policy, seed), seed) for policy in (agent, remote))
        assert own.actions.dtype == other.actions.dtype
        np.testing.assert_array_equal(own.actions, other.actions)
        np.testing.assert_array_equal(own.rewards, other.rewards)
    remote.close()


def test_the_version_is_that_of_the_agent_and_not_of_its_monitor(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = agents.make("bc", env, hidden_sizes=[8]).save(tmp_path / "agent")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    shutil.copy(folder / "agent.json", foreign)
    (foreign / "policy.bin").write_bytes(b"one")
    before = [metadata_of(each, env)["version"] for each in (folder, foreign)]
    nothing = [0.0] * len(NAMES)
    for each in (folder, foreign):
        Monitor(nothing, nothing, nothing, 0.0, 0.5, horizon=10).save(each)
        (each / "monitor.png").write_bytes(b"a figure")
    (folder / "notes.txt").write_text("the best one")
    assert [metadata_of(each, env)["version"] for each in (folder, foreign)] == before
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (foreign / "policy.bin").write_bytes(b"two")
    for each, version in zip((folder, foreign), before, strict=True):
        assert metadata_of(each, env)["version"] != version


def test_each_client_has_a_memory_of_its_own(make: Make, tmp_path: Path) -> None:
    name, env_id, keywords, settings = CASES["bc-rnn"]
    env = make(env_id, **{**keywords, **STEPS})
    agent = scrambled(name, env, settings)
    address = served(tmp_path / "agent", env, agent)
    alone = [step.action for step in rollout(env, agents.make(address, env), 1000)][1:]
    observations = [step.observation for step in rollout(env, agents.make(address, env), 1000)][:-1]
    first, second = (agents.make(address, env) for _ in range(2))
    states: list[Any] = [None, None]
    for position, observation in enumerate(observations):
        for client, policy in enumerate((first, second)):
            seen = observation if client == 0 else -observation
            action, states[client] = policy.predict(seen, states[client])
            if client == 0:
                np.testing.assert_array_equal(action, alone[position])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_is_reported_in_time(fault: str, make: Make) -> None:
    handler, settings, expected, text = FAULTS[fault]
    env = make("LamReach-v0")
    with serving(handler, **settings) as address:
        agent = agents.make(address, env, seconds=0.5 if expected is TimeoutError else 20)
        began = time.monotonic()
        with pytest.raises(expected, match=f"(?s){address}.*{text}|{text}"):
            agents.evaluate(agent, env, seeds=[1000])
        agent.close()
        assert time.monotonic() - began < HANG_SECONDS / 3


def test_a_server_that_is_slow_in_every_answer_ends_with_the_time_of_the_episode(make: Make) -> None:
    # Each answer takes less than the limit of an answer; together they take longer than that of an episode.
    env = make("LamReach-v0")
    with serving(slow(0.1)) as address:
        agent = agents.make(address, env, seconds=20)
        with pytest.raises(TimeoutError, match=r"the episode with seed 1000 took longer than 0\.5 s"):
            agents.evaluate(agent, env, seeds=[1000], episode_seconds=0.5)
        agent.close()
        command = ["evaluate", address, "--env", "LamReach-v0", "--episodes", "1", "--config", "seconds=20"]
        done = CliRunner().invoke(app, [*command, "--episode-seconds", "0.5"])
        assert done.exit_code == 2
        assert "the episode with seed 1000 took longer than 0.5 s" in " ".join(done.output.split())


def test_a_server_that_is_not_there_is_reported(make: Make) -> None:
    agent = agents.make("ws://127.0.0.1:9", make("LamReach-v0"))
    with pytest.raises(ConnectionError, match=r"cannot reach the policy server at ws://127\.0\.0\.1:9: .* Start it"):
        agent.predict(np.zeros(13, dtype=np.float32))


def test_the_next_episode_connects_to_a_server_that_was_started_again(make: Make) -> None:
    env = make("LamReach-v0", **STEPS)
    with serving(actions(ACTIONS)) as address:
        agent = agents.make(address, env)
        agents.evaluate(agent, env, seeds=[1000])
    with pytest.raises(ConnectionError):
        agents.evaluate(agent, env, seeds=[1000])
    port = int(address.rpartition(":")[2])
    with serving(actions(ACTIONS), port=port):
        agents.evaluate(agent, env, seeds=[1000])
    agent.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(make: Make) -> None:
    answers = iter(range(1, 9))

    def handler(client: ServerConnection) -> None:
        client.send(pack({}))
        for _ in client:
            number = next(answers)
            time.sleep(1.5 if number == 2 else 0.0)
            client.send(pack({"actions": np.full((1, 4), 0.1 * number, dtype=np.float32)}))

    env = make("LamReach-v0", **STEPS)
    observation, _ = env.reset(seed=0)
    with serving(handler) as address:
        agent = agents.make(address, env, seconds=1.0)
        _, state = agent.predict(observation)
        with pytest.raises(TimeoutError):
            agent.predict(observation, state)
        with pytest.raises(ConnectionError, match="was lost in this episode: begin another one"):
            agent.predict(observation, state)
        action, _ = agent.predict(observation)
        assert action[0] == pytest.approx(0.3)
        agent.close()


def test_a_policy_that_changes_between_episodes_is_reported(make: Make) -> None:
    served_versions = iter(range(9))

    def handler(client: ServerConnection) -> None:
        client.send(pack({"version": next(served_versions)}))
        for _ in client:
            client.send(pack({"actions": ACTIONS}))

    env = make("LamReach-v0", **STEPS)
    with serving(handler) as address, pytest.raises(ValueError, match="other metadata than in the last episode"):
        agents.evaluate(agents.make(address, env), env, seeds=[1000, 1001])


def test_a_chunk_is_executed_up_to_the_setting(make: Make) -> None:
    env = make("LamReach-v0", **STEPS)
    asked: list[dict[str, Any]] = []
    chunk = np.arange(12, dtype=np.float64).reshape(3, 4) / 12

    def handler(client: ServerConnection) -> None:
        client.send(pack({}))
        for message in client:
            asked.append(unpack(message))
            client.send(pack({"actions": chunk}))

    with serving(handler) as address:
        for executed, questions in ((None, 4), (1, 10), (2, 5), (9, 4)):
            asked.clear()
            agent = agents.make(address, env, executed=executed)
            taken = [step.action for step in rollout(env, agent, 1000)][1:]
            assert len(asked) == questions
            np.testing.assert_array_equal(taken[0], chunk[0])
            np.testing.assert_array_equal(taken[1], chunk[0 if executed == 1 else 1])
            agent.close()
    assert asked[0].keys() == {"observation/state", "prompt"}
    assert asked[0]["prompt"] == env.unwrapped.instruction
    assert asked[0]["observation/state"].dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"executed": 0}, "executed is 0; expected a whole number"),
        ({"seconds": -1}, "seconds is -1; expected a number above 0"),
        ({"arrays": "pickle"}, "arrays is 'pickle'; expected one of openpi, msgpack-numpy"),
        ({"names": {"image": "rear"}}, "there is no observation 'rear' in this environment; expected one of state"),
        ({"names": {"image": 3}}, "expected the environment's name for each name in messages"),
    ],
)
def test_an_invalid_setting_is_refused(settings: dict[str, Any], problem: str, make: Make) -> None:
    with pytest.raises(ValueError, match=problem):
        agents.make("ws://127.0.0.1:9", make("LamReach-v0"), **settings)


@pytest.mark.parametrize("address", ["ws://", "ws://host:port", "ws://:8000"])
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"invalid address .*; expected one such as"):
        agents.find(address)
    with pytest.raises(ValueError, match="give a key by LAM_ENVS_API_KEY"):
        agents.find("ws://name:password@127.0.0.1:8000")


def test_names_of_the_server_are_given_by_a_file(make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0", image_width=26, image_height=24)
    observation, _ = env.reset(seed=0)
    parts = list(env.observation_space.spaces)
    file = tmp_path / "names.yaml"
    file.write_text(yaml.safe_dump({f"observation/{number}": name for number, name in enumerate(parts)}))
    names = ObservationNames(env.observation_space, read_names(file))
    message = names.to_message(observation, "reach the point")
    assert list(message) == [f"observation/{number}" for number in range(len(parts))]
    for name, array in names.from_message(unpack(pack(message))).items():
        np.testing.assert_array_equal(array, observation[name])
    with pytest.raises(ValueError, match=r"the observation lacks 'observation/0'; it has nothing"):
        names.from_message({})
    with pytest.raises(ValueError, match=r"'observation/0' has shape \(3,\) and type int64; expected"):
        names.from_message({**message, "observation/0": np.zeros(3, dtype=np.int64)})


def test_numbers_that_the_type_of_an_observation_cannot_hold_are_refused() -> None:
    image, robot = Box(0, 255, (2, 2, 3), np.uint8), Box(-1.0, 1.0, (2,), np.float32)
    names = ObservationNames(Dict({"front": image, "robot": robot}))
    message = {
        "observation/front": np.full((2, 2, 3), 200, dtype=np.uint16),
        "observation/robot": np.array([0.1, -np.inf]),
    }
    found: Any = names.from_message(message)
    assert (found["front"].dtype, int(found["front"].max()), found["robot"].dtype) == (np.uint8, 200, np.float32)
    np.testing.assert_array_equal(found["robot"], np.array([0.1, -np.inf], dtype=np.float32))
    for name, value, expected in (
        ("front", np.full((2, 2, 3), 300, dtype=np.uint16), "300; expected values that uint8 can represent: correct"),
        ("robot", np.array([0.0, 1e60]), r"1e\+60; expected values that float32 can represent, without NaN"),
        (
            "robot",
            np.array([np.nan, 0.0], dtype=np.float32),
            "nan; expected values that float32 can represent, without NaN",
        ),
    ):
        with pytest.raises(ValueError, match=f"'observation/{name}' has the value {expected}"):
            names.from_message({**message, f"observation/{name}": value})


def test_discrete_actions_are_checked(make: Make) -> None:
    space = make("LamReachDiscrete-v0").action_space
    assert read_actions({"actions": np.array([1, 2])}, space).tolist() == [1, 2]
    assert read_actions({"actions": np.int64(3)}, space).tolist() == [3]
    for wrong in (np.array([1, 99]), np.array([-1]), np.array([0.0]), np.zeros((1, 1), dtype=int)):
        with pytest.raises(ValueError, match="'actions' has"):
            read_actions({"actions": wrong}, space)


def test_a_key_is_required_where_one_is_set(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("LamReach-v0", **STEPS)
    agent = scrambled("bc", env, {})
    address = served(tmp_path / "agent", env, agent, api_key="right")
    for key in ("wrong", None):
        monkeypatch.delenv("LAM_ENVS_API_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("LAM_ENVS_API_KEY", key)
        with pytest.raises(PermissionError, match=r"refuses the key \(HTTP 401\): set LAM_ENVS_API_KEY"):
            agents.evaluate(agents.make(address, env), env, seeds=[1000])
    monkeypatch.setenv("LAM_ENVS_API_KEY", "right")
    agents.evaluate(agents.make(address, env), env, seeds=[1000])


def test_our_server_reports_what_a_client_did_wrong_and_goes_on(make: Make, tmp_path: Path) -> None:
    env, other = make("LamReach-v0", **STEPS), make("LamReach-v0", obs="pixels", image_width=26, image_height=24)
    address = served(tmp_path / "agent", env, scrambled("bc", env, {}))
    with pytest.raises(ValueError, match=r"has a policy for observation space Box.*; this environment has Dict"):
        agents.evaluate(agents.make(address, other), other, seeds=[1000])
    renamed = agents.make(address, env, names={"state": "state"})
    with pytest.raises(RuntimeError, match="reports: ValueError: the observation lacks 'observation/state'"):
        agents.evaluate(renamed, env, seeds=[1000])
    agents.evaluate(agents.make(address, env), env, seeds=[1000])


def test_the_command_evaluates_an_address(make: Make) -> None:
    with serving(actions(ACTIONS)) as address:
        command = ["evaluate", address, "--env", "LamReach-v0", "--episodes", "2", "--config", "seconds=5"]
        done = CliRunner().invoke(app, [*command, "--env-kwargs", "max_episode_steps=10"])
        assert done.exit_code == 0, done.output
        refused = CliRunner().invoke(app, [*command, "--config", "speed=5"])
        assert "unexpected keyword argument 'speed'" in refused.output


@pytest.mark.slow
def test_the_command_serves_an_agent_to_who_has_the_key(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReach-v0", **STEPS)
    saved = agents.make("bc", env).save(tmp_path / "agent")
    command = [sys.executable, "-m", "agents", "serve", str(saved), "--env", "LamReach-v0", "--port", "0"]
    monkeypatch.setenv("LAM_ENVS_API_KEY", "")  # an empty key is none: a new one is made
    with subprocess.Popen([*command, "--require-key"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        name, _, key = server.stdout.readline().strip().partition("=")
        assert key
        address = server.stdout.readline().split()[-1]
        remote = agents.make(address, env)
        with pytest.raises(PermissionError, match="refuses the key"):
            agents.evaluate(remote, env, seeds=[1000])
        monkeypatch.setenv(name, key)
        assert agents.evaluate(remote, env, seeds=[1000]) == agents.evaluate(
            agents.load(saved, env), env, seeds=[1000]
        )
        remote.close()
        server.kill()

"""Agents: found by name, learn reproducibly, saved without code, refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.imitation.bc import BehaviorCloning
from agents.registry import AGENTS, INSTALL_IMITATION
from agents.spec import AgentSpec, spec_of
from demos.collection.recording import Policy

from ..conftest import Make
from ..lam_envs.traces import fingerprint


class StillAgent:
    """Third-party agent with nothing but predict."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._action = np.zeros(env.action_space.shape or (), dtype=env.action_space.dtype)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        return self._action, state


class NoAgent:
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        pass


def learned(datasets: Any, env: gym.Env[Any, Any], seed: int, epochs: int = 3) -> BehaviorCloning:
    root, ids = datasets
    agent = agents.make("bc", env)
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=seed, budget=epochs)
    return agent  # type: ignore[no-any-return]


def weights(agent: BehaviorCloning) -> str:
    return fingerprint([{name: value.numpy() for name, value in agent.policy.state_dict().items()}])


@pytest.mark.parametrize("name", ["random", "expert", "bc", "bc-rnn", "act", "diffusion"])
@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGraspGoal-v0", "LamGraspDiscrete-v0"])
def test_every_agent_acts_on_one_observation_and_on_a_batch(name: str, env_id: str, make: Make) -> None:
    env = make(env_id)
    agent = agents.make(name, env)
    assert isinstance(agent, Policy)
    observation, _ = env.reset(seed=0)
    action, _ = agent.predict(observation, deterministic=True)
    assert env.action_space.contains(action if env.action_space.shape else np.asarray(action).item())
    env.step(action)
    batch: Any = (
        {key: np.stack([value] * 3) for key, value in observation.items()}
        if isinstance(observation, dict)
        else np.stack([observation] * 3)
    )
    assert np.asarray(agent.predict(batch, deterministic=True)[0]).shape == (3, *(env.action_space.shape or ()))


def test_the_same_seed_learns_the_same_weights_and_leaves_global_generators_alone(datasets: Any, make: Make) -> None:
    env = make("LamReach-v0")
    torch_before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1]  # noqa: NPY002  (what must not change)
    first = weights(learned(datasets, env, seed=0))
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.manual_seed(123)
    assert weights(learned(datasets, env, seed=0)) == first
    assert weights(learned(datasets, env, seed=1)) != first


@pytest.mark.parametrize(
    ("env_id", "episodes", "settings"),
    [
        pytest.param("LamReachGoal-v0", 20, {}, marks=pytest.mark.slow),
        ("LamReachDiscrete-v0", 4, {"hidden_sizes": [32], "batch_size": 32}),
    ],
)
def test_cloning_works_in_other_spaces(
    env_id: str, episodes: int, settings: dict[str, Any], make: Make, tmp_path: Path
) -> None:
    dataset = demos.collect(env_id, episodes=episodes, root=tmp_path)
    env = make(env_id)
    agent = agents.make("bc", env, **settings)
    untrained = agents.evaluate(agent, env, seeds=range(3)).mean_return
    agent.learn(dataset, env, seed=0, budget=30)
    assert agents.evaluate(agent, env, seeds=range(3)).mean_return > untrained
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], agent.predict(observation, deterministic=True)[0]
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGrasp-v0"])
def test_cloning_learns_the_easy_tasks(env_id: str, make: Make, tmp_path: Path) -> None:
    env = make(env_id)
    agent = agents.make("bc", env)
    agent.learn(demos.collect(env_id, episodes=100, seed=1, root=tmp_path), env, seed=0)
    assert agents.evaluate(agent, env, seeds=range(5000, 5100)).success_rate >= 0.9


def test_a_saved_agent_acts_the_same_and_is_only_data(datasets: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    agent = learned(datasets, env, seed=0)
    folder = agent.save(tmp_path / "bc")
    assert sorted(file.name for file in folder.iterdir()) == ["agent.json", "weights.safetensors"]
    loaded = agents.load(folder, env)
    assert weights(loaded) == weights(agent)
    observations = np.stack([env.reset(seed=seed)[0] for seed in range(20)])
    np.testing.assert_array_equal(
        loaded.predict(observations, deterministic=True)[0], agent.predict(observations, deterministic=True)[0]
    )
    agent.save(folder)
    assert weights(agents.load(folder, env)) == weights(agent)


def test_a_saved_folder_cannot_name_code_to_run(datasets: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = learned(datasets, env, seed=0, epochs=1).save(tmp_path / "bc")
    description = json.loads((folder / "agent.json").read_text())
    (folder / "agent.json").write_text(json.dumps({**description, "agent": "os:system"}))
    with pytest.raises(ValueError, match="'os:system', which is not registered"):
        agents.load(folder, env)
    (folder / "agent.json").write_text(json.dumps({**description, "agent": "random"}))
    with pytest.raises(ValueError, match="'random', which cannot be saved"):
        agents.load(folder, env)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": "abc"}, "setting epochs of agent bc is 'abc'; expected a valid integer"),
        ({"epochs": 0}, "epochs of agent bc is 0; expected at least 1"),
        ({"batch_size": -1}, "batch_size of agent bc is -1"),
        ({"learning_rate": 0}, "learning_rate of agent bc is 0"),
        ({"hidden_sizes": [10**9]}, "hidden_sizes of agent bc is .*; expected at most 2048"),
        ({"hidden_sizes": [8] * 100}, "expected at most 8 items"),
        ({"hidden_sizes": "big"}, "expected a valid tuple"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make("bc", make("LamReach-v0"), **settings)


def test_an_installed_package_brings_agents_by_name(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "external-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: external\nVersion: 1.0\n")
    import_path = "tests.agents.test_agents:StillAgent"
    (information / "entry_points.txt").write_text(f"[lam_envs.agents]\nstill = {import_path}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "still" in agents.names()
    assert isinstance(agents.make("still", make("LamReach-v0")), StillAgent)


def test_damaged_and_foreign_agents_are_refused(datasets: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = learned(datasets, env, seed=0, epochs=1).save(tmp_path / "bc")
    with pytest.raises(ValueError, match="was trained with observation space"):
        agents.load(folder, make("LamGrasp-v0"))
    whole = (folder / "weights.safetensors").read_bytes()
    for broken in (b"", whole[:1000], b"\x80\x04pickle"):
        (folder / "weights.safetensors").write_bytes(broken)
        with pytest.raises(ValueError, match="damaged"):
            agents.load(folder, env)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no weights"):
        agents.load(folder, env)
    (folder / "agent.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        agents.load(folder, env)
    with pytest.raises(FileNotFoundError, match="no saved agent"):
        agents.load(tmp_path / "nothing", env)


def test_saving_over_something_else_is_refused(datasets: Any, make: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds 'chapter.tex', which is not part of a saved agent"):
        learned(datasets, make("LamReach-v0"), seed=0, epochs=1).save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_a_third_party_agent_is_found_by_its_import_path(make: Make) -> None:
    env = make("LamReach-v0")
    agent = agents.make("tests.agents.test_agents:StillAgent", env)
    result = agents.evaluate(agent, env, seeds=range(3))
    assert result.success_rate == 0.0


def make_still(env: gym.Env[Any, Any], height: float = 0.0) -> StillAgent:
    agent = StillAgent(env)
    agent._action[2] = height
    return agent


STILL = AgentSpec("still", needs_demonstrations=False, make=make_still)
UNFINISHED = AgentSpec("unfinished")


def test_a_spec_makes_its_agent_from_the_environment_and_the_settings(make: Make) -> None:
    env = make("LamReach-v0")
    agent = agents.make("tests.agents.test_agents:STILL", env, height=0.5)
    assert isinstance(agent, StillAgent)
    assert agent.predict(env.reset(seed=0)[0])[0].tolist() == [0.0, 0.0, 0.5, 0.0]
    assert spec_of(agents.find("tests.agents.test_agents:STILL")) is STILL
    assert agents.evaluate(agent, env, seeds=range(2)).success_rate == 0.0
    with pytest.raises(ValueError, match="UNFINISHED is a spec without make: expected a function of the environment"):
        agents.make("tests.agents.test_agents:UNFINISHED", env)


def test_every_agent_has_a_spec_of_its_own_name() -> None:
    for name in AGENTS:
        spec = spec_of(agents.find(name))
        assert spec.name == name
        assert spec.version >= 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bd",
            "unknown agent 'bd'; expected one of .*bc, .*random, .*package.module:Name, the folder of a saved agent",
        ),
        ("no_such_module:Agent", "cannot import agent 'no_such_module:Agent'"),
        ("tests.agents.test_agents:Missing", "cannot import agent"),
        ("tests.agents.test_agents:NoAgent", "has no predict"),
    ],
)
def test_an_unknown_agent_says_which_there_are(name: str, message: str, make: Make) -> None:
    with pytest.raises(ValueError, match=message):
        agents.make(name, make("LamReach-v0"))


@pytest.mark.slow
def test_agents_that_need_imitation_name_the_command_that_installs_it() -> None:
    code = """
import sys
sys.modules["imitation"] = None  # Python then finds no such module
import agents
for name in agents.names():
    try:
        agents.find(name)
    except ValueError as error:
        print(name, error, sep=": ")
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    expected = ("airl", "gail", "sqil")
    assert output.splitlines() == [
        f"{name}: agent {name!r} needs imitation: {INSTALL_IMITATION}" for name in expected
    ]
    root = Path(__file__).parents[2]
    assert INSTALL_IMITATION in (root / "README.md").read_text()
    assert INSTALL_IMITATION.removeprefix("pip install --no-deps ") in (root / "Makefile").read_text()


def test_unknown_settings_and_foreign_demonstrations_are_refused(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env = make("LamGrasp-v0")
    with pytest.raises(ValueError, match=r"unknown setting 'epoch' of agent bc; expected one of .*epochs"):
        agents.make("bc", env, epoch=3)
    with pytest.raises(ValueError, match="this agent's environment has"):
        agents.make("bc", env).learn(demos.load(ids["LamReach-v0"], root), env, seed=0)
    reach = make("LamReach-v0")
    greedy = agents.make("bc", reach, batch_size=1000)
    with pytest.raises(ValueError, match=r"the budget is 1\.5 epochs; expected a whole number of at least 1"):
        agents.make("bc", reach).learn(demos.load(ids["LamReach-v0"], root), reach, seed=0, budget=1.5)
    with pytest.raises(ValueError, match="the budget is '3' epochs; expected a whole number"):
        agents.make("lam", reach).learn(demos.load(ids["LamReach-v0"], root), reach, seed=0, budget="3")
    with pytest.raises(ValueError, match="no datasets: expected at least one"):
        agents.make("lam", reach).learn([], reach, seed=0)
    with pytest.raises(ValueError, match="the budget is -3 epochs"):
        agents.make("bc", reach).learn(demos.load(ids["LamReach-v0"], root), reach, seed=0, budget=-3)
    with pytest.raises(ValueError, match="fewer than a minibatch of 1000"):
        greedy.learn(demos.load(ids["LamReach-v0"], root), reach, seed=0)

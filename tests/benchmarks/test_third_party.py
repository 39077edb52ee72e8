"""Agents and environments of third parties are measured like ours: functions, objects, archives, their own tasks."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import stable_baselines3
import yaml

import agents
from agents.training.saving import archive
from benchmarks.runner import runner
from benchmarks.runner.results import read_results
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine

from ..conftest import Make
from .suites import SMALL

HERE = "tests.benchmarks.third_party"


def suite(folder: Path, **changes: Any) -> str:
    content = {**SMALL, "training_seeds": [0], "evaluation": {"first_seed": 1000, "episodes": 2}, **changes}
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in content.items() if value is not None}))
    return str(path)


@pytest.fixture
def model(make: Make, tmp_path: Path) -> Path:
    small: dict[str, Any] = {"policy_kwargs": {"net_arch": [8]}, "buffer_size": 100, "seed": 0}
    stable_baselines3.SAC("MlpPolicy", make("LamReach-v0"), **small).save(tmp_path / "sac.zip")
    return tmp_path / "sac.zip"


def test_functions_objects_and_factories_are_agents(make: Make) -> None:
    env = make("LamReach-v0")
    observation, _ = env.reset(seed=0)
    rising, ready, made = (agents.make(f"{HERE}:{name}", env) for name in ("rising", "ready", "made"))
    for agent in (rising, ready):
        assert agent.predict(observation, deterministic=True)[0].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert made.predict(observation)[0].tolist() == [1.0] * 4
    assert agents.make(f"{HERE}:made", env, speed=0.5).predict(observation)[0].tolist() == [0.5] * 4
    for name in ("rising", "ready"):
        with pytest.raises(ValueError, match=f"{name} is not a class and takes no settings: remove speed"):
            agents.make(f"{HERE}:{name}", env, speed=0.5)
    with pytest.raises(ValueError, match="makes a int that has no predict"):
        agents.make(f"{HERE}:nothing", env)


def test_a_model_of_stable_baselines_is_measured_only_by_who_trusts_it(model: Path, tmp_path: Path) -> None:
    places = (f"{HERE}:rising", str(model))
    file = suite(tmp_path, agents=["expert"], videos=None)
    with pytest.raises(ValueError, match=r"--agent .*sac.zip can hold code .* add --allow-pickle"):
        read_suite(file, places)
    read = read_suite(file, places, allow_pickle=True)
    folder = runner.run(read, tmp_path / "out", LocalEngine(2))
    assert runner.failures(folder) == {}
    _, found = read_results(folder)
    assert {result.cell.label for result in found} == {"expert", *places}
    assert all(result.training is None for result in found)
    sources = next(result.provenance.sources for result in found if result.cell.label == str(model))
    assert len(sources["model"]) == 16
    # Another model under the same name is another agent.
    before = {result.cell.label: result for result in found}
    with zipfile.ZipFile(model, "a") as changed:
        changed.writestr("note", "another one")
    todo = runner.missing(read, folder)
    assert [planned.cell.label for planned in todo.cells] == [str(model)]
    assert before


def test_the_statistics_of_a_model_count_like_the_model(model: Path, tmp_path: Path) -> None:
    entry: dict[str, Any] = {"agent": str(model), "settings": {"vecnormalize": False}}
    statistics = tmp_path / "vecnormalize.pkl"

    def settings(**own: Any) -> dict[str, Any]:
        read = read_suite(suite(tmp_path, agents=[{**entry, **own}], videos=None), allow_pickle=True)
        return read.cells()[0].settings

    assert settings() == {"vecnormalize": False}
    with pytest.warns(UserWarning, match="may have been trained under VecNormalize"):
        assert settings(settings={}) == {}
    statistics.write_bytes(b"one")
    one = settings(settings={})
    assert one["vecnormalize"] == str(statistics)
    statistics.write_bytes(b"other")
    other = settings(settings={})
    assert one != other
    with pytest.raises(ValueError, match=r"line \d+, agents.settings: .*sac\.zip takes no setting epochs"):
        settings(settings={"epochs": 1})
    with pytest.raises(
        ValueError, match=r"line \d+, agents.settings: vecnormalize is 'none\.pkl', and there is no such file"
    ):
        settings(settings={"vecnormalize": "none.pkl"})


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil",)


def test_no_archive_is_run_to_see_what_it_is(model: Path, make: Make, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    archive.check(model)
    with pytest.raises(ValueError, match=r"if you trust it: agents\.training\.saving\.archive\.load"):
        agents.make(str(model), make("LamReach-v0"))
    with pytest.raises(ValueError, match=r"the model in .* has the observation_space"):
        archive.load(model, make("LamGrasp-v0"))
    bad = tmp_path / "bad.zip"
    for content, message in (
        (b"", "is not an archive of a model"),
        (pickle.dumps(Evil()), "is not an archive of a model"),
    ):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            archive.check(bad)
    for data in ("[1]", "{}", "[" * 10_000, json.dumps({"policy": 1})):
        with zipfile.ZipFile(bad, "w") as written:
            written.writestr("data", data)
        with pytest.raises(ValueError, match="is not an archive of a model"):
            archive.check(bad)
    with pytest.raises(FileNotFoundError, match="no file"):
        archive.check(tmp_path / "none.zip")
    assert not (tmp_path / "evil").exists()


OWN = '''
import gymnasium as gym
import numpy as np

class Line(gym.Env):
    """Step to the end of a line."""
    observation_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
    metadata = {"render_modes": []}
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1.0, 0.0)
        return self._seen(), {"is_success": False}
    def step(self, action):
        self.place = min(1.0, self.place + 0.2 * float(action[0]))
        return self._seen(), self.place, False, False, {"is_success": self.place > 0.8}
    def _seen(self):
        return np.array([self.place], np.float32)

gym.register("Line-v0", Line, max_episode_steps=20)

def forward(observation):
    return np.ones(1, np.float32)
'''


@pytest.mark.slow
def test_an_environment_and_an_agent_of_a_third_party_are_measured(tmp_path: Path) -> None:
    (tmp_path / "line.py").write_text(OWN)
    file = suite(tmp_path, environments=["line:Line-v0"], agents=["random", "line:forward"], videos=None)
    command = [sys.executable, "-m", "benchmarks", "run", file, "--out", str(tmp_path / "out")]
    keywords: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 200, "cwd": tmp_path}
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, **keywords, env=environment)
    assert done.returncode == 0, done.stderr
    rates = {one.cell.label: one.evaluation.success_rate for one in read_results(tmp_path / "out")[1]}
    assert rates == {"random": 0.0, "line:forward": 1.0}
    # Its code counts: changed, all is measured again.
    (tmp_path / "line.py").write_text(OWN.replace("> 0.8", "> 2.0"))
    done = subprocess.run(command, **keywords, env=environment)
    assert done.returncode == 0, done.stderr
    rates = {one.cell.label: one.evaluation.success_rate for one in read_results(tmp_path / "out")[1]}
    assert rates == {"random": 0.0, "line:forward": 0.0}

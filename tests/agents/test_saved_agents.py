"""Saved agents are untrusted: every fault is an error, and no code of them runs."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import agents
from agents.folders import MONITOR, MONITOR_FIGURE
from agents.registry import AGENTS
from benchmarks.suite.suite import learns

from ..conftest import Make
from .sequence.small import SMALL as SMALL_SEQUENCES

SMALL = {**SMALL_SEQUENCES, "lam": {"width": 8}}
QUICK = ("bc", "act", "lam", "sac")
"""Agents of the quick tests: one of each kind of policy."""
LEARNERS = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in AGENTS if learns(name)]
WEIGHTS, DESCRIPTION = "weights.safetensors", "agent.json"


def env_of(name: str) -> gym.Env[Any, Any]:
    if name == "keypoints":
        return gym.make("LamReachPixels-v0")
    return gym.make("LamReachDiscrete-v0" if name in ("dqfd", "dqn", "sqil") else "LamReach-v0")


@pytest.fixture(params=LEARNERS)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, gym.Env[Any, Any], Path]]:
    env = env_of(request.param)
    agent = agents.make(request.param, env, **SMALL.get(request.param, {"hidden_sizes": (8,)}))
    yield request.param, env, agent.save(tmp_path / "agent")
    env.close()


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self._file,)


def test_a_pickle_in_place_of_the_weights_is_not_opened(saved: Any, tmp_path: Path) -> None:
    _, env, folder = saved
    mark = tmp_path / "ran"
    torch.save(Harmful(mark), folder / "by_torch")
    for content in (pickle.dumps(Harmful(mark)), (folder / "by_torch").read_bytes()):
        (folder / WEIGHTS).write_bytes(content)
        with pytest.raises(ValueError, match=r"weights\.safetensors is damaged"):
            agents.load(folder, env)
    assert not mark.exists()


@pytest.mark.parametrize("file", [WEIGHTS, DESCRIPTION])
def test_a_file_that_leads_out_of_the_folder_is_refused(saved: Any, file: str, tmp_path: Path) -> None:
    _, env, folder = saved
    shutil.move(folder / file, tmp_path / file)
    (folder / file).symlink_to(tmp_path / file)
    with pytest.raises(ValueError, match=f"{file} is a link out of its folder"):
        agents.load(folder, env)


@pytest.mark.parametrize("name", ["../../agent", "/etc/passwd", "os:system", 7, None])
def test_a_name_that_is_a_path_or_code_is_refused(saved: Any, name: Any) -> None:
    _, env, folder = saved
    described = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps({**described, "agent": name}))
    with pytest.raises(ValueError, match="which is not registered"):
        agents.load(folder, env)


def test_weights_of_another_shape_name_or_number_are_refused(saved: Any) -> None:
    _, env, folder = saved
    whole = load_file(folder / WEIGHTS)
    first = next(iter(whole))
    others = [
        {**whole, first: torch.zeros(*whole[first].shape, 2)},
        {name: value for name, value in whole.items() if name != first},
        {**whole, "more": torch.zeros(1)},
    ]
    for other in others:
        save_file(other, folder / WEIGHTS)
        with pytest.raises(ValueError, match="do not fit their description"):
            agents.load(folder, env)
    save_file(whole, folder / WEIGHTS)
    agents.load(folder, env)


def test_settings_that_are_none_of_its_own_are_refused(saved: Any) -> None:
    name, env, folder = saved
    described = json.loads((folder / DESCRIPTION).read_text())
    too_large = ({"width": 10**9}, "at most 1024") if name in SMALL else ({"hidden_sizes": [10**9]}, "at most 2048")
    for settings, message in (
        ({"__class__": "os"}, f"unknown setting '__class__' of agent {name}"),
        too_large,
        ({"env": "LamReach-v0"}, "has no settings"),
        ("none", "settings is 'none'; expected an object"),
    ):
        (folder / DESCRIPTION).write_text(json.dumps({**described, "settings": settings}))
        with pytest.raises(ValueError, match=message):
            agents.load(folder, env)


def test_an_agent_of_other_spaces_is_refused(saved: Any) -> None:
    name, env, folder = saved
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    # It may act in other spaces, but not with unknown features.
    known = "the model does not know|agent lam needs" if name == "lam" else "was trained with observation space"
    for other in ("LamGraspDiscrete-v0" if discrete else "LamGrasp-v0", "LamReachGoal-v0"):
        made = gym.make(other)
        with pytest.raises(ValueError, match=known):
            agents.load(folder, made)
        made.close()
    made = gym.make(env.spec.id, control="ee" if discrete else "discrete")
    with pytest.raises(ValueError, match="agent lam needs" if name == "lam" else "was trained with action space"):
        agents.load(folder, made)
    made.close()
    assert np.asarray(agents.load(folder, env).predict(env.reset(seed=0)[0])[0]).shape == env.action_space.shape


def test_other_spaces_are_explained_by_another_version_of_the_task(make: Make, tmp_path: Path) -> None:
    folder = agents.make("bc", make("LamReach-v0"), hidden_sizes=(8,)).save(tmp_path / "agent")
    described = json.loads((folder / DESCRIPTION).read_text())
    for versions, expected in (
        (
            {"task grasp": 0},
            "was trained in version 0 of LamGrasp-v0; this environment has version 1: train it again",
        ),
        ({"task grasp": 1}, f"^the agent in {folder} was trained with observation space"),
    ):
        (folder / DESCRIPTION).write_text(json.dumps({**described, "training": {"versions": versions}}))
        with pytest.raises(ValueError, match=expected):
            agents.load(folder, make("LamGrasp-v0"))


def test_weights_that_are_no_numbers_are_neither_saved_nor_loaded(saved: Any, tmp_path: Path) -> None:
    _, env, folder = saved
    whole = load_file(folder / WEIGHTS)
    agent = agents.load(folder, env)
    with torch.no_grad():
        next(agent.policy.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match=r"the training diverged: .* is NaN"):
        agent.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    first = next(key for key, value in whole.items() if value.is_floating_point())
    save_file({**whole, first: torch.full_like(whole[first], float("nan"))}, folder / WEIGHTS)
    with pytest.raises(ValueError, match=f"is damaged: {first} is NaN"):
        agents.load(folder, env)


def test_a_monitor_is_replaced_with_the_agent_beside_it(saved: Any, tmp_path: Path) -> None:
    _, env, folder = saved
    agent = agents.load(folder, env)
    for name in (MONITOR, MONITOR_FIGURE):
        (folder / name).write_text("{}")
    agent.save(folder)
    assert {file.name for file in folder.iterdir()} == {DESCRIPTION, WEIGHTS}
    (tmp_path / "monitors").mkdir()
    (tmp_path / "monitors" / MONITOR).write_text("{}")
    with pytest.raises(FileExistsError, match=f"holds '{MONITOR}', which is not part of a saved agent"):
        agent.save(tmp_path / "monitors")


def test_a_training_that_is_no_description_is_refused(saved: Any) -> None:
    _, env, folder = saved
    described = json.loads((folder / DESCRIPTION).read_text())
    for training in (
        7,
        {"versions": "new"},
        {"demonstrations": [1]},
        {"environments": [{"environment": "LamReach-v0", "keywords": ["robot"]}]},
        {"environment": "LamReach-v0", "keywords": {"env_id": "'x'"}},
    ):
        (folder / DESCRIPTION).write_text(json.dumps({**described, "training": training}))
        with pytest.raises(ValueError, match=r"agent\.json is damaged: training"):
            agents.load(folder, env)
    (folder / DESCRIPTION).write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"agent\.json is damaged"):
        agents.load(folder, env)

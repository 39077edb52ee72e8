"""DemonstrationData reads datasets once, and gives the same from memory and from mapped files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData, concatenate_transitions, solved_step
from demos.datasets.checksum import checksum
from demos.datasets.episode import Episode
from demos.datasets.reading import episodes_of

from ..conftest import Make
from .test_adversarial import ROUND, SMALL
from .test_rl import same

pytestmark = pytest.mark.usefixtures("few_environments")


@pytest.fixture
def reach(datasets: Any) -> Any:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root)


def mapped(dataset: Any) -> DemonstrationData:
    data = DemonstrationData(dataset, in_memory_bytes=0)
    assert not data.is_in_memory
    return data


def opened_data_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the name of every HDF5 file that is opened from now on."""
    names: list[str] = []
    init = h5py.File.__init__

    def recording(self: Any, name: Any, *args: Any, **keywords: Any) -> None:
        if isinstance(name, str | Path):
            names.append(str(name))
        init(self, name, *args, **keywords)

    monkeypatch.setattr(h5py.File, "__init__", recording)
    return names


@pytest.mark.parametrize("name", ["bc", "gail"])
def test_a_training_opens_its_data_file_once(
    name: str, reach: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReach-v0")
    settings, budget = (SMALL, ROUND) if name == "gail" else ({"batch_size": 32}, 1)
    agent = agents.make(name, env, **settings)
    opened = opened_data_files(monkeypatch)
    agent.learn(reach, env, seed=0, budget=budget)
    assert len(opened) == 1


def test_demonstrations_of_another_task_are_refused_though_spaces_are_equal(make: Make, tmp_path: Path) -> None:
    small = {"image_width": 24, "image_height": 24, "max_episode_steps": 2}
    shown = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=small, keep_failures=True, root=tmp_path)
    env, same = make("LamGraspPixels-v0", **small), make("LamReachPixels-v0", **small)
    assert env.observation_space == same.observation_space
    with pytest.raises(ValueError, match="shows the task reach; this environment has the task grasp"):
        agents.make("bc", env).learn(shown, env, seed=0)
    data = DemonstrationData(shown)
    data.check_task(same)
    data.check_task(make("LamGraspPixels-v0", **small, task="reach"))
    data.check_task(gym.make("CartPole-v1"))


def test_data_that_were_read_are_not_read_again(reach: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    data, env = DemonstrationData(reach), make("LamReach-v0")
    opened = opened_data_files(monkeypatch)
    for seed in (0, 1):
        agents.make("bc", env, batch_size=32).learn(data, env, seed=seed, budget=1)
    assert opened == []


def test_mapped_transitions_are_those_in_memory(reach: Any) -> None:
    held, read = DemonstrationData(reach), mapped(reach)
    assert (held.checksum, held.episodes) == (read.checksum, read.episodes)
    for numbers in (None, [4, 1]):
        one, other = held.transitions(numbers), read.transitions(numbers)
        rows = np.random.default_rng(0).permutation(len(one))
        assert len(one) == len(other) == sum(held.episodes[number].length for number in numbers or range(6))
        assert torch.equal(one[rows].observations, other[rows].observations)
        assert torch.equal(one[rows].actions, other[rows].actions)
    for one_episode, other_episode in zip(held.iterate_episodes([2, 0]), read.iterate_episodes([2, 0]), strict=True):
        np.testing.assert_array_equal(one_episode.observations, other_episode.observations)


@pytest.mark.parametrize("name", ["bc", pytest.param("dagger", marks=pytest.mark.slow), "gail"])
def test_agents_learn_the_same_from_mapped_files(name: str, reach: Any, make: Make) -> None:
    env = make("LamReach-v0")
    settings: dict[str, Any] = {
        "bc": {"batch_size": 32, "validation_fraction": 0.2, "patience": 2},
        "dagger": {"batch_size": 32, "epochs": 1, "iterations": 1, "updates_per_iteration": 5},
        "gail": SMALL,
    }[name]
    one, other = (agents.make(name, env, **settings) for _ in range(2))
    budget = {"bc": 3, "gail": ROUND}.get(name)
    one.learn(DemonstrationData(reach), env, seed=0, budget=budget)
    other.learn(mapped(reach), env, seed=0, budget=budget)
    assert same(one, other)


def test_mapped_images_are_those_in_memory(make: Make, tmp_path: Path) -> None:
    keywords: dict[str, Any] = {"image_width": 24, "image_height": 24}
    dataset = demos.collect("LamReachPixels-v0", episodes=2, env_kwargs=keywords, root=tmp_path)
    held, read = DemonstrationData(dataset).transitions(), mapped(dataset).transitions()
    rows = torch.tensor([70, 3, 3, 41])
    one, other = held[rows].observations, read[rows].observations
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == other[name].dtype
        assert torch.equal(values, other[name]), name


@pytest.mark.parametrize("in_memory_bytes", [0, 2**30])
def test_several_datasets_follow_each_other(reach: Any, in_memory_bytes: int, tmp_path: Path) -> None:
    second = demos.collect("LamReach-v0", episodes=3, seed=50, root=tmp_path)
    data = DemonstrationData([reach, second], in_memory_bytes=in_memory_bytes)
    assert [each.dataset for each in data.episodes] == [0] * 6 + [1] * 3
    assert data.id == f"{reach.id}, {second.id}"
    assert {(each.environment, each.robot) for each in data.episodes} == {("LamReach-v0", None)}
    assert data.checksum not in (checksum(reach), checksum(second))
    parts = [DemonstrationData(each).transitions() for each in (reach, second)]
    expected, found = concatenate_transitions(parts), data.transitions()
    rows = np.random.default_rng(0).permutation(data.total_steps)
    assert torch.equal(found[rows].observations, expected[rows].observations)
    assert torch.equal(found[rows].actions, expected[rows].actions)
    rows_of_episodes = np.concatenate([each.observations for part in (reach, second) for each in episodes_of(part)])
    np.testing.assert_allclose(data.statistics["observation"].mean, rows_of_episodes.mean(axis=0), atol=1e-5)


def test_an_agent_learns_from_several_datasets(reach: Any, make: Make, tmp_path: Path) -> None:
    env, second = make("LamReach-v0"), demos.collect("LamReach-v0", episodes=3, seed=50, root=tmp_path)
    agent, alone = (agents.make("bc", env, batch_size=32) for _ in range(2))
    agent.learn([reach, second], env, seed=0, budget=1)
    alone.learn(reach, env, seed=0, budget=1)
    assert not same(agent, alone)
    assert agent.training["demonstrations"]["episodes"] == 9


def test_datasets_of_other_spaces_and_no_datasets_are_refused(reach: Any, datasets: Any) -> None:
    root, ids = datasets
    with pytest.raises(ValueError, match="has observations of Box"):
        DemonstrationData([reach, demos.load(ids["LamGrasp-v0"], root)])
    with pytest.raises(ValueError, match="no datasets: expected at least one"):
        DemonstrationData([])
    with pytest.raises(TypeError, match=r"found 'mine-v0'; expected a dataset: open it by demos.load\('mine-v0'\)"):
        DemonstrationData("mine-v0")  # type: ignore[arg-type]


def test_a_split_is_of_whole_episodes_and_follows_from_the_generator(reach: Any) -> None:
    data = DemonstrationData(reach)
    first, second = data.split(0.34, np.random.default_rng(3))
    assert (len(first), len(second)) == (4, 2)
    assert sorted(first + second) == list(range(6))
    assert data.split(0.34, np.random.default_rng(3)) == (first, second)


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        ({"is_success": [False, True, False, True, True]}, 2),
        ({"success": [False, True, False, True, True]}, 2),
        ({"is_success": {"grasp": np.ones(5)}, "success": [False, False, True, True, True]}, 1),
        ({"is_success": np.ones((5, 2), dtype=bool)}, None),
        ({"is_success": [True, True, True, True, False]}, None),
        ({}, None),
    ],
    ids=str,
)
def test_success_is_found_under_each_of_its_names(infos: dict[str, Any], expected: int | None) -> None:
    flags = np.zeros(4, dtype=bool)
    assert solved_step(Episode(None, np.zeros((5, 2)), np.zeros(4), np.zeros(4), flags, flags, infos)) == expected

"""Files that somebody else wrote are imported."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import gymnasium as gym
import h5py
import numpy as np
import pytest

import demos
from demos.datasets.metadata import PLAN, history_of, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.tree import identical
from demos.formats import import_dataset
from demos.formats.format import end_flags


def test_a_robomimic_file_of_somebody_else_is_imported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "low_dim.hdf5", "w") as file:
        for number, steps in ((0, 4), (10, 6), (2, 5)):
            demo = file.create_group(f"data/demo_{number}")
            demo.attrs["num_samples"] = steps
            demo["actions"] = rng.uniform(-1, 1, (steps, 7))
            demo["states"] = rng.normal(size=(steps, 20))
            demo["dones"] = np.arange(steps) == steps - 1
            demo["obs/object"] = rng.normal(size=(steps, 10))
            demo["obs/agentview_image"] = rng.integers(256, size=(steps, 8, 8, 3), dtype=np.uint8)
    back = import_dataset(tmp_path / "low_dim.hdf5", "robomimic", "other/lift-v0", root=tmp_path)
    assert [len(episode) for episode in episodes_of(back)] == [4, 5, 6]
    assert back.action_space == gym.spaces.Box(-1, 1, (7,), np.float64)
    assert back.observation_space["agentview_image"] == gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    assert PLAN not in back.storage.metadata
    step = history_of(back)[-1]
    assert (step["replays"], step["rewards"], step["last_observation"]) == (False, "zeros", "the one before it")
    episode = next(iter(episodes_of(back)))
    assert identical(episode.observations["object"][-1], episode.observations["object"][-2])
    assert episode.terminations[-1]
    assert episode.infos["states"].shape == (5, 20)


def test_trajectories_of_somebody_else_are_imported(tmp_path: Path) -> None:
    serialize = importlib.import_module("imitation.data.serialize")
    types = importlib.import_module("imitation.data.types")
    trajectories = [
        types.TrajectoryWithRew(
            obs=np.arange(steps + 1, dtype=np.float32)[:, None],
            acts=np.arange(steps) % 3,
            infos=np.array([{"height": 0.5 * step, "inner": {"flag": True}} for step in range(steps)]),
            terminal=steps == 3,
            rews=np.ones(steps),
        )
        for steps in (3, 4)
    ]
    serialize.save(tmp_path / "out", trajectories)
    back = import_dataset(tmp_path / "out", "imitation", "other/count-v0", root=tmp_path)
    first, second = episodes_of(back)
    assert back.action_space == gym.spaces.Discrete(3)
    np.testing.assert_array_equal(first.observations[:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(first.infos["height"], [0, 0, 0.5, 1])
    assert (first.terminations[-1], second.terminations[-1], second.truncations[-1]) == (True, False, True)
    assert first.infos["inner"]["flag"].all()


def test_arrays_of_somebody_else_are_imported(tmp_path: Path) -> None:
    arrays = {"episode_ends": [2, 5], "observations": np.zeros((7, 3)), "actions": np.full((5, 2), 4.0)}
    np.savez(tmp_path / "plain.npz", **arrays)
    back = import_dataset(tmp_path / "plain.npz", "npz", "other/plain-v0", root=tmp_path)
    assert [len(episode) for episode in episodes_of(back)] == [2, 3]
    assert back.action_space == gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    assert back[0].truncations.tolist() == [False, True]


@pytest.mark.slow
def test_a_lerobot_folder_without_our_own_part_is_as_of_somebody_else(
    copies: dict[str, Path], tmp_path: Path
) -> None:
    shutil.rmtree(copies["lerobot"] / "meta" / "lam_envs")
    back = import_dataset(copies["lerobot"], "lerobot", "came/back-v0", root=tmp_path)
    episode = next(iter(episodes_of(back)))
    assert episode.observations.shape == (41, 18)
    assert episode.success
    assert episode.infos["state"].shape == (41, 37)
    assert PLAN not in back.storage.metadata


def test_an_environment_can_be_named_for_what_does_not_tell_it(copies: dict[str, Path], tmp_path: Path) -> None:
    shutil.rmtree(copies["lerobot"] / "meta" / "lam_envs")
    back = import_dataset(copies["lerobot"], "lerobot", "came/back-v0", root=tmp_path, env_id="LamReach-v0")
    assert plan_of(back) == {"env_id": "LamReach-v0", "env_kwargs": {}}
    assert back.observation_space == demos.make_env(back).observation_space
    assert back.observation_space.dtype == np.float32
    assert demos.describe(back)["success rate"] == 1.0
    with pytest.raises(ValueError, match="no longer give these episodes"):
        demos.replay(back)
    with pytest.raises(
        ValueError, match=r"observations are float32 \(41, 18\); expected numbers of shape \(41, 32\)"
    ):
        import_dataset(copies["lerobot"], "lerobot", "came/other-v0", root=tmp_path, env_id="LamGrasp-v0")
    with pytest.raises(ValueError, match="records the environment LamReach-v0"):
        import_dataset(copies["npz"], "npz", "came/other-v0", root=tmp_path, env_id="LamGrasp-v0")
    with pytest.raises(ValueError, match="set both or none"):
        import_dataset(copies["npz"], "npz", "came/other-v0", root=tmp_path, env_kwargs={"obs": "goal"})


@pytest.mark.parametrize("format", ["lerobot", "robomimic"])
def test_truncated_episodes_stay_truncated_without_our_own_part(
    format: str, copies: dict[str, Path], tmp_path: Path
) -> None:
    if format == "lerobot":
        shutil.rmtree(copies[format] / "meta" / "lam_envs")
    else:
        with h5py.File(copies[format], "a") as file:
            del file["lam_envs"]
    for episode in episodes_of(import_dataset(copies[format], format, "came/back-v0", root=tmp_path)):
        assert not episode.terminations.any()
        assert np.flatnonzero(episode.truncations).tolist() == [len(episode) - 1]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, (False, True)),
        ({"done": 1}, (True, False)),
        ({"done": 0}, (False, True)),
        ({"done": 1, "truncated": 1}, (False, True)),
        ({"done": 1, "terminated": 0}, (False, True)),
        ({"terminated": 1, "truncated": 1}, (True, True)),
        ({"terminated": 1, "truncated": 0}, (True, False)),
    ],
)
def test_the_end_of_an_episode_follows_from_any_flags(flags: dict[str, int], expected: tuple[bool, bool]) -> None:
    columns = {name: np.array([[0], [0], [flag]]) for name, flag in flags.items()}
    terminations, truncations = end_flags(columns, 3)
    assert (terminations[-1], truncations[-1]) == expected
    assert not terminations[:-1].any()
    assert not truncations[:-1].any()

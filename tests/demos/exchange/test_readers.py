"""The libraries themselves read what is exported, and what they write is read."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

import demos
from demos.datasets.episode import Episode
from demos.datasets.metadata import episode_seeds, history_of
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.formats import export_dataset, import_dataset

from .conftest import ENV_IDS
from .other_libraries import read_by


@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGraspGoal-v0", "LamGraspDiscrete-v0"])
def test_imitation_reads_its_format(env_id: str, sources: dict[str, minari.MinariDataset], tmp_path: Path) -> None:
    serialize = importlib.import_module("imitation.data.serialize")
    export_dataset(sources[env_id], "imitation", tmp_path / "out")
    trajectories = serialize.load_with_rewards(tmp_path / "out")
    assert len(trajectories) == 3
    for trajectory, episode in zip(trajectories, episodes_of(sources[env_id]), strict=True):
        flat = np.stack(
            [gym.spaces.flatten(sources[env_id].observation_space, moment) for moment in moments(episode)]
        )
        np.testing.assert_array_equal(trajectory.obs, flat)
        np.testing.assert_array_equal(trajectory.acts, episode.actions)
        np.testing.assert_array_equal(trajectory.rews, episode.rewards)
        assert trajectory.terminal
        assert trajectory.infos[-1]["is_success"] == episode.infos["is_success"][-1]
        assert trajectory.infos[0]["state"] == episode.infos["state"][1].tolist()


def moments(episode: Episode) -> list[Any]:
    observations = episode.observations
    if not isinstance(observations, dict):
        return list(observations)
    return [{name: values[number] for name, values in observations.items()} for number in range(len(episode) + 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "keys"),
    [
        ("LamReach-v0", ["state"]),
        ("LamGraspGoal-v0", ["observation", "achieved_goal", "desired_goal"]),
        ("LamReachPixels-v0", ["robot", "front", "wrist"]),
        ("LamGraspDiscrete-v0", ["state"]),
    ],
)
def test_robomimic_reads_its_format(env_id: str, keys: list[str], tmp_path: Path) -> None:
    dataset = demos.collect(env_id, episodes=12, root=tmp_path)
    export_dataset(dataset, "robomimic", tmp_path / "out.hdf5")
    seen = read_by("read_robomimic.py", str(tmp_path / "out.hdf5"), str(tmp_path / "seen.npz"), *keys)
    assert (len(seen["train_demos"]), len(seen["valid_demos"])) == (11, 1)
    episodes = list(episodes_of(dataset))
    valid = episodes[int(str(seen["valid_demos"][0]).removeprefix("demo_"))]
    parts = dict(tree_leaves(valid.observations))
    assert seen["valid_length"] == len(valid)
    for key in keys:
        expected = parts.get(key, parts.get(""))
        # A frame before, the present one, and two after it: of the first step the first one twice.
        np.testing.assert_array_equal(seen[f"valid_{key}"][0], expected[[0, 0, 1, 2]])
        np.testing.assert_array_equal(seen[f"valid_next_{key}"][0][-1], expected[3])
    if isinstance(dataset.action_space, gym.spaces.Discrete):
        assert (seen["valid_actions"][:, 1].argmax(axis=1) == valid.actions).all()
    else:
        np.testing.assert_array_equal(seen["valid_actions"][:, 1], valid.actions)
    assert np.isfinite(seen["normalized"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_lerobot_reads_its_format(env_id: str, sources: dict[str, minari.MinariDataset], tmp_path: Path) -> None:
    dataset = sources[env_id]
    export_dataset(dataset, "lerobot", tmp_path / "out")
    seen = read_by("read_lerobot.py", str(tmp_path / "out"), str(tmp_path / "seen.npz"))
    episodes = list(episodes_of(dataset))
    assert {"action", "observation.state"} <= set(seen["policy"])
    assert set(seen["task"]) <= {
        "bring the tool to a point and hold it there",
        "take a cube from the table, lift it and hold it",
    }
    state = {"LamReachPixels-v0": "robot", "LamGraspGoal-v0": "observation"}.get(env_id, "")
    states = [dict(tree_leaves(episode.observations))[state] for episode in episodes]
    np.testing.assert_array_equal(seen["observation.state"], np.concatenate([part[:-1] for part in states]))
    np.testing.assert_array_equal(seen["second_episode"], states[1][:-1])
    np.testing.assert_array_equal(seen["action"][:, 0], np.concatenate([episode.actions for episode in episodes]))
    successes = np.concatenate([episode.infos["is_success"][1:] for episode in episodes])
    np.testing.assert_array_equal(seen["next.success"], successes)
    if env_id == "LamReachPixels-v0":
        for camera in ("front", "wrist"):
            frames = np.concatenate([episode.observations[camera][:-1] for episode in episodes])
            videos = seen[f"observation.images.{camera}"].transpose(0, 2, 3, 1) * 255
            assert np.abs(videos - frames).mean() < 3
            assert seen[f"mean/observation.images.{camera}"].shape == (3, 1, 1)


def test_numpy_reads_its_format(sources: dict[str, minari.MinariDataset], tmp_path: Path) -> None:
    dataset = sources["LamGraspGoal-v0"]
    export_dataset(dataset, "npz", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        end = arrays["episode_ends"]
        second = dataset[1]
        np.testing.assert_array_equal(arrays["actions"][end[0] : end[1]], second.actions)
        seen = arrays["observations/observation"][end[0] + 1 : end[1] + 2]
        np.testing.assert_array_equal(seen, second.observations["observation"])
        assert json.loads(bytes(arrays["metadata"]))["seeds"] == episode_seeds(dataset)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_folder_that_lerobot_wrote_is_imported(kind: str, tmp_path: Path) -> None:
    seen = read_by("write_lerobot.py", str(tmp_path / "out"), str(tmp_path / "seen.npz"), kind)
    back = import_dataset(tmp_path / "out", "lerobot", "other/arm-v0", root=tmp_path)
    assert [len(episode) for episode in episodes_of(back)] == [5, 7]
    first, second = episodes_of(back)
    np.testing.assert_array_equal(first.observations["state"][:-1], seen["state"][:5])
    np.testing.assert_array_equal(second.actions, seen["action"][5:])
    frames = np.concatenate([episode.observations["top"][:-1] for episode in (first, second)])
    assert np.abs(frames.astype(float) - seen["top"]).mean() < (6 if kind == "video" else 1e-9)
    assert history_of(back)[-1]["last_observation"] == "the one before it"

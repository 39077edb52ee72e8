"""Windows hold what stands in the file, at the edges of an episode too, and PyTorch gets them as batches."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import demos
from demos.datasets.episode import Episode
from demos.datasets.reading import episodes_of
from demos.datasets.statistics import statistics
from demos.datasets.torch_dataset import WindowDataset
from demos.datasets.tree import tree_leaves
from demos.datasets.windows import Windows


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def reach(root: Path) -> minari.MinariDataset:
    return demos.collect("LamReach-v0", episodes=4, root=root)


@pytest.fixture(scope="module")
def episodes(reach: minari.MinariDataset) -> list[Episode]:
    return list(episodes_of(reach))


def expected(episodes: list[Episode], number: int, obs_horizon: int, action_horizon: int) -> tuple[Any, Any, Any]:
    for episode in episodes:
        if number < len(episode):
            before = [max(number - back, 0) for back in reversed(range(obs_horizon))]
            after = np.arange(number, number + action_horizon)
            actions = episode.actions[np.minimum(after, len(episode) - 1)]
            return episode.observations[before], actions, after >= len(episode)
        number -= len(episode)
    raise IndexError(number)


@given(
    numbers=st.lists(st.integers(0, 159), min_size=1, max_size=20),
    obs_horizon=st.integers(1, 70),
    action_horizon=st.integers(1, 70),
)
@settings(max_examples=30, deadline=None)
def test_a_window_is_what_stands_in_the_file(
    numbers: list[int], obs_horizon: int, action_horizon: int, reach: minari.MinariDataset, episodes: list[Episode]
) -> None:
    windows = Windows(reach, obs_horizon=obs_horizon, action_horizon=action_horizon)
    numbers = [number % len(windows) for number in numbers]
    batch = windows[numbers]
    for row, number in enumerate(numbers):
        observation, action, is_pad = expected(episodes, number, obs_horizon, action_horizon)
        np.testing.assert_array_equal(batch["observation"][row], observation)
        np.testing.assert_array_equal(batch["action"][row], action)
        np.testing.assert_array_equal(batch["is_pad"][row], is_pad)
        np.testing.assert_array_equal(windows[number]["observation"], observation)


def test_windows_may_begin_with_past_actions(reach: minari.MinariDataset, episodes: list[Episode]) -> None:
    batch = Windows(reach, action_horizon=2, past=3)[[1, 39]]
    actions = episodes[0].actions
    np.testing.assert_array_equal(batch["action"], actions[[[0, 0, 0, 1, 2], [36, 37, 38, 39, 39]]])
    assert batch["is_pad"].tolist() == [[True, True, False, False, False], [False, False, False, False, True]]
    with pytest.raises(ValueError, match="past is -1; expected at least 0"):
        Windows(reach, past=-1)


def test_windows_count_from_the_end_and_stop_there(reach: minari.MinariDataset) -> None:
    windows = Windows(reach)
    assert len(windows) == reach.total_steps
    np.testing.assert_array_equal(windows[-1]["action"], windows[len(windows) - 1]["action"])
    for number in (len(windows), -len(windows) - 1):
        with pytest.raises(IndexError, match=f"expected indices below {len(windows)}"):
            windows[number]
    for kind in (np.int8, np.uint64):
        np.testing.assert_array_equal(windows[np.array([5], kind)]["action"][0], windows[5]["action"])
    for nonsense in ([], 1.5, [[0, 1]], [True], slice(0, 3), "0"):
        with pytest.raises(TypeError, match="expected an integer or a sequence of integers"):
            windows[nonsense]  # type: ignore[index]
    with pytest.raises(ValueError, match="obs_horizon is 0"):
        Windows(reach, obs_horizon=0)


def test_dicts_and_images_come_as_dicts(root: Path) -> None:
    for env_id, keywords in (("LamReachGoal-v0", {}), ("LamReachPixels-v0", {"image_width": 16, "image_height": 16})):
        dataset = demos.collect(env_id, episodes=1, env_kwargs=keywords, root=root)
        batch = Windows(dataset, obs_horizon=2)[[0, 5]]
        episode = next(episodes_of(dataset))
        for name, values in tree_leaves(episode.observations):
            np.testing.assert_array_equal(batch["observation"][name][1], values[4:6])


def test_files_that_others_wrote_give_the_same_windows(reach: minari.MinariDataset, tmp_path: Path) -> None:
    """Minari itself writes in chunks, which cannot be mapped."""
    (tmp_path / "data").mkdir()
    storage = reach.storage.new(tmp_path / "data", reach.observation_space, reach.action_space)
    storage.update_episodes([episode.to_buffer() for episode in episodes_of(reach)])
    storage.update_metadata({"dataset_id": "ours/other-v0", "minari_version": minari.__version__})
    other = minari.MinariDataset(tmp_path / "data")
    with h5py.File(tmp_path / "data" / "main_data.hdf5") as file:
        assert file["episode_0/actions"].chunks is not None
    numbers = np.arange(reach.total_steps)
    ours, theirs = (Windows(dataset, obs_horizon=3, action_horizon=4)[numbers] for dataset in (reach, other))
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_jpeg_images_are_decoded(root: Path) -> None:
    # Minari stores smaller images without JPEG.
    keywords = {"image_width": 32, "image_height": 32}
    dataset = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=keywords, jpeg=True, root=root)
    assert dataset.storage.jpeg_encoding
    batch = Windows(dataset)[[3]]
    np.testing.assert_array_equal(
        batch["observation"]["front"][0, 0], next(episodes_of(dataset)).observations["front"][3]
    )


def test_a_part_of_a_dataset_has_its_windows_alone(reach: minari.MinariDataset) -> None:
    part = reach.filter_episodes(lambda episode: episode.id in (1, 3))
    windows = Windows(part)
    np.testing.assert_array_equal(windows[0]["observation"][0], next(episodes_of(reach, [1])).observations[0])
    assert len(windows) == part.total_steps


def test_windows_travel_to_other_processes(reach: minari.MinariDataset) -> None:
    windows = Windows(reach, action_horizon=2)
    before = windows[[1, 7]]
    copied = pickle.loads(pickle.dumps(windows))
    np.testing.assert_array_equal(copied[[1, 7]]["action"], before["action"])
    windows.close()
    np.testing.assert_array_equal(windows[[1, 7]]["action"], before["action"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_every_window_once_an_epoch(workers: int, reach: minari.MinariDataset) -> None:
    dataset = WindowDataset(reach, obs_horizon=2, action_horizon=3)
    loader = dataset.loader(32, seed=5, workers=workers)
    first = [batch["observation"] for batch in loader]
    second = torch.cat([batch["observation"] for batch in loader])
    again = [batch["observation"] for batch in dataset.loader(32, seed=5)]
    assert len(loader) == len(first) == -(-len(dataset) // 32)
    assert first[0].shape == (32, 2, 18)
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    joined = torch.cat(first)
    assert not torch.equal(joined, second)
    rows = {row.numpy().tobytes() for row in joined}
    assert (
        rows
        == {row.numpy().tobytes() for row in second}
        == {w["observation"].numpy().tobytes() for w in map(dataset.__getitem__, range(len(dataset)))}
    )


def test_pytorchs_own_loader_takes_it_too(reach: minari.MinariDataset) -> None:
    loader = torch.utils.data.DataLoader(WindowDataset(reach, action_horizon=3), batch_size=8)
    batch = next(iter(loader))
    assert batch["action"].shape == (8, 3, 4)
    with pytest.raises(ValueError, match="batch_size is 0"):
        WindowDataset(reach).loader(0)


def test_statistics_are_those_of_all_moments(reach: minari.MinariDataset, root: Path) -> None:
    found = statistics(reach)
    episodes = list(episodes_of(reach))
    for name, values in (
        ("observation", np.concatenate([episode.observations for episode in episodes])),
        ("action", np.concatenate([episode.actions for episode in episodes])),
    ):
        values = values.astype(np.float64)
        np.testing.assert_allclose(found[name].mean, values.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found[name].std, values.std(axis=0), atol=1e-12)
        np.testing.assert_array_equal(found[name].min, values.min(axis=0))
        np.testing.assert_array_equal(found[name].max, values.max(axis=0))
        assert found[name].count == len(values)
    keywords = {"image_width": 16, "image_height": 16}
    pixels = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=keywords, root=root)
    images = next(episodes_of(pixels)).observations["front"].astype(np.float64)
    of_images = statistics(pixels)["observation/front"]
    for name in ("mean", "std", "min", "max"):
        np.testing.assert_allclose(getattr(of_images, name), getattr(images, name)(axis=(0, 1, 2)), rtol=1e-12)
    assert of_images.count == len(images)


def test_statistics_far_from_zero_lose_nothing(reach: minari.MinariDataset, tmp_path: Path) -> None:
    """A sum of squares would: 1e8 squared leaves no digit for a spread of 1e-3."""
    from gymnasium import spaces

    from demos.datasets.writing import dataset_writer

    rng = np.random.default_rng(0)
    space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    values = 1e8 + rng.normal(scale=1e-3, size=(4, 11, 1))
    with dataset_writer("ours/far-v0", space, space, None, {}, root=tmp_path) as writer:
        for each in values:
            ends = np.arange(10) == 9
            writer.add(Episode(0, each, each[1:], np.zeros(10), ends, ends & False, {}))
    found = statistics(demos.load("ours/far-v0", tmp_path))["observation"]
    np.testing.assert_allclose(found.std, values.std(), rtol=1e-3)

"""A frame cache gives the same windows as decoding, and is used only if it is complete and up to date."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import minari
import numpy as np
import pytest

import demos
from demos.datasets.reading import episodes_of
from demos.datasets.tree import identical
from demos.datasets.windows import Windows, sources
from demos.datasets.windows.frame_cache import ATTRIBUTE, cache_frames, frame_cache_file, has_frame_cache
from demos.datasets.writing import dataset_writer

KEYWORDS = {"image_width": 32, "image_height": 32, "max_episode_steps": 10}
CACHE = "import sys, demos; from demos.datasets.windows.frame_cache import cache_frames; "


def collected(root: Path, seed: int = 0, *, overwrite: bool = False) -> minari.MinariDataset:
    return demos.collect(
        "LamReachPixels-v0", episodes=5, seed=seed, env_kwargs=KEYWORDS, keep_failures=True, jpeg=True,
        root=root, dataset_id="small/jpeg-v0", overwrite=overwrite,
    )  # fmt: skip


@pytest.fixture
def dataset(tmp_path: Path) -> minari.MinariDataset:
    return collected(tmp_path)


def all_windows(dataset: minari.MinariDataset) -> object:
    """Return all windows in an order that mixes the episodes."""
    windows = Windows(dataset, obs_horizon=2, action_horizon=3, past=1)
    return dict(windows[np.random.default_rng(0).permutation(len(windows))])


def test_windows_are_the_same_bits_with_and_without_a_cache(dataset: minari.MinariDataset) -> None:
    decoded = all_windows(dataset)
    path = cache_frames(dataset)
    assert path == frame_cache_file(dataset)
    assert has_frame_cache(dataset)
    assert identical(all_windows(dataset), decoded)
    part = dataset.filter_episodes(lambda episode: episode.id in (1, 3))
    first = next(episodes_of(dataset, [1])).observations["front"][0]
    np.testing.assert_array_equal(Windows(part)[0]["observation"]["front"][0], first)


def test_windows_do_not_depend_on_how_many_episodes_are_decoded_at_once(
    dataset: minari.MinariDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = all_windows(dataset)
    monkeypatch.setattr(sources, "CACHE_BYTES", 1)
    assert identical(all_windows(dataset), together)


def test_a_cache_is_written_once(dataset: minari.MinariDataset) -> None:
    path = cache_frames(dataset)
    assert path is not None
    written = path.stat()
    assert cache_frames(dataset) == path
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    assert path.stat().st_ino == written.st_ino


def test_an_uncompressed_dataset_needs_no_cache(tmp_path: Path) -> None:
    dataset = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=KEYWORDS, keep_failures=True, root=tmp_path)
    assert cache_frames(dataset) is None
    assert not frame_cache_file(dataset).exists()


def test_the_cache_of_a_replaced_dataset_is_not_used(dataset: minari.MinariDataset, tmp_path: Path) -> None:
    cache_frames(dataset)
    other = collected(tmp_path, seed=1, overwrite=True)
    assert frame_cache_file(other).exists()
    assert not has_frame_cache(other)
    decoded = all_windows(other)
    cache_frames(other)
    assert has_frame_cache(other)
    assert identical(all_windows(other), decoded)


def test_a_damaged_cache_is_not_used(dataset: minari.MinariDataset) -> None:
    decoded = all_windows(dataset)
    frame_cache_file(dataset).write_bytes(b"no HDF5 file")
    assert not has_frame_cache(dataset)
    assert identical(all_windows(dataset), decoded)
    cache_frames(dataset)
    assert has_frame_cache(dataset)


def test_a_killed_process_leaves_no_cache_that_is_used(dataset: minari.MinariDataset, tmp_path: Path) -> None:
    source = dataset.storage.data_path / "main_data.hdf5"
    spaces = (dataset.observation_space, dataset.action_space)
    with dataset_writer("large/jpeg-v0", *spaces, None, {}, root=tmp_path, jpeg=True) as writer:
        for _ in range(20):
            writer.copy(source, range(5))
    large = demos.load("large/jpeg-v0", tmp_path)
    path = frame_cache_file(large)
    partial = path.with_name(f"{path.name}.partial")
    process = subprocess.Popen([sys.executable, "-c", f"{CACHE}cache_frames(demos.load(*sys.argv[1:]))",
                                "large/jpeg-v0", str(tmp_path)])  # fmt: skip
    while not partial.exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert partial.exists()
    assert not path.exists()
    assert not has_frame_cache(large)
    cache_frames(large)
    assert has_frame_cache(large)
    assert not partial.exists()
    np.testing.assert_array_equal(
        Windows(large)[large.total_steps - 1]["observation"]["front"],
        Windows(dataset)[dataset.total_steps - 1]["observation"]["front"],
    )


def test_a_dataset_that_fails_to_decode_gets_no_cache(dataset: minari.MinariDataset) -> None:
    with h5py.File(dataset.storage.data_path / "main_data.hdf5", "a") as file:
        file["episode_3/observations/front"][0] = np.frombuffer(b"no image", dtype=np.uint8)
    with pytest.raises(ValueError, match=r"an image is damaged.*; run `python -m demos check small/jpeg-v0`"):
        cache_frames(dataset)
    assert not frame_cache_file(dataset).exists()
    assert not frame_cache_file(dataset).with_name("data.frames.hdf5.partial").exists()


def test_a_cache_whose_origin_is_no_text_is_written_again(dataset: minari.MinariDataset) -> None:
    path = cache_frames(dataset)
    assert path is not None
    with h5py.File(path, "r+") as file:
        file.attrs[ATTRIBUTE] = np.arange(3)
    assert not has_frame_cache(dataset)
    cache_frames(dataset)
    assert has_frame_cache(dataset)


def test_writing_a_cache_does_not_follow_a_link(dataset: minari.MinariDataset, tmp_path: Path) -> None:
    path, other = frame_cache_file(dataset), tmp_path / "other"
    other.write_text("kept")
    path.with_name(f"{path.name}.partial").symlink_to(other)
    cache_frames(dataset)
    assert other.read_text() == "kept"
    assert not path.is_symlink()


FRONT = "observations/front"


def delete_an_episode(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["episode_1"]


def exchange_two_episodes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for old, new in (("episode_1", "other"), ("episode_2", "episode_1"), ("other", "episode_2")):
            file.move(old, new)


def exchange_two_arrays(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        one, other = file[f"episode_1/{FRONT}"], file[f"episode_2/{FRONT}"]
        one[...], other[...] = other[()], one[()]


def shorten_an_array(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file[f"episode_3/{FRONT}"][:-1]
        del file[f"episode_3/{FRONT}"]
        file[f"episode_3/{FRONT}"] = values


def compress_an_array(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        values = file[f"episode_3/{FRONT}"][()]
        del file[f"episode_3/{FRONT}"]
        file.create_dataset(f"episode_3/{FRONT}", data=values, compression="gzip")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite_the_end_with_zeros(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, size - 20_000)
    os.truncate(path, size)


@pytest.mark.parametrize(
    "damage",
    [
        delete_an_episode,
        exchange_two_episodes,
        exchange_two_arrays,
        shorten_an_array,
        compress_an_array,
        truncate,
        overwrite_the_end_with_zeros,
    ],
)
def test_a_cache_whose_arrays_were_changed_is_decoded_again(
    dataset: minari.MinariDataset, damage: Callable[[Path], None]
) -> None:
    decoded, path = all_windows(dataset), cache_frames(dataset)
    assert path is not None
    damage(path)
    assert not has_frame_cache(dataset)
    assert identical(all_windows(dataset), decoded)
    cache_frames(dataset)
    assert has_frame_cache(dataset)
    assert identical(all_windows(dataset), decoded)


def test_a_mapped_file_without_an_episode_is_reported(dataset: minari.MinariDataset) -> None:
    path = cache_frames(dataset)
    assert path is not None
    delete_an_episode(path)
    with pytest.raises(ValueError, match=r"is damaged: it has no observations/front of episode 1\. Delete it"):
        sources.MappedFile(path).views(FRONT, [1])

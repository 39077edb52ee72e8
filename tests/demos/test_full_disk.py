"""A full disk is an error before anything is written: HDF5 may crash the process on it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

import minari
import pytest
from typer.testing import CliRunner

import demos
from demos.__main__ import app
from demos.datasets.data_file import DATA_FILE
from demos.datasets.reading import episodes_of
from demos.datasets.writing import DatasetWriter, episode_bytes
from demos.runtime.disk_space import SPARE_BYTES, require_space
from demos.runtime.types import Space


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


def with_free_space(patch: pytest.MonkeyPatch, size: int) -> None:
    patch.setattr("shutil.disk_usage", lambda path: DiskUsage(2**40, 2**40 - size, size))


def test_more_than_the_free_space_is_refused_with_both_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free_space(monkeypatch, SPARE_BYTES + 10**6)
    require_space(tmp_path, 10**6, "some data")
    with pytest.raises(OSError, match=r"to save some data: it needs 18\.8 MB .*17\.8 MB are") as error:
        require_space(tmp_path, 2 * 10**6, "some data")
    assert error.value.errno == errno.ENOSPC


def test_commands_on_a_full_disk_fail_with_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = ["--root", str(tmp_path)]
    demos.collect("LamReach-v0", episodes=1, dataset_id="ours/one-v0", root=tmp_path)
    with_free_space(monkeypatch, SPARE_BYTES)
    target = tmp_path / "out.hdf5"
    for arguments in (
        ["collect", "LamReach-v0", "--episodes", "1", "--id", "ours/more-v0"],
        ["subsample", "ours/one-v0", "--count", "1", "--id", "ours/more-v0"],
        ["preprocess", "ours/one-v0", "--step", "resample:rate=10", "--id", "ours/more-v0"],
        ["export", "ours/one-v0", "--format", "robomimic", "--out", str(target)],
    ):
        result = CliRunner().invoke(app, [*arguments, *root])
        assert result.exit_code == 2, arguments
        assert result.stderr.splitlines()[-1].startswith("error: [Errno 28] not enough space to save"), result.stderr
    assert not target.exists()
    assert [name for name, _ in demos.installed(tmp_path)] == ["ours/one-v0"]


def test_episodes_need_the_space_that_they_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"image_width": 32, "image_height": 32, "max_episode_steps": 5}
    made = [
        demos.collect("LamReachPixels-v0", episodes=2, jpeg=jpeg, keep_failures=True, env_kwargs=small, root=tmp_path)
        for jpeg in (False, True)
    ]
    for dataset in made:
        file = dataset.storage.data_path / DATA_FILE
        writer = DatasetWriter(tmp_path / dataset.id.replace("/", "-"), *spaces_of(dataset))
        (episode,) = episodes_of(dataset, [0])
        images = 2 * 6 * 32 * 32 * 3
        assert images < episode_bytes(episode) < 2 * images
        with_free_space(monkeypatch, SPARE_BYTES + images)
        with pytest.raises(OSError, match="not enough space"):
            writer.add(episode)
        with_free_space(monkeypatch, SPARE_BYTES + file.stat().st_size - 1)
        with pytest.raises(OSError, match="not enough space"):
            writer.copy(file, [0, 1])
        with_free_space(monkeypatch, SPARE_BYTES + file.stat().st_size)
        writer.copy(file, [0, 1])
        assert writer.episodes == 2


def spaces_of(dataset: minari.MinariDataset) -> tuple[Space, Space]:
    return dataset.observation_space, dataset.action_space

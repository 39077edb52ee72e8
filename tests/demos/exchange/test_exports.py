"""An export says what it loses, is whole or not there, and replaces nothing unasked."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest

import demos
from demos.datasets.episode import Episode
from demos.datasets.metadata import plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer
from demos.formats import FORMATS, export_dataset, import_dataset
from demos.formats.lerobot import videos, writing
from demos.formats.lerobot.statistics import image_statistics, merge_statistics, number_statistics

from ..check.damage import check_here
from .conftest import ENDINGS, ENV_IDS, box, carried, random_dataset


def test_each_format_says_what_it_loses(sources: dict[str, minari.MinariDataset], tmp_path: Path) -> None:
    def losses(env_id: str, format: str) -> str:
        return "\n".join(export_dataset(sources[env_id], format, tmp_path / f"{env_id}-{format}"))

    for env_id in ENV_IDS:
        assert losses(env_id, "robomimic") == losses(env_id, "npz") == ""
    assert "last observation" in losses("LamReach-v0", "lerobot")
    assert "exact pixels of observation.images.front, observation.images.wrist" in losses(
        "LamReachPixels-v0", "lerobot"
    )
    assert "infos of the reset" in losses("LamReach-v0", "imitation")
    assert "one vector" in losses("LamGraspGoal-v0", "imitation")
    with pytest.raises(ValueError, match="imitation stores no dict observations"):
        losses("LamReachPixels-v0", "imitation")
    assert not (tmp_path / "LamReachPixels-v0-imitation").exists()


def test_a_large_lerobot_folder_has_many_files(
    sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MAX_FILE_MB", dict.fromkeys(writing.MAX_FILE_MB, 0))
    monkeypatch.setattr(writing, "EPISODES_PER_WRITE", 1)
    monkeypatch.setattr(videos, "MAX_BYTES", 0)
    monkeypatch.setattr(videos, "FILES_PER_CHUNK", 2)
    back = carried(sources["LamReachPixels-v0"], "lerobot", tmp_path)
    assert [len(episode) for episode in episodes_of(back)] == [10, 10, 10]
    files = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("chunk-001/*"))
    assert files == [
        "data/chunk-001/file-000.parquet",
        "meta/episodes/chunk-001/file-000.parquet",
        "videos/observation.images.front/chunk-001/file-000.mp4",
        "videos/observation.images.wrist/chunk-001/file-000.mp4",
    ]


def test_lerobot_statistics_are_those_of_the_numbers() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(steps, 3)).astype(np.float32) for steps in (5, 9)]
    whole = number_statistics(np.concatenate(pieces))
    both = merge_statistics(*map(number_statistics, pieces))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(both[name], whole[name], rtol=1e-6)
    white = image_statistics(np.full((4, 20, 20, 3), 255, dtype=np.uint8))
    assert (white["mean"].shape, white["mean"].max(), white["count"]) == ((3, 1, 1), 1.0, 4)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_does_not_replace_what_it_is_made_of(format: str, tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=1, root=tmp_path)
    for name in ("main_data.hdf5", "new"):
        with pytest.raises(ValueError, match="within the exported dataset"):
            export_dataset(dataset, format, dataset.storage.data_path / name, overwrite=True)
    assert check_here(dataset.storage.data_path).is_undamaged


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_overwritten_unasked(
    format: str, sources: dict[str, minari.MinariDataset], exported: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / f"out{ENDINGS[format]}"
    export_dataset(sources["LamReach-v0"], format, out)
    with pytest.raises(FileExistsError, match="overwrite it"):
        export_dataset(sources["LamReach-v0"], format, out)
    export_dataset(sources["LamGraspDiscrete-v0"], format, out, overwrite=True)
    import_dataset(out, format, "came/back-v0", root=tmp_path)
    with pytest.raises(FileExistsError, match="came/back-v0 exists"):
        import_dataset(exported[format], format, "came/back-v0", root=tmp_path)
    again = import_dataset(exported[format], format, "came/back-v0", root=tmp_path, overwrite=True)
    assert plan_of(again)["env_id"] == "LamReach-v0"
    thesis = tmp_path / "thesis" / "text"
    thesis.parent.mkdir()
    thesis.write_text("years of work")
    with pytest.raises(FileExistsError, match=r"is (not a folder with|a folder)[^;]* and is not replaced"):
        export_dataset(sources["LamReach-v0"], format, thesis.parent, overwrite=True)
    assert thesis.exists()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".") and file.name != ".partial"]


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_leaves_what_was_there(
    format: str, sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = importlib.import_module("demos.formats.source")
    out = tmp_path / f"out{ENDINGS[format]}"

    def interrupted(dataset: minari.MinariDataset) -> Any:
        yield next(iter(episodes_of(dataset)))
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(module, "episodes_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_dataset(sources["LamReach-v0"], format, out)
    assert list(tmp_path.iterdir()) == []


def test_what_no_format_has_a_place_for_is_refused(tmp_path: Path) -> None:
    observations, actions = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Dict({"arm": gym.spaces.Box(-1, 1, (2,))})
    dataset = random_dataset(tmp_path, observations, actions, 0)
    for format in FORMATS:
        with pytest.raises(ValueError, match="no format can hold actions of Dict"):
            export_dataset(dataset, format, tmp_path / "out")
    with pytest.raises(ValueError, match="unknown format 'rlds'; expected one of robomimic, lerobot"):
        export_dataset(dataset, "rlds", tmp_path / "out")


def test_actions_beyond_one_are_named_for_robomimic(tmp_path: Path) -> None:
    dataset = random_dataset(tmp_path, gym.spaces.Box(-1, 1, (2,)), box("int16", (2,)), 0)
    assert "from -32768 to 32767 and are not scaled" in export_dataset(dataset, "robomimic", tmp_path / "out.hdf5")[0]


def test_infos_that_not_all_episodes_have_are_named(tmp_path: Path) -> None:
    observations, actions = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (1,))
    with dataset_writer("random/numbers-v0", observations, actions, None, {}, root=tmp_path) as writer:
        for infos in ({"a": np.zeros(3), "b": np.zeros((3, 2))}, {"b": np.zeros((3, 4)), "c": np.zeros(3)}):
            flags = np.zeros(2, dtype=bool)
            zeros = np.zeros((3, 2), dtype=np.float32)
            writer.add(Episode(1, zeros, zeros[:2, :1], np.zeros(2), flags, flags, infos))
    dataset = demos.load("random/numbers-v0", tmp_path)
    losses = export_dataset(dataset, "npz", tmp_path / "out.npz")
    assert [loss.partition(":")[0] for loss in losses] == ["infos/a", "infos/b", "infos/c"]


def test_a_missing_library_is_named(
    sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs PyArrow: pip install 'lam-envs\[demos\]'"):
        export_dataset(sources["LamReach-v0"], "imitation", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_lerobot_names_the_robot_that_an_id_is_registered_with(tmp_path: Path) -> None:
    spec = gym.spec("LamReach-v0")
    keywords = {**spec.kwargs, "robot": "xarm6"}
    gym.register("OtherReach-v0", spec.entry_point, max_episode_steps=5, disable_env_checker=True, kwargs=keywords)
    try:
        dataset = demos.collect("OtherReach-v0", episodes=1, demonstrator="random", keep_failures=True, root=tmp_path)
        export_dataset(dataset, "lerobot", tmp_path / "out")
    finally:
        del gym.registry["OtherReach-v0"]
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["robot_type"] == "xarm6"

"""A dataset's rate is its own: preprocessing changes it, and every format, video, report and learner uses it."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import imageio.v2 as imageio
import minari
import numpy as np
import pyarrow.parquet as parquet
import pytest

import demos
from demos.datasets.environment import make_env
from demos.datasets.episode import Episode
from demos.datasets.metadata import PLAN, SCHEMA, plan_of, rate_of
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer
from demos.formats import export_dataset, import_dataset
from demos.preprocess import CutIdle, Features, Resample, Smooth, preprocess
from demos.preprocess.schema import schema_of
from demos.report.clips import clips

NOTES = ("quality", "strategy")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture(scope="module")
def images(root: Path) -> minari.MinariDataset:
    small = {"image_width": 16, "image_height": 16}
    return demos.collect("LamReachPixels-v0", episodes=2, env_kwargs=small, root=root)


@pytest.fixture(scope="module")
def slow(images: minari.MinariDataset, root: Path) -> minari.MinariDataset:
    """40 steps in 2 seconds become 14."""
    return preprocess(images, [Resample(7)], "ours/slow-v0", root=root)


@pytest.fixture(scope="module")
def reaches(root: Path) -> minari.MinariDataset:
    return demos.collect("LamReach-v0", episodes=2, demonstrator="novice", root=root)


@pytest.fixture(scope="module")
def halved(reaches: minari.MinariDataset, root: Path) -> minari.MinariDataset:
    return preprocess(reaches, [Resample(12.5)], "ours/halved-v0", root=root)


@pytest.fixture(scope="module")
def fast(reaches: minari.MinariDataset, root: Path) -> minari.MinariDataset:
    """It spaces are those of the environment."""
    return preprocess(reaches, [Resample(40)], "ours/fast-v0", root=root)


def rate_and_frames(video: Any) -> tuple[float, list[np.ndarray[Any, Any]]]:
    with imageio.get_reader(video, format="mp4") as reader:  # type: ignore[arg-type]
        return float(reader.get_meta_data()["fps"]), [np.asarray(frame) for frame in reader.iter_data()]


def test_lerobot_has_the_rate_of_the_dataset_in_times_and_video(slow: minari.MinariDataset, tmp_path: Path) -> None:
    losses = export_dataset(slow, "lerobot", tmp_path / "out")
    assert not any("the rate, which" in loss for loss in losses)
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["fps"] == 7
    frames = parquet.read_table(tmp_path / "out" / "data" / "chunk-000" / "file-000.parquet")
    assert frames["timestamp"].to_pylist() == pytest.approx([step / 7 for step in range(14)] * 2, abs=1e-6)
    (video,) = (tmp_path / "out" / "videos" / "observation.images.front").rglob("*.mp4")
    rate, images = rate_and_frames(video)
    assert (rate, len(images)) == (pytest.approx(7), 28)
    assert rate_of(import_dataset(tmp_path / "out", "lerobot", "came/back-v0", root=tmp_path / "root")) == 7


def test_a_rate_that_lerobot_cannot_hold_is_refused(halved: minari.MinariDataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"12\.5 steps per second; LeRobot expects a whole number.*rate=12"):
        export_dataset(halved, "lerobot", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_formats_hold_the_rate_or_report_it_lost(halved: minari.MinariDataset, tmp_path: Path) -> None:
    losses = {
        name: "\n".join(export_dataset(halved, name, tmp_path / name)) for name in ("npz", "robomimic", "imitation")
    }
    assert losses["npz"] == ""
    assert np.load(tmp_path / "npz")["rate"] == [12.5]
    assert "the rate, 12.5 steps per second: LamReach-v0 has 20" in losses["robomimic"]
    assert "by their actions in the environment of env_args: they were changed by resample" in losses["robomimic"]
    assert "the rate, 12.5 steps per second" in losses["imitation"]
    for name in losses:
        back = import_dataset(tmp_path / name, name, f"came/{name}-v0", root=tmp_path / "root")
        assert rate_of(back) == 12.5


def test_files_of_others_keep_their_rate(
    slow: minari.MinariDataset, reaches: minari.MinariDataset, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    export_dataset(slow, "lerobot", tmp_path / "lerobot")
    shutil.rmtree(tmp_path / "lerobot" / "meta" / "lam_envs")
    back = import_dataset(tmp_path / "lerobot", "lerobot", "came/lerobot-v0", root=root)
    assert rate_of(back) == schema_of(back).rate == 7
    export_dataset(back, "npz", tmp_path / "out.npz")
    arrays = {name: array for name, array in np.load(tmp_path / "out.npz").items() if name != "metadata"}
    np.savez(tmp_path / "without.npz", **arrays)
    assert rate_of(import_dataset(tmp_path / "without.npz", "npz", "came/npz-v0", root=root)) == 7
    np.savez(tmp_path / "bad.npz", **{**arrays, "rate": np.array([-1.0])})
    with pytest.raises(ValueError, match="expected one positive number"):
        import_dataset(tmp_path / "bad.npz", "npz", "came/bad-v0", root=root)
    export_dataset(reaches, "robomimic", tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5", "a") as file:
        del file["lam_envs"]
        file["data"].attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": {"control_freq": 30}})
    assert rate_of(import_dataset(tmp_path / "out.hdf5", "robomimic", "came/robomimic-v0", root=root)) == 30


def test_an_import_with_an_environment_keeps_its_rate_and_features(
    reaches: minari.MinariDataset, fast: minari.MinariDataset, tmp_path: Path
) -> None:
    export_dataset(fast, "npz", tmp_path / "out.npz")
    arrays = np.load(tmp_path / "out.npz")
    np.savez(tmp_path / "without.npz", **{name: arrays[name] for name in arrays if name != "metadata"})
    named = import_dataset(tmp_path / "without.npz", "npz", "came/a-v0", root=tmp_path, env_id="LamReach-v0")
    schema = schema_of(named)
    assert (schema.rate, schema.displacements, schema.columns) == (40, 3, schema_of(reaches).columns)


def test_data_that_does_not_fit_the_named_environment_is_refused(
    halved: minari.MinariDataset, tmp_path: Path
) -> None:
    export_dataset(halved, "npz", tmp_path / "out.npz")
    arrays = np.load(tmp_path / "out.npz")
    np.savez(tmp_path / "without.npz", **{name: arrays[name] for name in arrays if name != "metadata"})
    with pytest.raises(ValueError, match=r"actions at step \d+ are outside of Box.*import without env_id"):
        import_dataset(tmp_path / "without.npz", "npz", "came/a-v0", root=tmp_path, env_id="LamReach-v0")
    loose = import_dataset(tmp_path / "without.npz", "npz", "came/a-v0", root=tmp_path)
    assert rate_of(loose) == 12.5


def test_videos_show_the_recorded_states_at_the_rate_of_the_dataset(
    reaches: minari.MinariDataset, tmp_path: Path
) -> None:
    steps = [CutIdle(speed=0.05, keep=0), Resample(5), Smooth()]
    changed = preprocess(reaches, steps, "ours/changed-v0", root=tmp_path)
    demos.render(changed, tmp_path / "a.mp4", episodes=1, size=64)
    rate, frames = rate_and_frames(tmp_path / "a.mp4")
    episode = next(episodes_of(changed))
    assert (rate, len(frames)) == (5, len(episode) + 1)
    env: Any = make_env(changed, render_mode="rgb_array", render_width=64, render_height=64).unwrapped
    for moment in (0, len(episode) // 2, -1):
        env.set_state(episode.infos["state"][moment])
        assert np.abs(env.render().astype(float) - frames[moment]).mean() < 4
    env.close()
    with h5py.File(changed.storage.data_path / "main_data.hdf5", "a") as file:
        del file["episode_0/infos/state"]
    with pytest.raises(ValueError, match="hold no states and were changed by cut-idle, resample, smooth"):
        demos.render(changed, tmp_path / "b.mp4", episodes=1, size=64)


@pytest.mark.slow
def test_episodes_without_states_are_re_executed(reaches: minari.MinariDataset, tmp_path: Path) -> None:
    kept = demos.filter_episodes(reaches, "ours/kept-v0", root=tmp_path)
    with h5py.File(kept.storage.data_path / "main_data.hdf5", "a") as file:
        del file["episode_0/infos/state"]
    for dataset, name in ((reaches, "states.mp4"), (kept, "actions.mp4")):
        demos.render(dataset, tmp_path / name, episodes=1, size=64)
    by_states, by_actions = (rate_and_frames(tmp_path / name)[1] for name in ("states.mp4", "actions.mp4"))
    assert len(by_states) == len(by_actions) == 41
    assert max(np.abs(a.astype(float) - b).mean() for a, b in zip(by_states, by_actions, strict=True)) < 1


def test_reports_and_clips_have_the_rate_of_the_dataset(
    slow: minari.MinariDataset, halved: minari.MinariDataset, tmp_path: Path
) -> None:
    (clip,) = clips(slow, [0])
    assert rate_and_frames(base64.b64decode(clip.video.partition(",")[2]))[0] == pytest.approx(7)
    for dataset, rate in ((slow, 7), (halved, 12.5)):
        page = demos.report(dataset, tmp_path / "page.html", videos=False).read_text()
        assert f"<dt>steps per second</dt><dd>{rate:g}</dd>" in page
        assert demos.describe(dataset)["steps per second"] == rate


def test_episodes_of_other_rates_or_features_are_not_merged(
    reaches: minari.MinariDataset, fast: minari.MinariDataset, tmp_path: Path
) -> None:
    assert (fast.observation_space, fast.action_space) == (reaches.observation_space, reaches.action_space)
    with pytest.raises(ValueError, match=r"has 20 steps per second and ours/fast-v0 has 40; expected equal"):
        demos.merge([reaches, fast], "ours/both-v0", root=tmp_path)
    two = [preprocess(reaches, [Features(add=(f"info/{info}",))], f"ours/{info}-v0", root=tmp_path) for info in NOTES]
    with pytest.raises(ValueError, match="differ in their features"):
        demos.merge(two, "ours/both-v0", root=tmp_path)


def test_numbers_of_other_spaces_have_no_names(reaches: minari.MinariDataset, tmp_path: Path) -> None:
    space = gym.spaces.Box(-10, 10, (3,))
    with dataset_writer(
        "ours/wrapped-v0", space, reaches.action_space, None, {PLAN: plan_of(reaches)}, root=tmp_path
    ) as writer:
        for one in episodes_of(reaches):
            parts = one.__dict__ | {"observations": one.observations[:, :3]}
            writer.add(Episode(**parts))
    schema = schema_of(demos.load("ours/wrapped-v0", tmp_path))
    assert schema.observation_space == space
    assert (schema.columns, schema.rate, schema.displacements) == (None, 20, 3)


@pytest.mark.parametrize("rate", [0, "fast", True, 1e9])
def test_a_damaged_rate_is_named(rate: Any, halved: minari.MinariDataset, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(halved.storage.data_path, copy)
    metadata = json.loads((copy / "metadata.json").read_text())
    metadata[SCHEMA]["rate"] = rate
    (copy / "metadata.json").write_text(json.dumps(metadata))
    damaged = minari.MinariDataset(copy)
    for read in (rate_of, schema_of):
        with pytest.raises(ValueError, match="rate is"):
            read(damaged)

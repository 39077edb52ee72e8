"""Foreign formats: what goes out comes back the same, the libraries themselves read it, and bad files do no harm."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import demos
from demos.checksum import checksum
from demos.dataset import PLAN, episode_seeds, history_of, plan_of
from demos.episode import Episode, episodes_of, identical, leaves
from demos.exchange import FORMATS, export_dataset, films, import_dataset, lerobot
from demos.exchange.lerobot import REST
from demos.exchange.statistics import merged, number_statistics, picture_statistics
from demos.writing import draft_of

ENV_IDS = ("LamReach-v0", "LamGraspGoal-v0", "LamReachPixels-v0", "LamGraspDiscrete-v0")
ENDINGS = {"robomimic": ".hdf5", "lerobot": "", "imitation": "", "npz": ".npz"}
READERS = Path(__file__).parents[2] / ".venv-readers"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, minari.MinariDataset]:
    """A dataset of each kind of observation and action."""
    root = tmp_path_factory.mktemp("sources")
    return {env_id: demos.collect(env_id, episodes=3, quality="noisy", root=root) for env_id in ENV_IDS}


@pytest.fixture(scope="module")
def exported(sources: dict[str, minari.MinariDataset], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The dataset of LamReach in every format; not to be changed."""
    folder = tmp_path_factory.mktemp("exported")
    paths = {name: folder / f"{name}{ENDINGS[name]}" for name in FORMATS}
    for name, path in paths.items():
        export_dataset(sources["LamReach-v0"], name, path)
    return paths


@pytest.fixture
def copies(exported: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same, to be changed."""
    copied = {}
    for name, path in exported.items():
        copied[name] = tmp_path / "copies" / path.name / path.name
        copied[name].parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copied[name])
    return copied


def carried(dataset: minari.MinariDataset, format: str, folder: Path, **keywords: Any) -> minari.MinariDataset:
    """The dataset after an export and an import."""
    path = folder / f"out{ENDINGS[format]}"
    export_dataset(dataset, format, path)
    return import_dataset(path, format, "came/back-v0", root=folder / "root", **keywords)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_what_goes_out_comes_back_the_same(
    env_id: str, format: str, sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
    if "Pixels" in env_id and format in ("lerobot", "imitation"):
        return  # Below: one is lossy, one cannot.
    dataset = sources[env_id]
    back = carried(dataset, format, tmp_path)
    assert checksum(back) == checksum(dataset)
    assert plan_of(back) == plan_of(dataset)
    assert episode_seeds(back) == episode_seeds(dataset)
    assert (back.observation_space, back.action_space) == (dataset.observation_space, dataset.action_space)
    assert back.spec.env_spec == dataset.spec.env_spec
    assert history_of(back) == [{"step": "import", "format": format, "replays": True, "of": dataset.id}]
    for name in ("algorithm_name", "description", "requirements"):
        assert back.storage.metadata[name] == dataset.storage.metadata[name]


@pytest.mark.parametrize("format", FORMATS)
def test_what_came_back_replays_and_goes_out_again(
    format: str, sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
    back = carried(sources["LamReach-v0"], format, tmp_path)
    assert demos.replay(back).identical == 3
    twice = carried(back, format, tmp_path / "again")
    assert checksum(twice) == checksum(back)
    assert [step["step"] for step in history_of(twice)] == ["import", "import"]


@pytest.mark.parametrize("format", FORMATS)
def test_minari_reads_what_was_imported(
    format: str, exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_dataset(exported[format], format, "came/back-v0", root=tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    assert minari.load_dataset("came/back-v0")[0].observations.shape == (41, 18)


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


def test_films_are_all_that_lerobot_loses_of_pictures(
    sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
    dataset = sources["LamReachPixels-v0"]
    back = carried(dataset, "lerobot", tmp_path)
    assert history_of(back)[-1]["replays"] is False
    for before, after in zip(episodes_of(dataset), episodes_of(back), strict=True):
        assert before.seed == after.seed
        for name in ("actions", "rewards", "terminations", "truncations", "infos"):
            assert identical(getattr(before, name), getattr(after, name))
        assert identical(before.observations["robot"], after.observations["robot"])
        for camera in ("front", "wrist"):
            pixels = [episode.observations[camera].astype(float) for episode in (before, after)]
            assert np.abs(pixels[0] - pixels[1]).mean() < 3
            assert identical(before.observations[camera][-1], after.observations[camera][-1])


def test_pictures_stored_as_jpeg_go_out_as_they_are_decoded(tmp_path: Path) -> None:
    dataset = demos.collect("LamReachPixels-v0", episodes=1, jpeg=True, root=tmp_path)
    assert "stored as JPEG" in export_dataset(dataset, "npz", tmp_path / "out.npz")[0]
    back = import_dataset(tmp_path / "out.npz", "npz", "came/back-v0", root=tmp_path)
    assert identical(dataset[0].observations, back[0].observations)
    assert history_of(back)[-1]["replays"] is False


# Any numbers in any spaces.

NUMBERS = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
NAMES = st.text("abz_0", min_size=1, max_size=4)


def box(dtype: str, shape: tuple[int, ...]) -> gym.Space[Any]:
    kind: Any = np.dtype(dtype).type
    if np.dtype(dtype).kind == "f":
        return gym.spaces.Box(-np.inf, np.inf, shape, kind)
    limits = np.iinfo(dtype)
    return gym.spaces.Box(np.full(shape, limits.min, dtype), np.full(shape, limits.max, dtype), shape, kind)


LEAVES = st.one_of(
    st.builds(box, st.sampled_from(NUMBERS), SHAPES),
    st.builds(lambda n, start: gym.spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3)),
    st.builds(gym.spaces.MultiBinary, st.integers(1, 4)),
)
SPACES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(gym.spaces.Dict)
)


def some(space: Any, moments: int, rng: np.random.Generator) -> Any:
    """Random numbers of a space, the most extreme among them."""
    if isinstance(space, gym.spaces.Dict):
        return {name: some(inner, moments, rng) for name, inner in space.spaces.items()}
    shape = (moments, *space.shape)
    if isinstance(space, gym.spaces.Discrete):
        return space.start + rng.integers(space.n, size=shape)
    if isinstance(space, gym.spaces.MultiBinary):
        return rng.integers(2, size=shape, dtype=np.int8)
    if space.dtype.kind == "f":
        limits = np.finfo(space.dtype)
        extremes = [0.0, -0.0, limits.max, limits.min, limits.tiny, limits.smallest_subnormal, limits.eps, 1.0]
    else:
        whole = np.iinfo(space.dtype)
        extremes = [0, 1, whole.min, whole.max]
    return rng.choice(np.array(extremes, dtype=space.dtype), size=shape)


def random_dataset(
    root: Path, observations: gym.Space[Any], actions: gym.Space[Any], seed: int
) -> minari.MinariDataset:
    rng = np.random.default_rng(seed)
    with draft_of("random/numbers-v0", observations, actions, None, {}, root=root) as draft:
        for number in range(int(rng.integers(1, 4))):
            steps = int(rng.integers(1, 5))
            draft.add(
                Episode(
                    seed=int(rng.integers(2**63)) if number else None,
                    observations=some(observations, steps + 1, rng),
                    actions=some(actions, steps, rng),
                    rewards=some(box("float64", ()), steps, rng),
                    terminations=rng.integers(2, size=steps).astype(bool),
                    truncations=rng.integers(2, size=steps).astype(bool),
                    infos={
                        "odd": rng.choice([np.nan, np.inf, 0.1], size=steps + 1),
                        "inner": {"flag": rng.integers(2, size=steps + 1).astype(bool)},
                    },
                )
            )
    return demos.load("random/numbers-v0", root)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=25, deadline=None)
@given(observations=SPACES, actions=LEAVES, seed=st.integers(0, 2**32 - 1))
def test_any_numbers_come_back_the_same(
    format: str, observations: gym.Space[Any], actions: gym.Space[Any], seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = random_dataset(Path(folder), observations, actions, seed)
        refusal = ""
        try:
            back = carried(dataset, format, Path(folder) / "new")
        except ValueError as error:
            refusal = str(error)
        if refusal:
            assert any(words in refusal for words in ("be written as one vector", "same name", "both be named"))
            return
        assert checksum(back) == checksum(dataset)
        assert history_of(back)[-1]["replays"] is False, "without a plan nothing can be replayed"


# The libraries themselves.


@pytest.mark.imitation
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


def read_by(script: str, *arguments: str) -> Any:
    """What a library that is installed apart sees."""
    assert (READERS / ".installed").exists(), "these tests need make .venv-readers/.installed"
    out = Path(arguments[1])
    command = [sys.executable, str(Path(__file__).parent / "readers" / script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(READERS)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stderr
    return np.load(out)


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
    parts = dict(leaves(valid.observations))
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
    states = [dict(leaves(episode.observations))[state] for episode in episodes]
    np.testing.assert_array_equal(seen["observation.state"], np.concatenate([part[:-1] for part in states]))
    np.testing.assert_array_equal(seen["second_episode"], states[1][:-1])
    np.testing.assert_array_equal(seen["action"][:, 0], np.concatenate([episode.actions for episode in episodes]))
    successes = np.concatenate([episode.infos["is_success"][1:] for episode in episodes])
    np.testing.assert_array_equal(seen["next.success"], successes)
    if env_id == "LamReachPixels-v0":
        for camera in ("front", "wrist"):
            frames = np.concatenate([episode.observations[camera][:-1] for episode in episodes])
            films = seen[f"observation.images.{camera}"].transpose(0, 2, 3, 1) * 255
            assert np.abs(films - frames).mean() < 3
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


def test_a_large_lerobot_folder_has_many_files(
    sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lerobot, "LARGEST_MB", dict.fromkeys(lerobot.LARGEST_MB, 0))
    monkeypatch.setattr(lerobot, "TOGETHER", 1)
    monkeypatch.setattr(films, "LARGEST", 0)
    monkeypatch.setattr(films, "FILES_A_CHUNK", 2)
    back = carried(sources["LamReachPixels-v0"], "lerobot", tmp_path)
    assert [len(episode) for episode in episodes_of(back)] == [40, 40, 40]
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
    both = merged(*map(number_statistics, pieces))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(both[name], whole[name], rtol=1e-6)
    white = picture_statistics(np.full((4, 20, 20, 3), 255, dtype=np.uint8))
    assert (white["mean"].shape, white["mean"].max(), white["count"]) == ((3, 1, 1), 1.0, 4)


# Data of others.


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


@pytest.mark.imitation
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
    with pytest.raises(ValueError, match="no longer give them"):
        demos.replay(back)
    with pytest.raises(
        ValueError, match=r"observations are float32 \(41, 18\); expected numbers of shape \(41, 32\)"
    ):
        import_dataset(copies["lerobot"], "lerobot", "came/other-v0", root=tmp_path, env_id="LamGrasp-v0")
    with pytest.raises(ValueError, match="says that it comes from LamReach-v0"):
        import_dataset(copies["npz"], "npz", "came/other-v0", root=tmp_path, env_id="LamGrasp-v0")
    with pytest.raises(ValueError, match="give both or none"):
        import_dataset(copies["npz"], "npz", "came/other-v0", root=tmp_path, env_kwargs={"obs": "goal"})


# Files that do harm, or none any more.


def refused(path: Path, format: str, tmp_path: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match) as raised:
        import_dataset(path, format, "came/bad-v0", root=tmp_path / "root")
    assert str(path) in str(raised.value)
    assert list(demos.installed(tmp_path / "root")) == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_something_else_is_refused(format: str, tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("noise", bytes(range(256)) * 40), ("pickle", pickle.dumps({"a": 1}))):
        path = tmp_path / name
        path.write_bytes(content)
        refused(path, format, tmp_path, "Expected a")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", format, tmp_path, "Expected a")
    with pytest.raises(FileNotFoundError, match="expected a"):
        import_dataset(tmp_path / "none", format, "came/bad-v0", root=tmp_path)


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_are_refused_or_read_and_never_believed(
    format: str, copies: dict[str, Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    path = copies[format]
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        content = file.read_bytes()
        for number in range(12):
            place = int(rng.integers(len(content)))
            spoilt = bytearray(content[:place] if number % 2 else content)
            if number % 2 == 0:
                spoilt[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(spoilt)
            with contextlib.suppress(ValueError):
                back = import_dataset(path, format, "came/bad-v0", root=tmp_path, overwrite=True)
                assert back.total_episodes > 0
        file.write_bytes(content)


def spoil_hdf5(path: Path, what: str) -> None:
    with h5py.File(path, "a") as file:
        demo = file["data/demo_1"]
        if what == "lacks":
            del demo["actions"]
        elif what == "num_samples":
            demo.attrs["num_samples"] = 10**9
        elif what == "finite":
            demo["actions"][3, 1] = np.nan
        elif what == "claims":
            del demo["rewards"]
            demo.create_dataset("rewards", shape=(40, 10**9), dtype="f8", chunks=(1, 1000))
        elif what == "rows":
            del demo["obs/state"]
            demo["obs/state"] = np.zeros((39, 18))
        elif what == "link":
            del demo["rewards"]
            demo["rewards"] = h5py.ExternalLink("/etc/hostname", "x")
        elif what == "external":
            del demo["rewards"]
            demo.create_dataset("rewards", shape=(40,), dtype="u1", external=[("/etc/passwd", 0, 40)])
        elif what == "numbers":
            del demo["rewards"]
            demo["rewards"] = ["text"] * 40
        elif what == "demo_0":
            file.move("data/demo_1", "data/demo_x")
        elif what == "provenance":
            del file["lam_envs/provenance"]
            file["lam_envs/provenance"] = "{}"


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("lacks", "lacks 'actions'"),
        ("num_samples", "num_samples is 1000000000"),
        ("finite", "not finite"),
        ("claims", "claims 320000000000 bytes"),
        ("rows", "expected 40 rows of numbers"),
        ("link", "is a link to elsewhere"),
        ("external", "no array in this file"),
        ("numbers", "expected 40 rows of numbers"),
        ("demo_0", "holds 'demo_x'; expected demo_0"),
        ("provenance", "provenance is damaged"),
    ],
)
def test_bad_robomimic_files_are_refused(what: str, match: str, copies: dict[str, Path], tmp_path: Path) -> None:
    spoil_hdf5(copies["robomimic"], what)
    refused(copies["robomimic"], "robomimic", tmp_path, match)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_no_pickle_in_an_npz_is_loaded(tmp_path: Path) -> None:
    arrays = {
        "episode_ends": [2],
        "observations": np.zeros((3, 3)),
        "actions": np.array([Bomb(tmp_path / "trace")] * 2),
    }
    np.savez(tmp_path / "bad.npz", **arrays)
    refused(tmp_path / "bad.npz", "npz", tmp_path, "actions is object")
    assert not (tmp_path / "trace").exists()


def test_no_array_of_an_npz_is_believed_to_be_larger_than_it_is(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2, 10**12)})
    np.savez(tmp_path / "bad.npz", episode_ends=[2], observations=np.zeros((3, 3)))
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive:
        archive.writestr("actions.npy", header.getvalue() + bytes(100))
    refused(tmp_path / "bad.npz", "npz", tmp_path, r"actions claims the shape \(2, 1000000000000\)")


@pytest.mark.parametrize("name", ["../../evil", "infos/../../evil", "infos//x", "code"])
def test_names_in_an_npz_lead_nowhere(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", episode_ends=[2], observations=np.zeros((3, 3)), actions=np.zeros((2, 1)))
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive:
        content = io.BytesIO()
        np.save(content, np.zeros(3))
        archive.writestr(f"{name}.npy", content.getvalue())
    refused(tmp_path / "bad.npz", "npz", tmp_path, "it holds")


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"episode_ends": [2, 2]}, "does not grow"),
        ({"episode_ends": [3]}, "has 3 rows; expected 4"),
        ({"episode_ends": [[2]]}, "one an episode"),
        ({"actions": np.full((2, 1), np.inf)}, "not finite"),
        ({"rewards": np.zeros((2, 2))}, "one a step"),
        ({"observations": None}, "lacks observations"),
        ({"episode_ends": None}, "episode_ends"),
        ({"actions": np.array(["a", "b"])}, "expected numbers"),
    ],
)
def test_bad_arrays_are_refused(arrays: dict[str, Any], match: str, tmp_path: Path) -> None:
    good = {"episode_ends": [2], "observations": np.zeros((3, 3)), "actions": np.zeros((2, 1))}
    kept = {name: array for name, array in {**good, **arrays}.items() if array is not None}
    np.savez(tmp_path / "bad.npz", **kept)
    refused(tmp_path / "bad.npz", "npz", tmp_path, match)


@pytest.mark.imitation
def test_no_info_of_a_trajectory_is_made_into_an_object(tmp_path: Path) -> None:
    serialize = importlib.import_module("imitation.data.serialize")
    types = importlib.import_module("imitation.data.types")
    for number, info in enumerate(
        ({"a": Bomb(tmp_path / "trace")}, {"a": [{"b": np.zeros(2)}]}, {"a": 1 + 2j}, {"a": "text"})
    ):
        trajectory = types.Trajectory(np.zeros((2, 1)), np.zeros((1, 1)), np.array([info]), True)
        serialize.save(tmp_path / str(number), [trajectory])
        refused(tmp_path / str(number), "imitation", tmp_path, "would be made into an object|holds 'text'")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["../out.arrow", "/etc/passwd", "a/../../b", "..", 3])
def test_trajectories_name_no_file_elsewhere(name: Any, copies: dict[str, Path], tmp_path: Path) -> None:
    (copies["imitation"] / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    refused(copies["imitation"], "imitation", tmp_path, "expected names of files in this folder")


def test_a_changed_folder_of_trajectories_is_refused(copies: dict[str, Path], tmp_path: Path) -> None:
    sidecar = copies["imitation"] / "lam_envs.jsonl"
    lines = sidecar.read_text().splitlines()
    sidecar.write_text("\n".join(lines[:-1]))
    refused(copies["imitation"], "imitation", tmp_path, "fewer lines than there are trajectories")


def edited_info(folder: Path, **changes: Any) -> None:
    file = folder / "meta" / "info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("feature", "match"),
    [
        ("../../../evil", "has the feature"),
        ("observation/images", "has the feature"),
        ("..", "has the feature"),
        ("observation..x", "has the feature"),
    ],
)
def test_lerobot_features_are_no_paths(feature: str, match: str, copies: dict[str, Path], tmp_path: Path) -> None:
    info = json.loads((copies["lerobot"] / "meta" / "info.json").read_text())
    features = {**info["features"], feature: {"dtype": "video", "shape": [8, 8, 3], "names": None}}
    edited_info(copies["lerobot"], features=features)
    refused(copies["lerobot"], "lerobot", tmp_path, match)


def test_bad_lerobot_folders_are_refused(copies: dict[str, Path], tmp_path: Path) -> None:
    folder = copies["lerobot"]
    info = json.loads((folder / "meta" / "info.json").read_text())
    for changes, match in (
        ({"codebase_version": "v2.1"}, "convert_dataset_v21_to_v30"),
        ({"fps": 0}, "frames a second"),
        ({"fps": float("nan")}, "frames a second"),
        ({"features": {"action": info["features"]["action"]}}, "lacks the features"),
        ({"features": {**info["features"], "info.x": {"dtype": "float32", "shape": [10**10]}}}, "claims the shape"),
        ({"features": {**info["features"], "info.x": {"dtype": "float32", "shape": [1]}}}, "lacks the columns"),
    ):
        edited_info(folder, **{**info, **changes})
        if "columns" in match:
            (folder / "meta/lam_envs/provenance.json").unlink()
        refused(folder, "lerobot", tmp_path, match)


def test_a_lerobot_folder_with_fewer_episodes_than_it_tells_is_refused(
    copies: dict[str, Path], tmp_path: Path
) -> None:
    folder = copies["lerobot"]
    file = folder / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 80), file)
    refused(folder, "lerobot", tmp_path, "tells of more than the 2 episodes")
    pq.write_table(pa.concat_tables([table.slice(0, 39), table.slice(40)]), file)
    refused(folder, "lerobot", tmp_path, "does not tell of episode 0 with 39 frames")
    pq.write_table(table, file)
    rest = pq.read_table(folder / REST)
    pq.write_table(rest.slice(0, 2), folder / REST)
    refused(folder, "lerobot", tmp_path, "fewer rows than there are episodes")


def test_a_lerobot_folder_without_its_films_is_refused(
    sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
    export_dataset(sources["LamReachPixels-v0"], "lerobot", tmp_path / "out")
    film = next((tmp_path / "out" / "videos").rglob("*.mp4"))
    content = film.read_bytes()
    for spoilt in (content[: len(content) // 2], b"no film", b""):
        film.write_bytes(spoilt)
        refused(tmp_path / "out", "lerobot", tmp_path, "film")
    film.unlink()
    refused(tmp_path / "out", "lerobot", tmp_path, "Expected a folder of LeRobot")


def test_a_file_names_no_code_to_run(copies: dict[str, Path], tmp_path: Path) -> None:
    file = copies["lerobot"] / "meta" / "lam_envs" / "provenance.json"
    provenance = json.loads(file.read_text())
    for changes in (
        {"entry_point": "os:system"},
        {"vector_entry_point": "os:system"},
        {"additional_wrappers": [{"name": "x", "entry_point": "os:system", "kwargs": {}}]},
        {"id": "LamNone-v0"},
    ):
        spec = {**json.loads(provenance["env_spec"]), **changes}
        file.write_text(json.dumps({**provenance, "env_spec": json.dumps(spec)}))
        back = import_dataset(copies["lerobot"], "lerobot", "came/back-v0", root=tmp_path, overwrite=True)
        assert back.spec.env_spec is None


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
    with pytest.raises(FileExistsError, match="is no dataset of this format"):
        export_dataset(sources["LamReach-v0"], format, thesis.parent, overwrite=True)
    assert thesis.exists()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".") and file.name != ".partial"]


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_leaves_what_was_there(
    format: str, sources: dict[str, minari.MinariDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = importlib.import_module("demos.exchange.source")
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
        with pytest.raises(ValueError, match="no format has a place for actions of Dict"):
            export_dataset(dataset, format, tmp_path / "out")
    with pytest.raises(ValueError, match="unknown format 'rlds'; expected one of robomimic, lerobot"):
        export_dataset(dataset, "rlds", tmp_path / "out")


def test_actions_beyond_one_are_named_for_robomimic(tmp_path: Path) -> None:
    dataset = random_dataset(tmp_path, gym.spaces.Box(-1, 1, (2,)), box("int16", (2,)), 0)
    assert "from -32768 to 32767, and not scaled" in export_dataset(dataset, "robomimic", tmp_path / "out.hdf5")[0]


def test_infos_that_not_all_episodes_have_are_named(tmp_path: Path) -> None:
    observations, actions = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (1,))
    with draft_of("random/numbers-v0", observations, actions, None, {}, root=tmp_path) as draft:
        for infos in ({"a": np.zeros(3), "b": np.zeros((3, 2))}, {"b": np.zeros((3, 4)), "c": np.zeros(3)}):
            flags = np.zeros(2, dtype=bool)
            zeros = np.zeros((3, 2), dtype=np.float32)
            draft.add(Episode(1, zeros, zeros[:2, :1], np.zeros(2), flags, flags, infos))
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

"""Datasets: collected whole or not at all, readable by Minari, repeatable to the bit, and clear when damaged."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from typer.testing import CliRunner

import demos
from demos.__main__ import app
from demos.collection.plan import Plan
from demos.collection.shards import Recorder
from demos.commands import collect as collect_command
from demos.datasets.environment import make_env
from demos.datasets.metadata import episode_seeds
from demos.preprocess import Resample, preprocess
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

from ...conftest import Make


def contents(dataset: minari.MinariDataset) -> list[Any]:
    return [
        (episode.observations.tobytes(), episode.actions.tobytes(), episode.infos["state"].tobytes())
        for episode in dataset.iterate_episodes()
    ]


def test_a_dataset_has_what_is_needed_to_repeat_it(datasets: Any) -> None:
    root, ids = datasets
    dataset = demos.load(ids["LamGrasp-v0"], root)
    assert dataset.total_episodes == 6
    assert dataset.total_steps == 6 * 60
    assert len(set(episode_seeds(dataset))) == 6
    episode = dataset[0]
    assert episode.observations.shape == (61, *dataset.observation_space.shape)
    assert episode.actions.dtype == np.float32
    assert episode.infos["state"].shape[0] == 61
    assert episode.infos["is_success"][-1]
    assert make_env(dataset).spec.id == "LamGrasp-v0"  # type: ignore[union-attr]
    about = demos.describe(dataset)
    assert about["success rate"] == 1.0
    assert about["libraries"]["pybullet"]
    assert about["versions"]["task grasp"] == 1


def test_minari_itself_reads_a_dataset(datasets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ids = datasets
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert set(minari.list_local_datasets()) == set(ids.values())
    assert minari.load_dataset(ids["LamReach-v0"]).total_episodes == 6


@pytest.mark.parametrize("name", ["LamReach-v0", "LamGrasp-v0"])
def test_every_replayed_episode_is_bit_identical(name: str, datasets: Any) -> None:
    root, ids = datasets
    report = demos.replay(demos.load(ids[name], root))
    assert (report.identical, report.episodes, report.successes) == (6, 6, 6)


@pytest.mark.slow
@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("task", TASKS)
def test_actions_and_states_of_every_task_replay(task: str, robot: str, tmp_path: Path) -> None:
    dataset = demos.collect(
        env_id(task),
        episodes=2,
        demonstrator="noisy",
        keep_failures=True,
        env_kwargs={"robot": robot, "instruct": True, "randomize": "physics"},
        root=tmp_path,
    )
    assert demos.replay(dataset).identical == 2
    # A recorded state continues the same in two environments, one of which has had other episodes.
    envs: list[Any] = [make_env(dataset).unwrapped for _ in range(2)]
    for episode in dataset.iterate_episodes():
        middle = len(episode.actions) // 2
        follow = []
        for env in envs:
            env.set_state(episode.infos["state"][middle])
            np.testing.assert_array_equal(env.physical_state(), episode.infos["state"][middle])
            steps = [env.step(action) for action in episode.infos["executed_action"][middle + 1 :]]
            follow.append([step[0]["state"].tobytes() for step in steps])
        assert follow[0] == follow[1]
        envs[1].reset(seed=5)
    for env in envs:
        env.close()


def test_goal_and_discrete_datasets_replay_too(tmp_path: Path) -> None:
    for name in ("LamReachGoal-v0", "LamGraspDiscrete-v0"):
        dataset = demos.collect(name, episodes=2, root=tmp_path)
        assert demos.replay(dataset).identical == 2


def test_a_replay_finds_what_was_changed(datasets: Any, tmp_path: Path) -> None:
    import h5py

    root, ids = datasets
    shutil.copytree(demos.load(ids["LamGrasp-v0"], root).storage.data_path, tmp_path / "data")
    with h5py.File(tmp_path / "data" / "main_data.hdf5", "a") as file:
        actions = file["episode_2/actions"][()]
        actions[10, 0] += np.float32(1e-6)
        file["episode_2/actions"][...] = actions
    report = demos.replay(demos.load(tmp_path / "data"))
    assert [number for number, _ in report.differences] == [2]


def test_the_same_call_gives_the_same_dataset(tmp_path: Path) -> None:
    first = demos.collect("LamReach-v0", episodes=2, seed=3, root=tmp_path / "a")
    second = demos.collect("LamReach-v0", episodes=2, seed=3, root=tmp_path / "b")
    longer = demos.collect("LamReach-v0", episodes=3, seed=3, root=tmp_path / "b")
    other = demos.collect("LamReach-v0", episodes=2, seed=4, root=tmp_path / "b")
    assert contents(first) == contents(second) == contents(longer)[:2]
    assert not set(contents(first)) & set(contents(other))


def test_whole_shards_are_not_collected_again(
    small_shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    real = Recorder.episode

    def interrupted(self: Recorder, index: int) -> Any:
        if index == small_shards + 2 == len(recorded):
            raise KeyboardInterrupt
        recorded.append(index)
        return real(self, index)

    monkeypatch.setattr(Recorder, "episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demos.collect("LamReach-v0", episodes=2 * small_shards, root=tmp_path)
    assert recorded == list(range(small_shards + 2))
    demos.collect("LamReach-v0", episodes=2 * small_shards, root=tmp_path)
    assert recorded[small_shards + 2 :] == list(range(small_shards, 2 * small_shards))


def test_a_dataset_that_is_there_is_kept(tmp_path: Path) -> None:
    made = demos.collect("LamReach-v0", episodes=2, dataset_id="mine-v0", root=tmp_path)
    file = Path(made.storage.data_path) / "main_data.hdf5"
    before = file.stat().st_mtime_ns
    demos.collect("LamReach-v0", episodes=2, dataset_id="mine-v0", root=tmp_path)
    assert file.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"other settings \(episodes: found 2, requested 3\)"):
        demos.collect("LamReach-v0", episodes=3, dataset_id="mine-v0", root=tmp_path)
    assert demos.load("mine-v0", tmp_path).total_episodes == 2
    assert (
        demos.collect("LamReach-v0", episodes=3, dataset_id="mine-v0", root=tmp_path, overwrite=True).total_episodes
        == 3
    )


def test_two_collections_of_one_dataset_do_not_mix(tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / ".partial").mkdir()
    with FileLock(tmp_path / ".partial" / "mine-v0.lock"), pytest.raises(FileExistsError, match="another process"):
        demos.collect("LamReach-v0", episodes=1, dataset_id="mine-v0", root=tmp_path)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"env_id": "LamGraps-v0", "episodes": 1},
            r"unknown environment 'LamGraps-v0' \(did you mean 'LamGrasp-v0'\?\)\. Known: LamReach-v0",
        ),
        ({"env_id": "LamReach-v0", "episodes": 0}, "episodes is 0"),
        ({"env_id": "LamReach-v0", "episodes": 1, "seed": -1}, "seed is -1"),
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "../out-v0"}, "malformed dataset id"),
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "/tmp/out-v0"}, "malformed dataset id"),  # noqa: S108
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "noversion"}, "malformed dataset id"),
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "lam/a-v0/data/b-v0"}, "none called data"),
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "--v0"}, "malformed dataset id"),
        ({"env_id": "LamReach-v0", "episodes": 1, "dataset_id": "s/one-v0"}, "a namespace of two or more"),
        ({"env_id": "LamReach-v0", "episodes": 1, "env_kwargs": {"robot": "x"}}, "unknown robot"),
    ],
)
def test_a_bad_request_leaves_nothing_behind(keywords: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        demos.collect(root=tmp_path / "root", **keywords)
    assert list(tmp_path.rglob("*")) == []


def test_an_overwrite_keeps_the_old_dataset_until_the_new_one_is_whole(
    small_shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = 2 * small_shards
    demos.collect("LamReach-v0", episodes=2, dataset_id="mine-v0", root=tmp_path)
    real = Recorder.episode
    recorded: list[int] = []

    def interrupted(self: Recorder, index: int) -> Any:
        recorded.append(index)
        if len(recorded) == small_shards + 2:
            raise KeyboardInterrupt
        return real(self, index)

    monkeypatch.setattr(Recorder, "episode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        demos.collect("LamReach-v0", episodes=episodes, dataset_id="mine-v0", root=tmp_path, overwrite=True)
    assert demos.load("mine-v0", tmp_path).total_episodes == 2
    recorded[:] = []
    again = demos.collect("LamReach-v0", episodes=episodes, dataset_id="mine-v0", root=tmp_path, overwrite=True)
    assert again.total_episodes == episodes
    assert recorded == list(range(small_shards, episodes)), "the whole shard was collected again"


def test_a_missing_dataset_is_named_with_those_there_are(datasets: Any) -> None:
    root, ids = datasets
    with pytest.raises(FileNotFoundError, match=f"no dataset 'lam/none-v0' .*existing: .*{ids['LamReach-v0']}"):
        demos.load("lam/none-v0", root)


@pytest.mark.parametrize(
    ("dataset_id", "settings"),
    [
        ("lam/LamReach-expert-20-seed0-v0", {"episodes": 20}),
        (
            "lam/LamPickPlacePixels-noisy-all-failures-jpeg-5-seed7-v0",
            {
                "episodes": 5,
                "seed": 7,
                "demonstrator": "noisy",
                "strategy": "all",
                "keep_failures": True,
                "jpeg": True,
            },
        ),
        ("lam/LamGrasp-robot-xarm6-expert-20-seed0-v0", None),
        ("lam/LamNone-expert-20-seed0-v0", None),
        ("none-v0", None),
    ],
)
def test_the_error_for_a_missing_dataset_has_the_command_that_collects_it(
    dataset_id: str, settings: dict[str, Any] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        demos.load(dataset_id, tmp_path)
    advice = str(raised.value).partition("(existing: none). ")[2]
    if settings is None:
        assert advice == f"List all: python -m demos list --root {tmp_path}"
        return
    given: dict[str, Any] = {}
    monkeypatch.setattr(collect_command, "record_dataset", lambda env, **options: given.update(env_id=env, **options))
    monkeypatch.setattr(collect_command, "print_summary", lambda dataset: None)
    words = advice.removeprefix("Collect it: python -m demos ").split()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    names = [field.name for field in fields(Plan) if field.name in given]
    plan = Plan(**{name: given[name] for name in names})
    assert plan.default_id() == dataset_id
    assert {name: getattr(plan, name) for name in settings} == settings
    assert given["root"] == tmp_path


@pytest.mark.parametrize("call", ["collect", "make_expert"])
def test_an_environment_and_an_id_are_not_confused(call: str, make: Make) -> None:
    if call == "collect":
        with pytest.raises(TypeError, match=r"env_id is <TimeLimit.*>: expected an id, such as LamReach-v0"):
            demos.collect(make("LamReach-v0"), episodes=1)  # type: ignore[arg-type]
    else:
        with pytest.raises(TypeError, match=r"env is 'LamReach-v0': expected an environment: gym\.make"):
            demos.make_expert("LamReach-v0")  # type: ignore[arg-type]


@pytest.fixture
def copied(datasets: Any, tmp_path: Path) -> Path:
    root, ids = datasets
    return Path(shutil.copytree(demos.load(ids["LamReach-v0"], root).storage.data_path, tmp_path / "data"))


@pytest.mark.parametrize("left", [0, 100, 5_000, 100_000])
def test_a_truncated_data_file_is_reported(left: int, copied: Path) -> None:
    file = copied / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"damaged or incomplete .*--repair NEW-ID"):
        demos.load(copied)


def test_missing_and_broken_metadata_are_reported(copied: Path) -> None:
    file = copied / "metadata.json"
    text = file.read_text()
    for broken in ("", text[: len(text) // 2], "[]", "{}"):
        file.write_text(broken)
        with pytest.raises(ValueError, match="damaged or incomplete"):
            demos.load(copied)
    file.unlink()
    with pytest.raises(ValueError, match="damaged or incomplete"):
        demos.load(copied)


def test_a_lost_episode_is_reported(copied: Path) -> None:
    import h5py

    with h5py.File(copied / "main_data.hdf5", "a") as file:
        del file["episode_3"]
    with pytest.raises(ValueError, match="5 of 6 episodes"):
        demos.load(copied)


@pytest.mark.parametrize("where", ["episode_2/infos/more", "episode_2/actions", "episode_2/more"])
def test_a_dataset_reads_no_other_file(where: str, copied: Path, tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "other.hdf5", "w") as other:
        other["values"] = np.zeros(51)
    with h5py.File(copied / "main_data.hdf5", "a") as file:
        file.pop(where, None)
        file[where] = h5py.ExternalLink(str(tmp_path / "other.hdf5"), "values")
    with pytest.raises(ValueError, match=f"{where} is a link; expected data in this file"):
        demos.load(copied)


def test_an_array_lies_in_the_data_file(copied: Path, tmp_path: Path) -> None:
    import h5py

    secret = tmp_path / "secret"
    secret.write_bytes(bytes(51 * 8))
    with h5py.File(copied / "main_data.hdf5", "a") as file:
        shape, steps = file["episode_2/rewards"].shape, int(file["episode_2"].attrs["total_steps"])
        del file["episode_2/rewards"]
        file["episode_2"].create_dataset("rewards", shape, "f8", external=[(str(secret), 0, 8 * steps)])
    with pytest.raises(ValueError, match="rewards of episode_2 is stored in another file"):
        demos.load(copied)


def test_a_file_in_place_of_the_folder_of_all_datasets_is_named(tmp_path: Path) -> None:
    place = tmp_path / "datasets"
    place.write_text("")
    with pytest.raises(NotADirectoryError, match="datasets is a file; expected the folder of all datasets"):
        demos.collect("LamReach-v0", episodes=1, root=place)
    with pytest.raises(NotADirectoryError, match="datasets is a file; expected the folder of all datasets"):
        demos.load("lam/x-v0", place)


def test_a_dataset_names_no_code_to_run(copied: Path, tmp_path: Path) -> None:
    file = copied / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["lam_envs_plan"]["env_id"] = "os:system-v0"
    spec = json.loads(metadata["env_spec"])
    spec["entry_point"] = "os:system"
    metadata["env_spec"] = json.dumps(spec)
    file.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="was collected in 'os:system-v0', which is not registered"):
        make_env(demos.load(copied))


def test_an_overwrite_replaces_no_folder_that_is_no_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "notes-v0" / "data"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is not a dataset"):
        demos.collect("LamReach-v0", episodes=1, dataset_id="notes-v0", root=tmp_path, overwrite=True)
    assert (folder / "thesis.txt").exists()


def test_shards_that_do_not_say_what_they_are_of_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = importlib.import_module("demos.collection.collect")
    with monkeypatch.context() as broken:
        broken.setattr(module, "merge", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            demos.collect("LamReach-v0", episodes=2, seed=3, dataset_id="mine-v0", root=tmp_path)
    partial = tmp_path / ".partial" / "mine-v0"
    assert (partial / "shard-00000-2").exists()
    (partial / "plan.json").unlink()
    mixed = demos.collect("LamReach-v0", episodes=2, seed=9, dataset_id="mine-v0", root=tmp_path)
    assert contents(mixed) == contents(demos.collect("LamReach-v0", episodes=2, seed=9, root=tmp_path))


@pytest.mark.parametrize("spoilt", ["actions", "observations", "infos/is_success", "rewards", "short observations"])
def test_an_episode_that_lacks_a_part_is_reported(spoilt: str, copied: Path) -> None:
    import h5py

    with h5py.File(copied / "main_data.hdf5", "a") as file:
        if spoilt == "short observations":
            short = file["episode_1/observations"][:20]
            del file["episode_1/observations"]
            file["episode_1/observations"] = short
        else:
            del file[f"episode_1/{spoilt}"]
    with pytest.raises(ValueError, match="damaged or incomplete"):
        demos.load(copied)


def test_a_video_that_does_not_fit_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, numpy as np; from demos.collection.video import write_video;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "noise = np.random.default_rng(0).integers(256, size=(10, 64, 64, 3), dtype=np.uint8);"
        f"write_video(list(noise), {str(tmp_path / 'video.mp4')!r}, 20)"
    )
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert failed.returncode != 0
    assert "Error" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_videos_are_whole_or_absent(datasets: Any, tmp_path: Path) -> None:
    import imageio.v2 as imageio

    root, ids = datasets
    # Each image takes a while to draw: a fifth of a second apart, there are eleven.
    dataset = preprocess(demos.load(ids["LamReach-v0"], root), [Resample(5)], "ours/slow-v0", root=tmp_path / "root")
    videos = tmp_path / "videos"
    videos.mkdir()
    path = demos.render(dataset, videos / "video.mp4", episodes=1, size=64)
    assert sum(1 for _ in imageio.get_reader(path)) == len(dataset[0].actions) + 1 == 11
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        demos.render(dataset, videos / "video.avi", episodes=1, size=64)
    with pytest.raises(ValueError, match="expected a positive even number"):
        demos.render(dataset, videos / "odd.mp4", size=63)
    assert [file.name for file in videos.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize("call", [demos.replay, demos.replay_states, demos.checksum, demos.statistics, demos.plan_of])
def test_the_id_of_a_dataset_in_place_of_the_dataset_is_explained(call: Any) -> None:
    with pytest.raises(TypeError, match=r"found 'mine-v0'; expected a dataset: open it by demos.load\('mine-v0'\)"):
        call("mine-v0")

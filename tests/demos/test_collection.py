"""Collections: the same by any number of workers, by each demonstrator and strategy, and by third-party policies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from filelock import FileLock

import demos
from demos.collection.demonstrators import DEMONSTRATORS, MIXED
from demos.collection.plan import Plan, episode_seed
from demos.collection.shards import begin_run, shards_of, write_shard
from demos.collection.strategies import STRATEGIES
from demos.datasets.checksum import checksum, episode_digest
from lam_envs.registration import TASKS, env_id

COLLECT = [sys.executable, "-m", "demos", "collect"]
TWO_SHARDS = 26
"""As few episodes as two workers can share."""
BOX = gym.spaces.Box(-1.0, 1.0, (2,))


def collected(root: Path, *arguments: str, **more: Any) -> minari.MinariDataset:
    """Collect by the command and opens what it made."""
    command = [*COLLECT, *arguments, "--id", "made-v0", "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return demos.load("made-v0", root)


@pytest.mark.usefixtures("server")
def test_two_workers_record_what_one_does(small_shards: int, tmp_path: Path) -> None:
    one, two = (
        demos.collect(
            "LamReach-v0",
            episodes=2 * small_shards + 1,
            demonstrator="mixed",
            strategy="all",
            workers=workers,
            root=tmp_path / str(workers),
        )
        for workers in (1, 2)
    )
    assert one.total_episodes == two.total_episodes == 2 * small_shards + 1
    assert checksum(one) == checksum(two)
    assert demos.replay(two).identical == 2 * small_shards + 1


def test_the_prefix_of_an_id_changes_nothing(tmp_path: Path) -> None:
    plain, prefixed = (
        demos.collect(env_id, episodes=1, root=tmp_path / str(len(env_id)))
        for env_id in ("LamReach-v0", "lam_envs:LamReach-v0")
    )
    assert prefixed.id == plain.id
    assert checksum(prefixed) == checksum(plain)


def test_a_complete_dataset_is_returned_while_another_process_also_asks_for_it(tmp_path: Path) -> None:
    made: Any = {"episodes": 1, "dataset_id": "made-v0", "root": tmp_path}
    first = demos.collect("LamReach-v0", **made)
    # Trainings that begin at the same moment collect the same dataset.
    with FileLock(tmp_path / ".partial" / "made-v0.lock"):
        assert checksum(demos.collect("LamReach-v0", **made)) == checksum(first)


@pytest.mark.usefixtures("server")
def test_a_killed_collection_by_two_workers_goes_on_and_comes_out_the_same(tmp_path: Path) -> None:
    arguments = ["LamReach-v0", "--episodes", str(TWO_SHARDS), "--id", "made-v0", "--workers", "2"]
    command = [*COLLECT, *arguments, "--root", str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 100
        while not list((tmp_path / "killed").glob(".partial/*/shard-*")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert process.poll() is None, "the collection ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    # Neither half a dataset nor a lock is in the way.
    assert list(demos.installed(tmp_path / "killed")) == []
    made: Any = {"episodes": TWO_SHARDS, "dataset_id": "made-v0"}
    resumed = demos.collect("LamReach-v0", workers=2, root=tmp_path / "killed", **made)
    whole = demos.collect("LamReach-v0", root=tmp_path / "whole", **made)
    assert checksum(resumed) == checksum(whole)
    assert not list((tmp_path / "killed" / ".partial").glob("*/"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_twenty_kills_at_random_moments_change_nothing(workers: str, tmp_path: Path) -> None:
    """Some fall into the start, some into a shard, some into the end, when shards are put together."""
    rng = np.random.default_rng(0)
    arguments = ["LamGrasp-v0", "--episodes", "1000", "--demonstrator", "mixed"]
    command = [*COLLECT, *arguments, "--workers", workers, "--id", "made-v0", "--root", str(tmp_path / "killed")]
    unfinished = 0
    for _ in range(20):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=float(rng.uniform(1.0, 9.0)))
        unfinished += process.poll() is None
        # Now the parent alone, whose workers notice, now all at once.
        with contextlib.suppress(ProcessLookupError):
            (os.kill if rng.random() < 0.5 else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
    assert unfinished >= 5
    resumed = collected(tmp_path / "killed", *arguments, "--workers", workers)
    whole = collected(tmp_path / "whole", *arguments)
    assert resumed.total_episodes == 1000
    assert checksum(resumed) == checksum(whole)
    assert not list((tmp_path / "killed" / ".partial").glob("*/"))


def test_a_worker_that_outlives_its_run_finishes_nothing(small_shards: int, tmp_path: Path) -> None:
    plan, spec = Plan("LamReach-v0", episodes=3 * small_shards), gym.spec("LamReach-v0")
    first = begin_run(tmp_path)
    before, during, after = shards_of(3 * small_shards, gym.spaces.Box(0.0, 1.0, (3,)))
    write_shard(plan, spec, before, first)
    with pytest.raises(OSError, match="No such file"):
        write_shard(plan, spec, during, first, lambda: begin_run(tmp_path) and None)
    with pytest.raises(FileNotFoundError):
        write_shard(plan, spec, after, first)
    assert before.folder(tmp_path).exists()
    assert not during.folder(tmp_path).exists()
    assert not after.folder(tmp_path).exists()
    assert not first.exists()


def test_collections_of_images_are_divided_among_more_workers() -> None:
    image, vector = gym.spaces.Box(0, 255, (84, 84, 3), np.uint8), gym.spaces.Box(0.0, 1.0, (3,))
    assert [shard.size for shard in shards_of(60, vector)] == [25, 25, 10]
    for space in (image, gym.spaces.Dict({"state": vector, "front": image})):
        found = shards_of(30, space)
        assert [shard.size for shard in found] == [4] * 7 + [2]
        assert [shard.first for shard in found] == list(range(0, 30, 4))


def test_a_dataset_of_images_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    keywords = {"image_width": 24, "image_height": 24, "max_episode_steps": 5}
    found = [
        demos.collect(
            "LamReachPixels-v0", episodes=6, env_kwargs=keywords, workers=workers, root=tmp_path / f"{workers}",
            keep_failures=True,
        )
        for workers in (1, 2)
    ]  # fmt: skip
    assert checksum(found[0]) == checksum(found[1])


def success_rate(dataset: minari.MinariDataset) -> float:
    return float(np.mean([episode.infos["is_success"][-1] for episode in dataset.iterate_episodes()]))


@pytest.mark.parametrize("demonstrator", [*DEMONSTRATORS, MIXED])
@pytest.mark.parametrize("control", ["ee", pytest.param("discrete", marks=pytest.mark.slow)])
def test_every_demonstrator_repeats_bit_by_bit(demonstrator: str, control: str, tmp_path: Path) -> None:
    dataset = demos.collect(
        "LamReach-v0", episodes=2, demonstrator=demonstrator, env_kwargs={"control": control}, root=tmp_path
    )
    assert demos.replay(dataset).identical == 2


def test_labels_of_noisy_demonstrations_are_what_the_expert_would_do(tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=3, demonstrator="noisy", root=tmp_path)
    env: Any = gym.make("LamReach-v0")
    expert = demos.make_expert(env)
    for episode in dataset.iterate_episodes():
        # The expert acts on the exact scene, a dataset holds observations of 32 bits.
        env.reset(seed=0)
        for observation, label in zip(episode.observations, episode.actions, strict=False):
            np.testing.assert_allclose(expert.predict(observation)[0], label, atol=1e-3)
        noise = episode.infos["executed_action"][1:] - episode.actions
        assert 0.02 < np.abs(noise).mean() < 0.25
    env.close()


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task == "reach" else [pytest.mark.slow]) for task in TASKS]
)
def test_novices_mostly_succeed_and_take_longer(task: str, tmp_path: Path) -> None:
    def steps_to_success(dataset: minari.MinariDataset) -> float:
        first = [np.argmax(episode.infos["is_success"]) for episode in dataset.iterate_episodes()]
        return float(np.mean(first))

    made = {
        demonstrator: demos.collect(
            env_id(task), episodes=5, demonstrator=demonstrator, keep_failures=True, root=tmp_path
        )
        for demonstrator in ("expert", "novice")
    }
    assert success_rate(made["novice"]) >= 0.6
    assert steps_to_success(made["novice"]) > 1.2 * steps_to_success(made["expert"])


@pytest.mark.slow
def test_strategies_lead_to_the_same_end_by_other_ways(tmp_path: Path) -> None:
    paths = {}
    for name in STRATEGIES:
        dataset = demos.collect("LamGrasp-v0", episodes=3, strategy=name, root=tmp_path)
        assert success_rate(dataset) == 1.0
        paths[name] = np.array([episode.observations[:12, :3] for episode in dataset.iterate_episodes()])
    # The first numbers are where the tool is, in units of 20 cm: y to the left, z up.
    assert paths["high"][..., 2].mean() > paths["direct"][..., 2].mean() + 0.05
    apart = np.abs(paths["left"][..., :2] - paths["right"][..., :2]).max(axis=(1, 2))
    assert (apart > 0.05).sum() >= 2


def test_infos_and_metadata_say_how_an_episode_was_acted(tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=16, demonstrator="mixed", strategy="all", root=tmp_path)
    plan = demos.plan_of(dataset)
    demonstrators = {plan["qualities"][int(episode.infos["quality"][0])] for episode in dataset.iterate_episodes()}
    strategies = {plan["strategies"][int(episode.infos["strategy"][0])] for episode in dataset.iterate_episodes()}
    assert demonstrators == set(DEMONSTRATORS)
    assert strategies == set(STRATEGIES)


def test_failures_are_kept_when_asked(tmp_path: Path) -> None:
    # Most attempts do not succeed in so few steps.
    settings: Any = {"episodes": 6, "demonstrator": "novice", "env_kwargs": {"max_episode_steps": 14}}
    kept = demos.collect("LamReach-v0", keep_failures=True, root=tmp_path, **settings)
    assert success_rate(kept) < 1.0
    successful = demos.collect("LamReach-v0", root=tmp_path, **settings)
    assert success_rate(successful) == 1.0
    assert demos.describe(successful)["attempts that failed and are left out"] > 0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"demonstrator": "perfect"},
            "unknown demonstrator 'perfect'; expected one of expert, noisy, novice, random, mixed",
        ),
        ({"strategy": "below"}, "unknown strategy 'below'; expected one of direct"),
        (
            {"policy": "nowhere:Policy"},
            r"cannot import policy 'nowhere:Policy': .* Put its module into the current folder",
        ),
        ({"policy": "json:Policy"}, "module 'json' has no attribute 'Policy'$"),
        ({"episodes": "3"}, "episodes is '3'; expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"policy": "nowhere"}, "expected package.module:Name"),
        ({"policy": "builtins:repr"}, "gives a str, which has no predict"),
        ({"policy": "a:B", "demonstrator": "novice"}, "acts by itself"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_a_bad_request_is_refused_and_leaves_nothing_behind(
    keywords: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        demos.collect("LamReach-v0", root=tmp_path / "root", **{"episodes": 1, **keywords})
    assert list(tmp_path.rglob("*")) == []


def test_a_checksum_finds_every_changed_bit(tmp_path: Path) -> None:
    dataset = demos.collect("LamReach-v0", episodes=2, root=tmp_path)
    file = Path(dataset.storage.data_path) / "main_data.hdf5"
    with h5py.File(file, "a") as content:
        episode = content["episode_1"]
        before = episode_digest(episode)
        assert before == episode.attrs["sha256"] != content["episode_0"].attrs["sha256"]
        for name in ("actions", "observations", "rewards", "infos/is_success", "infos/state"):
            values = episode[name][()]
            changed = values.copy()
            changed.reshape(-1).view(np.uint8)[0] ^= 1
            episode[name][...] = changed
            assert episode_digest(episode) != before, name
            episode[name][...] = values
        episode.attrs["seed"] += 1
        assert episode_digest(episode) != before
        episode.attrs["seed"] -= 1
        assert episode_digest(episode) == before


def test_what_fails_from_the_start_leaves_its_name_free(tmp_path: Path) -> None:
    keywords = {"demonstrator": "novice", "dataset_id": "ours/free-v0", "root": tmp_path}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("demos.collection.shards.MAX_FAILURES", 0)
        with pytest.raises(RuntimeError, match="in a row"):
            demos.collect("LamReach-v0", episodes=2, **keywords)
    assert demos.collect("LamReach-v0", episodes=2, keep_failures=True, **keywords).total_episodes == 2


def test_keywords_that_json_changes_are_the_same_in_the_next_call(tmp_path: Path) -> None:
    made: Any = {
        "episodes": 1,
        "keep_failures": True,
        "env_kwargs": {"cameras": ("front",), "image_width": 16, "image_height": 16, "max_episode_steps": 2},
        "root": tmp_path,
    }
    first = demos.collect("LamReachPixels-v0", **made)
    assert demos.collect("LamReachPixels-v0", **made).id == first.id


def test_images_stored_as_jpeg_are_not_compared(tmp_path: Path) -> None:
    size = {"image_width": 32, "image_height": 32}
    dataset = demos.collect("LamReachPixels-v0", episodes=1, jpeg=True, env_kwargs=size, root=tmp_path)
    assert demos.replay(dataset).identical == 1
    assert demos.replay_states(dataset).matching == 1


def test_seeds_do_not_depend_on_how_many_episodes_there_are_and_differ() -> None:
    seeds = {episode_seed(seed, index, attempt) for seed in range(3) for index in range(100) for attempt in range(3)}
    assert len(seeds) == 900


def test_an_engine_of_ones_own_records_the_same(small_shards: int, tmp_path: Path) -> None:
    class Backwards:
        """Runs jobs here, the last first, in a copy of their folder."""

        workers = 1

        def run(self, jobs: Any, *, on_crash: Any = None) -> Any:
            for job in reversed(jobs):
                elsewhere = tmp_path / "elsewhere" / job.name
                for name in job.reads:
                    shutil.copytree(job.folder / name, elsewhere / name)
                result = job.function(*job.arguments_in(elsewhere))
                for name in job.writes:
                    shutil.move(elsewhere / name, job.folder / name)
                yield job, result

    here = demos.collect("LamReach-v0", episodes=2 * small_shards, root=tmp_path / "here")
    there = demos.collect("LamReach-v0", episodes=2 * small_shards, root=tmp_path / "there", engine=Backwards())
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2
    assert checksum(here) == checksum(there)

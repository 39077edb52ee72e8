"""Episodes that a person kept: what a full disk, an undo and an interrupted collection of the same id do to them."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest

import demos
from demos.collection.collect import collect
from demos.collection.demonstrators import ExpertDemonstrator, demonstrate
from demos.collection.human_demonstrator import TELEOP
from demos.collection.plan import Plan
from demos.collection.recording import record
from demos.datasets.checksum import checksum
from demos.datasets.episode import Episode
from demos.datasets.reading import episodes_of
from demos.datasets.writing import DatasetWriter
from demos.runtime.disk_space import SPARE_BYTES
from demos.runtime.types import Env, JsonObject
from demos.runtime.web.messages import unpack
from demos.teleop.inputs import Inputs
from demos.teleop.messages import Command, Motion
from demos.teleop.saved_episodes import SavedEpisodes
from demos.teleop.session import Session
from demos.teleop.settings import SessionSettings
from tests.conftest import Make
from tests.demos.check.damage import check_here

ID = "lam/driven-v0"
STEPS = 5


class DiskUsage(NamedTuple):
    """As that of :func:`shutil.disk_usage`."""

    total: int
    used: int
    free: int


FULL = DiskUsage(2 * SPARE_BYTES, SPARE_BYTES, SPARE_BYTES)
"""Space for nothing but what has to stay free."""


def plan_of(env_id: str) -> Plan:
    return Plan(env_id, {"max_episode_steps": STEPS}, demonstrator=TELEOP, keep_failures=True, jpeg=True)


def opened(make: Make, root: Path, env_id: str = "LamReach-v0", **more: Any) -> tuple[Env, SavedEpisodes]:
    plan = plan_of(env_id)
    env = make(env_id, **plan.env_kwargs)
    return env, SavedEpisodes(plan, env, ID, root, **more)


def driven(env: Env, seed: int) -> Episode:
    notes = {"quality": np.int8(0), "strategy": np.int8(0)}
    return record(env, demonstrate(env, ExpertDemonstrator(env), seed, notes), seed)


def test_an_episode_is_not_written_to_a_disk_without_space_for_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, saved = opened(make, tmp_path)
    for seed in (0, 1):
        saved.add(driven(env, seed))
    before, another = checksum(saved.dataset()), driven(env, 2)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: FULL)
        for change in (lambda: saved.add(another), lambda: saved.remove(0)):
            with pytest.raises(OSError, match=r"needs 1\d\.\d MB .* 16\.8 MB are free; free some space") as raised:
                change()
            assert raised.value.errno == errno.ENOSPC
    assert checksum(saved.dataset()) == before
    saved.add(another)
    assert [summary.seed for summary in saved.summaries] == [0, 1, 2]
    saved.close()


def test_an_episode_that_does_not_fit_on_the_disk_stays_in_review_until_there_is_space(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, saved = opened(make, tmp_path)
    inputs, settings = Inputs(), SessionSettings(image_size=64, keep_failures=True)
    images: list[bytes] = []
    texts: list[Any] = []
    session = Session(env, plan_of("LamReach-v0"), saved, settings, inputs, None, images.append, texts.append)

    def wait(condition: Callable[[JsonObject], bool]) -> None:
        end = time.monotonic() + 30
        while not (images and condition(unpack(images[-1])[0])):
            assert time.monotonic() < end, texts
            inputs.move(Motion(up=0.5))
            time.sleep(0.01)

    inputs.connect()
    inputs.send(Command("start"))
    running = threading.Thread(target=session.run)
    running.start()
    try:
        wait(lambda state: state["phase"] == "review")
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda path: FULL)
            inputs.send(Command("keep"))
            wait(lambda state: any("16.8 MB are free; free some space" in text["text"] for text in texts))
        inputs.send(Command("keep"))
        wait(lambda state: state["recorded"] == 1)
    finally:
        inputs.send(Command("close"))
        running.join()
    (episode,) = episodes_of(demos.load(ID, tmp_path))
    assert len(episode) == STEPS


KILLED = """
import os
import signal
import sys
from pathlib import Path

import gymnasium as gym

from demos.datasets.writing import DatasetWriter
from demos.teleop.saved_episodes import SavedEpisodes
from tests.demos.teleop.test_saved_episodes import ID, driven, plan_of

root, moment = Path(sys.argv[1]), sys.argv[2]
replace = os.replace

def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

def replace_and_die(source: object, target: object) -> None:
    replace(source, target)
    if Path(str(target)).name == moment:
        die()

plan = plan_of("LamReach-v0")
env = gym.make("LamReach-v0", **plan.env_kwargs)
saved = SavedEpisodes(plan, env, ID, root)
episode = driven(env, 1)
os.replace = replace_and_die
if moment == "writing":
    DatasetWriter.finish = die
saved.add(episode)
"""
"""Keeps an episode, and is killed at a moment: while it writes, or after a renaming to a name."""


@pytest.mark.parametrize(("moment", "seeds"), [("writing", [0]), ("replaced", [0]), ("data", [0, 1])])
def test_a_kill_while_an_episode_is_kept_leaves_all_of_it_or_nothing(
    make: Make, tmp_path: Path, moment: str, seeds: list[int]
) -> None:
    env, saved = opened(make, tmp_path)
    saved.add(driven(env, 0))
    before = checksum(saved.dataset())
    saved.close()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment], capture_output=True, text=True, timeout=100
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    _, saved = opened(make, tmp_path)
    assert [summary.seed for summary in saved.summaries] == seeds
    assert (checksum(saved.dataset()) == before) == (seeds == [0])
    assert check_here(ID, tmp_path).is_undamaged
    saved.add(driven(env, 2))
    saved.close()
    assert [summary.seed for summary in saved.summaries] == [*seeds, 2]
    assert not list((tmp_path / ".partial").glob("*/"))


def test_an_error_of_h5py_is_an_os_error_and_changes_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("Can't decrement id ref count (file write failed)")  # as on a disk that fills meanwhile

    env, saved = opened(make, tmp_path)
    saved.add(driven(env, 0))
    before = checksum(saved.dataset())
    with monkeypatch.context() as patch:
        patch.setattr(DatasetWriter, "add", fail)
        with pytest.raises(OSError, match=r"driven-v0 could not be written; free some space.*file write failed"):
            saved.add(driven(env, 1))
    assert checksum(saved.dataset()) == before
    saved.close()


def test_an_episode_that_is_removed_and_added_again_has_the_same_jpeg_images(make: Make, tmp_path: Path) -> None:
    env, saved = opened(make, tmp_path, "LamReachPixels-v0")
    for seed in (0, 1):
        saved.add(driven(env, seed))
    before = checksum(saved.dataset())
    for _ in range(2):
        episode, summary = saved.remove(1)
        assert saved.dataset().total_episodes == 1
        saved.add(episode, summary.thumbnail, summary.asked)
        assert checksum(saved.dataset()) == before
    saved.close()
    assert not list((tmp_path / ".partial").glob("*/"))


def test_the_shards_of_an_interrupted_collection_stay_until_they_are_overwritten(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("demos.collection.collect.merge", interrupt)
        with pytest.raises(KeyboardInterrupt):
            collect("LamReach-v0", episodes=1, dataset_id=ID, root=tmp_path)
    shards = list(tmp_path.glob(".partial/*/shard-*"))
    assert shards
    with pytest.raises(FileExistsError, match="an interrupted collection of lam/driven-v0 has shards in"):
        opened(make, tmp_path)
    assert list(tmp_path.glob(".partial/*/shard-*")) == shards
    env, saved = opened(make, tmp_path, overwrite=True)
    saved.add(driven(env, 0))
    saved.close()
    assert not list(tmp_path.glob(".partial/*/shard-*"))
    assert demos.load(ID, tmp_path).total_episodes == 1

"""Exports from the page are the recorded dataset, in formats that the libraries themselves read."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import minari
import numpy as np
import pytest

import demos
from demos.datasets.checksum import checksum
from demos.datasets.episode import INTERVENTION
from demos.datasets.metadata import episode_seeds, plan_of
from demos.datasets.reading import episodes_of
from demos.formats import FORMATS, export_dataset, import_dataset
from demos.preprocess import Interventions, preprocess
from demos.teleop.export import MINARI, export_names
from tests.demos.exchange.other_libraries import read_by
from tests.demos.teleop.client import Page, drive
from tests.demos.teleop.driver import program

ID = "lam/driven-v0"
EPISODES = 2


class Driven(NamedTuple):
    """Dataset of episodes in which a person took over from the expert and gave back."""

    dataset: minari.MinariDataset
    exports: dict[str, Path]
    """Files that the page downloaded, by format."""


async def take_over(opened: Page) -> None:
    for number in range(EPISODES):
        await opened.send("start")
        await opened.until(lambda state: state["phase"] == "driving" and state["step"] >= 2)
        opened.motion = {"up": 0.3}
        await opened.until(lambda state: state["by_person"] >= 3)
        opened.motion = {}
        await opened.send("give")
        await opened.until(lambda state: state["phase"] == "review")
        await opened.send("keep")
        await opened.until(lambda state, kept=number + 1: state["recorded"] == kept and state["phase"] == "ready")


async def download(url: str, folder: Path) -> dict[str, Path]:
    files = {}
    async with aiohttp.ClientSession() as session:
        for name in export_names():
            async with session.get(f"{url}export/{name}") as answer:
                content = await answer.read()
                assert answer.status == 200, content
                file = folder / name / answer.headers["Content-Disposition"].partition('filename="')[2].rstrip('"')
                file.parent.mkdir()
                file.write_bytes(content)
                files[name] = file
    return files


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    root, folder = tmp_path_factory.mktemp("driven"), tmp_path_factory.mktemp("exports")
    options = ("--real-time-factor", 2, "--image-size", 64, "--episodes", EPISODES)
    with program("LamReach-v0", *options, "--root", root, "--id", ID, "--expert") as running:
        drive(running.url, take_over)
        exports = asyncio.run(download(running.url, folder))
        running.end()
    return Driven(demos.load(ID, root), exports)


def unpacked(file: Path, folder: Path) -> Path:
    """Return the folder in an archive, or the file itself if its format is one file."""
    if file.suffix != ".zip":
        return file
    shutil.unpack_archive(file, folder)
    (content,) = folder.iterdir()
    return content


@pytest.mark.parametrize("name", [MINARI, *FORMATS])
def test_what_the_page_exports_is_what_was_recorded(name: str, driven: Driven, tmp_path: Path) -> None:
    content = unpacked(driven.exports[name], tmp_path / "unpacked")
    if name == MINARI:
        shutil.move(content, tmp_path / "root" / ID)
        back = demos.load(ID, tmp_path / "root")
    else:
        back = import_dataset(content, name, "came/back-v0", root=tmp_path / "root")
    assert checksum(back) == checksum(driven.dataset)
    assert plan_of(back) == plan_of(driven.dataset)
    assert episode_seeds(back) == episode_seeds(driven.dataset)
    assert demos.replay(back).identical == EPISODES


@pytest.fixture(scope="module")
def corrections(driven: Driven, tmp_path_factory: pytest.TempPathFactory) -> minari.MinariDataset:
    """Return the steps that the person chose."""
    return preprocess(
        driven.dataset, [Interventions()], "lam/corrections-v0", root=tmp_path_factory.mktemp("corrections")
    )


@pytest.mark.parametrize("name", FORMATS)
def test_the_steps_of_the_person_survive_every_format(
    name: str, driven: Driven, corrections: minari.MinariDataset, tmp_path: Path
) -> None:
    out = tmp_path / f"out{driven.exports[name].suffix.replace('.zip', '')}"
    export_dataset(corrections, name, out)
    back = import_dataset(out, name, "came/back-v0", root=tmp_path)
    assert checksum(back) == checksum(corrections)
    for whole, part in zip(episodes_of(driven.dataset), episodes_of(back), strict=True):
        chosen = np.flatnonzero(whole.infos[INTERVENTION][1:])
        assert 3 <= len(chosen) < len(whole)
        np.testing.assert_array_equal(part.actions, whole.actions[chosen])
        np.testing.assert_array_equal(part.observations[:-1], whole.observations[chosen])


async def wait_for(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(url) as answer:
                await answer.read()


def test_ctrl_c_during_exports_ends_the_program_with_its_summary(tmp_path: Path) -> None:
    async def keep_one(opened: Page) -> None:
        await opened.reach()
        await opened.send("keep")
        await opened.until(lambda state: state["recorded"] == 1)

    options = ("--real-time-factor", 2, "--image-size", 64, "--root", tmp_path, "--id", ID)
    with program("LamReach-v0", *options, package="tests.demos.teleop.slow_exports") as running:
        drive(running.url, keep_one)
        # The first export runs when the program ends, and the second one waits.
        downloads = [
            threading.Thread(target=asyncio.run, args=[wait_for(f"{running.url}export/{MINARI}")]) for _ in range(2)
        ]
        for each in downloads:
            each.start()
        assert running.process.stdout is not None
        while "exporting" not in running.process.stdout.readline():
            pass
        time.sleep(0.5)
        printed = running.end()
        for each in downloads:
            each.join(30)
    assert running.process.returncode == 0, printed
    assert "1 episode" in printed
    assert "Traceback" not in printed


def read_by_lerobot(folder: Path, dataset: minari.MinariDataset) -> None:
    """Check that LeRobot's own reader sees the episodes of a dataset."""
    seen: Any = read_by("read_lerobot.py", str(folder), str(folder.with_name("seen.npz")))
    episodes = list(episodes_of(dataset))
    assert {"action", "observation.state"} <= set(seen["policy"])
    states = [episode.observations[:-1] for episode in episodes]
    np.testing.assert_array_equal(seen["observation.state"], np.concatenate(states))
    np.testing.assert_array_equal(seen["second_episode"], states[1])
    np.testing.assert_array_equal(seen["action"][:, 0], np.concatenate([episode.actions for episode in episodes]))
    successes = np.concatenate([episode.infos["is_success"][1:] for episode in episodes])
    np.testing.assert_array_equal(seen["next.success"], successes)


@pytest.mark.slow
def test_lerobot_reads_what_the_page_exports(driven: Driven, tmp_path: Path) -> None:
    read_by_lerobot(unpacked(driven.exports["lerobot"], tmp_path / "unpacked"), driven.dataset)


@pytest.mark.slow
def test_lerobot_reads_the_steps_of_the_person(corrections: minari.MinariDataset, tmp_path: Path) -> None:
    export_dataset(corrections, "lerobot", tmp_path / "out")
    read_by_lerobot(tmp_path / "out", corrections)

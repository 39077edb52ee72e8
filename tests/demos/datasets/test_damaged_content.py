"""Data files with hostile or damaged contents run nothing, and errors name the episode or the image."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from PIL import Image

import demos
from demos.datasets.data_file import DATA_FILE
from demos.datasets.episode import Episode
from demos.datasets.reading import episodes_of
from demos.datasets.writing import dataset_writer

from ..check.damage import check_here, problems_of, signed_again

ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
IMAGES = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n%%Page: 1 1\nshowpage\n%%EOF\n"


def saved(root: Path, space: gym.Space[Any], observations: Any, **infos: Any) -> minari.MinariDataset:
    """Write an episode of five steps without an environment."""
    ends = np.arange(5) == 4
    episode = Episode(None, observations, np.zeros((5, 2), np.float32), np.zeros(5), ends & False, ends, infos)
    with dataset_writer("ours/damaged-v0", space, ACTIONS, None, {}, root=root, jpeg=True) as writer:
        writer.add(episode)
    return demos.load("ours/damaged-v0", root)


def encoded(format: str, size: tuple[int, int], mode: str) -> bytes:
    content = io.BytesIO()
    Image.new(mode, size).save(content, format)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: EPS, "damaged, too large or not a JPEG image"),
        (lambda: encoded("PNG", (20_000, 20_000), "1"), "damaged, too large or not a JPEG image"),
        (lambda: encoded("JPEG", (20_000, 20_000), "L"), "damaged, too large or not a JPEG image"),
        (lambda: encoded("JPEG", (33, 32), "RGB"), r"has the shape \(32, 33, 3\); expected \(32, 32, 3\)"),
        (lambda: encoded("JPEG", (32, 32), "RGB")[:-200], "damaged, too large or not a JPEG image"),
    ],
)
def test_stored_images_are_jpeg_of_their_space_and_run_no_program(
    content: Callable[[], bytes], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = saved(tmp_path / "data", IMAGES, np.zeros((6, 32, 32, 3), np.uint8))
    with h5py.File(dataset.storage.data_path / DATA_FILE, "a") as file:
        del file["episode_0/observations"]
        images = file.create_dataset("episode_0/observations", (6,), dtype=h5py.vlen_dtype(np.uint8))
        for step in range(6):
            images[step] = np.frombuffer(content(), np.uint8)
    # Pillow decodes EPS by Ghostscript.
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=":")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(ValueError, match=message):
        next(episodes_of(dataset))
    assert re.search(message, problems_of(check_here(dataset.storage.data_path), DATA_FILE, 0))
    assert not (tmp_path / "ran").exists()


def replaced(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    if isinstance(values, dict):
        group.create_group(name)
    else:
        group[name] = values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda group: group.create_dataset("observations/more", data=np.zeros(6)), r"holds \['more', 'numbers'\]"),
        (lambda group: group.__delitem__("observations/numbers"), r"holds \[\]; expected \['numbers'\]"),
        (lambda group: replaced(group, "observations", np.zeros((6, 2))), "observations is an array; expected"),
        (
            lambda group: replaced(group, "actions", {}),
            r"episode 0 of .*actions is a group; expected values of Box.*; run `python -m demos check ours/damaged",
        ),
        (lambda group: group.__delitem__("rewards"), "episode 0 of ours/damaged-v0 is damaged: .*rewards"),
    ],
)
def test_parts_that_are_added_or_missing_are_named(
    damage: Callable[[h5py.Group], Any], message: str, tmp_path: Path
) -> None:
    space = gym.spaces.Dict({"numbers": ACTIONS})
    dataset = saved(tmp_path, space, {"numbers": np.zeros((6, 2), np.float32)})
    with h5py.File(dataset.storage.data_path / DATA_FILE, "a") as file:
        damage(file["episode_0"])
    with pytest.raises(ValueError, match=message):
        next(episodes_of(dataset))


def test_an_info_of_the_name_of_the_instruction_may_be_a_dict(tmp_path: Path) -> None:
    dataset = saved(tmp_path, ACTIONS, np.zeros((6, 2), np.float32), instruction={"a": np.zeros(6)})
    assert next(episodes_of(dataset)).instruction is None


def test_a_check_reports_episodes_that_cannot_be_read_to_be_re_executed(tmp_path: Path) -> None:
    made = demos.collect("LamReach-v0", episodes=2, root=tmp_path)
    with dataset_writer(
        "ours/short-v0", made.observation_space, made.action_space, made.env_spec, {}, root=tmp_path
    ) as writer:
        for episode in episodes_of(made):
            writer.add(episode)
    dataset = demos.load("ours/short-v0", tmp_path)
    with h5py.File(dataset.storage.data_path / DATA_FILE, "a") as file:
        file["episode_0"].attrs.update({"options": 1, "options/goal": 1})
        signed_again(file["episode_0"])
    report = check_here(dataset.storage.data_path, replay=2)
    assert report.undamaged_episodes == (0, 1)
    assert [note.partition(" (")[0] for note in report.notes] == ["main_data.hdf5, episode 0: differs in an error"]

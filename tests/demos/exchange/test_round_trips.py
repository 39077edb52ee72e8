"""Exported datasets are the same after an import."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import demos
from demos.datasets.checksum import checksum
from demos.datasets.metadata import episode_seeds, history_of, plan_of
from demos.datasets.reading import episodes_of
from demos.datasets.tree import identical
from demos.formats import FORMATS, export_dataset, import_dataset

from .conftest import ENV_IDS, LEAVES, SPACES, carried, random_dataset


@pytest.mark.parametrize(
    ("env_id", "format"),
    [
        (env_id, format)
        for env_id in ENV_IDS
        for format in FORMATS
        # These are tested below: one is lossy, one refuses them.
        if not ("Pixels" in env_id and format in ("lerobot", "imitation"))
    ],
)
def test_what_goes_out_comes_back_the_same(
    env_id: str, format: str, sources: dict[str, minari.MinariDataset], tmp_path: Path
) -> None:
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


def test_lerobot_loses_only_the_compression_of_videos(
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


def test_images_stored_as_jpeg_go_out_as_they_are_decoded(tmp_path: Path) -> None:
    short: dict[str, Any] = {"env_kwargs": {"max_episode_steps": 5}, "keep_failures": True}
    dataset = demos.collect("LamReachPixels-v0", episodes=1, jpeg=True, root=tmp_path, **short)
    assert "JPEG compression" in export_dataset(dataset, "npz", tmp_path / "out.npz")[0]
    back = import_dataset(tmp_path / "out.npz", "npz", "came/back-v0", root=tmp_path)
    assert identical(dataset[0].observations, back[0].observations)
    assert history_of(back)[-1]["replays"] is False


REFUSED = {"imitation": "cannot be written as one vector", "robomimic": "would both be named"}
"""Why a format does not hold some names and shapes; the others hold all."""


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=4, deadline=None)
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
            assert REFUSED.get(format, "never") in refusal
            return
        assert checksum(back) == checksum(dataset)
        assert history_of(back)[-1]["replays"] is False, "without a plan nothing can be replayed"

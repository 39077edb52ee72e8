"""The agent lam on images: the same weights act on features and on images, with instructions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData, MappedObservations
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.entities import Schema
from agents.imitation.lam.mixture import Mixture
from agents.imitation.lam.networks.cameras import shifted_at_random
from agents.imitation.lam.sources import read_source
from agents.pretraining.pretraining import pretrain
from agents.training.run import Run

from ...conftest import Make
from ..images import check_that_actions_depend_on_images
from .scenes import SMALL, observations_of
from .test_agent import learned, weights

IMAGES: dict[str, Any] = {"image_width": 24, "image_height": 24}
"""Keywords of environments with small images."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> minari.MinariDataset:
    """Two demonstrations with images."""
    root = tmp_path_factory.mktemp("images")
    return demos.collect("LamReachPixels-v0", episodes=2, seed=1, env_kwargs=IMAGES, root=root)


@pytest.fixture
def both(seen: Any, datasets: Any) -> list[Any]:
    """Demonstrations with images, and without."""
    root, ids = datasets
    return [seen, demos.load(ids["LamReach-v0"], root)]


def test_the_same_weights_act_on_features_and_on_images(both: Any, make: Make, tmp_path: Path) -> None:
    pixels, features = make("LamReachPixels-v0", instruct=True, **IMAGES), make("LamReach-v0", instruct=True)
    agent: Lam = agents.make("lam", pixels, **SMALL)
    agent.learn(both, [pixels, features], seed=0, budget=1)
    check_that_actions_depend_on_images(agent, pixels, tmp_path)
    loaded = [agents.load(tmp_path / "agent", env) for env in (pixels, features)]
    assert weights(loaded[0]) == weights(loaded[1])
    for each, env in zip(loaded, (pixels, features), strict=True):
        assert each.predict(observations_of(env, range(3)))[0].shape == (3, 4)
    attention = loaded[0].policy.attention(pixels.reset(seed=0)[0])
    assert attention.keys() == {"readout", "instruction", "robot", "front", "wrist"}
    assert sum(attention.values()) == pytest.approx(1.0, abs=1e-5)
    assert loaded[1].policy.attention(features.reset(seed=0)[0]).keys() == {"readout", "instruction", "robot", "goal"}


def test_the_same_seed_learns_the_same_weights_from_images(seen: Any, make: Make) -> None:
    env = make("LamReachPixels-v0", **IMAGES)
    first = weights(learned(env, seen))
    assert weights(learned(env, seen)) == first
    assert weights(learned(env, seen, image_shift=0)) != first


@pytest.mark.parametrize("readout", ["pooling", "patches"])
def test_each_readout_of_images_learns(readout: str, seen: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0", **IMAGES)
    agent = learned(env, seen, image_readout=readout)
    check_that_actions_depend_on_images(agent, env, tmp_path)


def test_a_minibatch_has_images_of_its_steps_or_none(both: Any) -> None:
    sources = [read_source(dataset) for dataset in both]
    schema = Schema.of([each.interface.layout for each in sources]).with_images(
        each.interface.images for each in sources
    )
    mixture = Mixture(sources, schema, ["panda"], 4, 8)
    mixture.fit_words(torch.zeros(len(mixture.parsed), 1, dtype=torch.int64))
    count = len(sources[0])
    drawn = mixture.sampler(16, 20)(np.random.default_rng(0)).reshape(20, 16)
    has_images = drawn < count
    assert (has_images.all(axis=1) | ~has_images.any(axis=1)).all()
    assert 0 < has_images[:, 0].sum() < 20
    # After an episode was cut, the images still belong to their steps.
    row = int(sources[0].ends[0])
    images = mixture[np.array([row, 0])].images
    assert images is not None
    episodes = list(both[0].iterate_episodes())
    for camera in ("front", "wrist"):
        for number in (0, 1):
            expected = episodes[1 - number].observations[camera][0]
            np.testing.assert_array_equal(images[camera][number], expected)
    assert mixture[np.array([count])].images is None
    with pytest.raises(ValueError, match="some of these steps have images and some do not"):
        mixture[np.array([0, count])]


def test_images_in_files_give_the_same_minibatches(seen: Any) -> None:
    memory, files = read_source(seen), read_source(seen, in_memory_bytes=0)
    assert files.images is not None
    assert memory.images is not None
    assert isinstance(files.images.observations, MappedObservations)
    rows = torch.tensor([3, 0, len(memory) - 1])
    for camera, frames in memory.images[rows].items():
        assert torch.equal(files.images[rows][camera], frames)


def test_images_are_shifted_by_a_few_pixels_in_training(seen: Any) -> None:
    source = read_source(seen)
    assert source.images is not None
    images = source.images[torch.arange(8)]
    moved = shifted_at_random(images, 2)
    assert {camera: frames.shape for camera, frames in moved.items()} == {
        camera: frames.shape for camera, frames in images.items()
    }
    assert not torch.equal(moved["front"], images["front"])
    assert shifted_at_random(images, 0) is images
    assert not source.can_be_mirrored


def test_other_cameras_and_networks_without_images_are_refused(seen: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0", **IMAGES)
    folder = learned(env, seen).save(tmp_path / "lam")
    with pytest.raises(ValueError, match=r"images of front \(24 x 24 x 3\), wrist .* of front \(84 x 84 x 3\)"):
        agents.load(folder, make("LamReachPixels-v0"))
    with pytest.raises(ValueError, match=r"front \(84 x 84 x 3\).*; expected front \(24 x 24 x 3\)"):
        learned(make("LamReachPixels-v0"), seen)
    with pytest.raises(ValueError, match="the network mlp cannot encode images"):
        agents.make("lam", env, network="mlp")
    described = json.loads((folder / "agent.json").read_text())
    model = described["model"]
    for cameras in ({"front": [24, 24]}, {"front": [10**6, 10**6, 3]}, {"front": "large"}, 3, {"front": [0, 24, 3]}):
        changed = {**model, "schema": {**model["schema"], "cameras": cameras}}
        (folder / "agent.json").write_text(json.dumps({**described, "model": changed}))
        with pytest.raises(ValueError, match="is damaged: "):
            agents.load(folder, env)


def test_a_model_of_features_is_finetuned_on_images(both: Any, make: Make, tmp_path: Path) -> None:
    features, pixels = make("LamReach-v0"), make("LamReachPixels-v0", **IMAGES)
    folder = learned(features, both[1]).save(tmp_path / "lam")
    tuned = Lam.finetune(folder, both[0], pixels, replay=[both[1]], seed=1, budget=1, learning_rate=1e-12)
    observations = observations_of(features, range(3))
    expected = agents.load(folder, features).predict(observations)[0]
    known = agents.load(tuned.save(tmp_path / "tuned"), features)
    np.testing.assert_allclose(known.predict(observations)[0], expected, atol=1e-5)
    assert agents.load(tmp_path / "tuned", pixels).predict(observations_of(pixels, range(2)))[0].shape == (2, 4)


def test_finetuning_can_freeze_the_encoder_of_the_model_and_takes_no_other(
    both: Any, make: Make, tmp_path: Path
) -> None:
    encoder = pretrain("masked-reconstruction", both[:1], seed=0, budget=1, batch_size=16).save(tmp_path / "encoder")
    pixels = make("LamReachPixels-v0", **IMAGES)
    folder = learned(pixels, both[0], encoder=str(encoder), width=128).save(tmp_path / "lam")
    before = dict(agents.load(folder, pixels).policy.image_encoders())["front"].state_dict()
    for frozen in (True, False):
        tuned = Lam.finetune(folder, both[0], pixels, seed=1, budget=1, freeze_encoder=frozen)
        after = dict(tuned.policy.image_encoders())["front"].state_dict()
        assert all(torch.equal(value, before[name]) for name, value in after.items()) == frozen
    with pytest.raises(ValueError, match="2 processes cannot train with freeze_encoder=true: use one"):
        Lam.finetune(folder, both[0], pixels, seed=1, run=Run(processes=2), freeze_encoder=True)
    with pytest.raises(ValueError, match="encoder is not a setting of fine-tuning"):
        Lam.finetune(folder, both[0], pixels, seed=1, encoder=str(encoder))


def test_images_are_not_seen_without_demonstrations_that_have_any(both: Any, make: Make) -> None:
    with pytest.raises(ValueError, match="an environment has images, and no dataset has any to learn from"):
        learned(make("LamReachPixels-v0", **IMAGES), both[1])


def test_an_encoder_without_images_and_frozen_in_processes_is_refused(both: Any, make: Make, tmp_path: Path) -> None:
    encoder = pretrain("masked-reconstruction", both[:1], seed=0, budget=1, batch_size=16).save(tmp_path / "encoder")
    with pytest.raises(ValueError, match="encoder is set, but observations have no images"):
        learned(make("LamReach-v0"), both[1], encoder=str(encoder))
    frozen = {"encoder": str(encoder), "freeze_encoder": True, "width": 128}
    with pytest.raises(ValueError, match="2 processes cannot train with freeze_encoder=true: use one"):
        learned(make("LamReachPixels-v0", **IMAGES), both[0], run=Run(processes=2), **frozen)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_few_episodes_of_images_are_overfitted(make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0")
    dataset = demos.collect("LamReachPixels-v0", episodes=5, seed=1, root=tmp_path)
    agent: Lam = agents.make("lam", env, batches=100, batch_size=64, image_shift=0)
    agent.learn(dataset, env, seed=0, budget=8, run=Run())
    seeds = [episode.seed for episode in DemonstrationData(dataset).iterate_episodes()]
    assert agents.evaluate(agent, env, seeds=seeds).success_rate == 1.0

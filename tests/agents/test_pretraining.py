"""Encoders are pre-trained without labels, saved, refused when damaged, and taken by every agent that sees images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.pretraining.encoder import DESCRIPTION, PretrainedEncoder
from agents.pretraining.frames import Frames
from agents.pretraining.methods import METHODS
from agents.pretraining.pretraining import pretrain
from agents.training.run import Run
from agents.training.saving.storage import WEIGHTS

from ..conftest import Make
from .sequence.small import SMALL
from .test_runs import Fragile, KilledError

SIZES: dict[str, Any] = {"image_width": 24, "image_height": 24}
QUICK: dict[str, Any] = {"batch_size": 16, "image_shift": 2}
AGENTS: dict[str, dict[str, Any]] = {
    "bc": {"hidden_sizes": [16]},
    "lam": {"batches": 2},
    **{name: {**settings, "width": 128, "ema_decay": 0.0} for name, settings in SMALL.items()},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Random play of one task and demonstrations of another, with images of equal size."""
    root = tmp_path_factory.mktemp("pixels")
    play = demos.collect("LamReachPixels-v0", episodes=2, demonstrator="random", env_kwargs=SIZES, root=root)
    shown = demos.collect("LamGraspPixels-v0", episodes=1, env_kwargs=SIZES, root=root)
    return play, shown, root


@pytest.fixture(scope="module")
def encoder(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "encoder"
    return pretrain("time-contrastive", data[:2], seed=0, budget=1, **QUICK).save(folder)


def changed(encoder: Path, folder: Path) -> Path:
    """Return a copy of an encoder, for a test to damage."""
    return Path(shutil.copytree(encoder, folder / "copy"))


@pytest.mark.parametrize(
    "method", [name if name == "time-contrastive" else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_the_same_seed_gives_the_same_encoder_from_memory_and_from_files(
    method: str, data: Any, tmp_path: Path
) -> None:
    whole = pretrain(method, data[:2], seed=3, budget=3, **QUICK)
    with pytest.raises(KilledError):
        pretrain(method, data[:2], seed=3, budget=3, run=Fragile(tmp_path / "run"), **QUICK)
    torch.manual_seed(7)
    resumed = pretrain(method, data[:2], seed=3, budget=3, run=Run(tmp_path / "run"), **QUICK)
    assert resumed.checksum == whole.checksum
    assert pretrain(method, data[:2], seed=4, budget=3, **QUICK).checksum != whole.checksum


def test_frames_are_the_same_from_memory_and_from_files(data: Any) -> None:
    held, mapped = (Frames(data[:2], in_memory_bytes=size) for size in (2**30, 0))
    rows = np.array([90, 0, 41, 79, 80])
    for name, images in held.images(rows).items():
        assert images.shape == (5, 24, 24, 3)
        assert torch.equal(images, mapped.images(rows)[name])


def test_actions_are_read_by_inverse_dynamics_alone(data: Any) -> None:
    assert len(Frames(data[:2]).actions) == 0
    noisy = demos.collect("LamReachPixels-v0", episodes=1, demonstrator="noisy", env_kwargs=SIZES, root=data[2])
    episode = next(iter(Frames([noisy], with_actions=True).actions[:1]))
    executed = noisy[0].infos["executed_action"][1]
    np.testing.assert_array_equal(episode, executed)
    assert not np.array_equal(executed, noisy[0].actions[0]), "the label is another action"


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls(method: str, data: Any, tmp_path: Path) -> None:
    class Noted(Run):
        losses: list[float] = []  # noqa: RUF012

        def log(self, done: int, **metrics: float) -> None:
            self.losses.append(metrics["loss"])

    run = Noted()
    run.losses = []
    pretrain(method, data[:1], seed=0, budget=8, run=run, **QUICK)
    assert np.mean(run.losses[-2:]) < np.mean(run.losses[:2])


@pytest.mark.parametrize(
    "name", ["bc", "act", *(pytest.param(n, marks=pytest.mark.slow) for n in AGENTS if n not in ("bc", "act"))]
)
def test_agents_start_from_an_encoder_frozen_or_not(
    name: str, data: Any, encoder: Path, make: Make, tmp_path: Path
) -> None:
    env = make("LamGraspPixels-v0", **SIZES)
    own = Path(shutil.copytree(encoder, tmp_path / "encoder"))
    read = PretrainedEncoder.load(own)
    for frozen in (True, False):
        agent = agents.make(name, env, **AGENTS[name], batch_size=32, encoder=str(own), freeze_encoder=frozen)
        agent.learn(data[1], env, seed=0, budget=1)
        for number, (camera, learned) in enumerate(agent.policy.image_encoders()):
            assert camera == read.cameras[number].name
            same = [torch.equal(w, read.weights[f"{number}.{key}"]) for key, w in learned.state_dict().items()]
            assert all(same) if frozen else not any(same)
        assert agent.training["encoder"]["checksum"] == read.checksum
    saved = agent.save(tmp_path / "agent")
    assert "time-contrastive, SHA-256" in CliRunner().invoke(app, ["show", str(saved)]).output
    shutil.rmtree(own)
    loaded = agents.load(saved, env)
    observation, _ = env.reset(seed=0)
    expected = agent.predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"learner": "act", **AGENTS["act"]}, AGENTS["bc"]], ids=["act", "bc"])
def test_dagger_starts_from_an_encoder(settings: dict[str, Any], data: Any, encoder: Path, make: Make) -> None:
    env = make("LamGraspPixels-v0", **SIZES)
    small = {"epochs": 1, "updates_per_iteration": 2, "iterations": 1, "initial_fraction": 1.0}
    agent = agents.make("dagger", env, **settings, **small, encoder=str(encoder), freeze_encoder=True)
    agent.learn(data[1], env, seed=0)
    weights = PretrainedEncoder.load(encoder).weights
    learned = dict(agent.policy.image_encoders())["wrist"].layer.weight
    assert torch.equal(learned, weights["1.layer.weight"])


@pytest.mark.parametrize("name", ["act", "bc"])
def test_one_encoder_may_serve_all_cameras(name: str, data: Any, make: Make, tmp_path: Path) -> None:
    shared = pretrain("masked-reconstruction", data[:1], seed=0, budget=1, share_image_encoder=True, **QUICK)
    assert {camera.encoder for camera in shared.cameras} == {0}
    folder = shared.save(tmp_path / "shared")
    env = make("LamGraspPixels-v0", **SIZES)
    for own in (True, False):
        agent = agents.make(name, env, **AGENTS[name], batch_size=32, encoder=str(folder), share_image_encoder=own)
        agent.learn(data[1], env, seed=0, budget=1)
        assert len({id(each) for _, each in agent.policy.image_encoders()}) == (1 if own else 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:100], "encoder.json is damaged"),
        (lambda text: text.replace('"method"', '"methods"'), "encoder.json is damaged: method: Field required"),
        (lambda text: text.replace("spatial_softmax", "median"), "is damaged: readout"),
        (lambda text: text.replace('"checksum": "', '"checksum": "0'), "records"),
    ],
    ids=["truncated", "key", "readout", "checksum"],
)
def test_a_damaged_description_is_refused(damage: Any, message: str, encoder: Path, tmp_path: Path) -> None:
    folder = changed(encoder, tmp_path)
    (folder / DESCRIPTION).write_text(damage((folder / DESCRIPTION).read_text()))
    with pytest.raises(ValueError, match=message):
        PretrainedEncoder.load(folder)


def test_damaged_weights_are_refused(encoder: Path, tmp_path: Path) -> None:
    folder = changed(encoder, tmp_path)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-9] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match="its weights have the checksum"):
        PretrainedEncoder.load(folder)
    (folder / WEIGHTS).write_bytes(content[:50])
    with pytest.raises(ValueError, match="is damaged"):
        PretrainedEncoder.load(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match="no weights"):
        PretrainedEncoder.load(folder)
    (folder / WEIGHTS).symlink_to(encoder / WEIGHTS)
    with pytest.raises(ValueError, match="link out of its folder"):
        PretrainedEncoder.load(folder)
    with pytest.raises(FileNotFoundError, match=r"no pre-trained encoder in .*agents pretrain"):
        PretrainedEncoder.load(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("env_id", "keywords", "settings", "message"),
    [
        ("LamGraspPixels-v0", SIZES, {"width": 16}, "with width 128 and the agent has 16"),
        ("LamGraspPixels-v0", SIZES, {"image_readout": "patches"}, "set image_readout=spatial_softmax"),
        ("LamGraspPixels-v0", SIZES, {"share_image_encoder": True}, "set share_image_encoder=false"),
        ("LamGraspPixels-v0", {"image_width": 32, "image_height": 24}, {}, "3 x 24 x 24 of front .* 3 x 24 x 32"),
        ("LamGraspPixels-v0", {**SIZES, "depth": True}, {}, "the agent sees 4 x 24 x 24"),
        ("LamGraspPixels-v0", {**SIZES, "cameras": ["side"]}, {}, "of front, wrist; the agent also sees 'side'"),
        ("LamGrasp-v0", {}, {}, "observations have no images"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(
    env_id: str, keywords: Any, settings: Any, message: str, encoder: Path, make: Make
) -> None:
    from agents.pretraining.initialization import initialize

    agent = agents.make("act", make(env_id, **keywords), **{**AGENTS["act"], **settings}, encoder=str(encoder))
    with pytest.raises(ValueError, match=message):
        initialize(agent.policy, PretrainedEncoder.load(encoder), freeze=False)


def test_errors_say_what_to_do(data: Any, make: Make) -> None:
    env = make("LamGraspPixels-v0", **SIZES)
    with pytest.raises(ValueError, match="there is no encoder: set encoder"):
        agents.make("bc", env, freeze_encoder=True)
    with pytest.raises(FileNotFoundError, match="no pre-trained encoder in runs/none"):
        agents.make("bc", env, encoder="runs/none").learn(data[1], env, seed=0)
    states = demos.collect("LamReach-v0", episodes=1, root=data[2])
    larger = demos.collect("LamReachPixels-v0", episodes=1, env_kwargs={"image_width": 28}, root=data[2])
    for given, settings, message in (
        ([], {}, "no datasets: expected at least one with images"),
        ([states], {}, "has no images: collect episodes of an environment such as LamGraspPixels-v0"),
        ([data[0], larger], {}, "expected the same cameras and sizes"),
        (data[:1], {"window": 0}, "setting window of method time-contrastive is 0; expected at least 1"),
        (data[:1], {"mask": 0}, "unknown setting 'mask' of method time-contrastive"),
        (data[:1], {"batch_size": 500}, "76 frames to learn from, fewer than a minibatch of 500"),
        (data[:1], {"budget": 0}, "the budget is 0 epochs"),
    ):
        with pytest.raises(ValueError, match=message):
            pretrain("time-contrastive", given, seed=0, **settings)
    with pytest.raises(ValueError, match="unknown method 'r3m'; expected one of time-contrastive"):
        pretrain("r3m", data[:1], seed=0)


def test_the_command_saves_an_encoder_and_keeps_another(data: Any, tmp_path: Path) -> None:
    out = tmp_path / "encoder"
    command = ["pretrain", "inverse-dynamics", "--data", data[0].id, "--data", data[1].id, "--root", str(data[2])]
    done = CliRunner().invoke(app, [*command, "--out", str(out), "--budget", "1", "--config", "batch_size=16"])
    assert done.exit_code == 0, done.output
    recorded = json.loads((out / DESCRIPTION).read_text())["training"]
    assert [source["id"] for source in recorded["datasets"]] == [data[0].id, data[1].id]
    again = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert again.exit_code == 2
    (tmp_path / "file").write_text("")
    other = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "file")])
    assert other.exit_code == 2

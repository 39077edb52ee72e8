"""Networks of bc and RL see depth beside colors, may share one encoder of images, and refuse instructions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import agents
import demos
from agents.policies.encoders.cameras import cameras_of
from agents.policies.networks import ObservationEncoder
from agents.rl.finetuning import ppo_from, sac_from
from agents.rl.residual import ResidualAgent

from ..conftest import Make
from .images import check_that_actions_depend_on_images
from .sequence.small import SMALL

IMAGES: dict[str, Any] = {"image_width": 26, "image_height": 24, "max_episode_steps": 20}
DEPTH: dict[str, Any] = {**IMAGES, "depth": True}
QUICK: dict[str, Any] = {"batch_size": 16, "hidden_sizes": [16]}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An episode with images and depth."""
    root = tmp_path_factory.mktemp("depth")
    return demos.collect("LamReachPixels-v0", episodes=1, env_kwargs=DEPTH, root=root)


def trained(env: Any, dataset: Any, **settings: Any) -> Any:
    agent = agents.make("bc", env, **QUICK, **settings)
    agent.learn(dataset, env, seed=0, budget=1)
    return agent


def encoder_of(agent: Any) -> ObservationEncoder:
    encoder: ObservationEncoder = agent.policy.network.features_extractor
    return encoder


@pytest.mark.parametrize("readout", ["flatten", "spatial_softmax", pytest.param("patches", marks=pytest.mark.slow)])
def test_actions_depend_on_depth_and_are_the_same_after_saving(
    readout: str, seen: Any, make: Make, tmp_path: Path
) -> None:
    env = make("LamReachPixels-v0", **DEPTH)
    agent = trained(env, seen, image_readout=readout, image_shift=2)
    check_that_actions_depend_on_images(agent, env, tmp_path)
    loaded = agents.load(tmp_path / "agent", env)
    observation, _ = env.reset(seed=0)
    action = loaded.predict(observation, deterministic=True)[0]
    for name in ("front_depth", "wrist_depth"):
        farther = {**observation, name: observation[name] + 0.1}
        assert not np.array_equal(loaded.predict(farther, deterministic=True)[0], action), name


def test_with_a_readout_depth_is_a_fourth_channel_and_without_one_plain_numbers(make: Make) -> None:
    env = make("LamReachPixels-v0", **DEPTH)
    plain = make("LamReachPixels-v0", **IMAGES)
    for readout, numbers in (("flatten", 2 * 24 * 26), ("pooling", 0)):
        own, other = (encoder_of(agents.make("bc", each, image_readout=readout)) for each in (env, plain))
        assert own.features_dim - other.features_dim == numbers
    shapes = [encoder.shape for _, encoder in own.image_encoders()]
    assert shapes == [(4, 24, 26)] * 2
    assert [encoder.shape for _, encoder in other.image_encoders()] == [(3, 24, 26)] * 2


def test_depth_is_standardized_over_all_pixels_of_a_camera(seen: Any) -> None:
    network = ObservationEncoder(seen.observation_space, "pooling")
    network.fit(demos.statistics(seen))
    depth = torch.as_tensor(np.concatenate([each.observations["front_depth"] for each in seen.iterate_episodes()]))
    number = list(seen.observation_space.spaces).index("front_depth")
    assert network.get_buffer(f"mean_{number}").tolist() == pytest.approx([float(depth.mean())], abs=1e-4)
    assert network.get_buffer(f"spread_{number}").tolist() == pytest.approx([float(depth.std())], rel=1e-2)


def test_a_part_that_is_one_number_is_encoded() -> None:
    space = spaces.Dict({"robot": spaces.Box(-1.0, 1.0, (4,)), "speed": spaces.Box(-1.0, 1.0, ())})
    rows = ObservationEncoder(space)({"robot": torch.zeros(3, 4), "speed": torch.tensor([0.2, 0.4, 0.6])})
    torch.testing.assert_close(rows[:, 4], torch.tensor([0.2, 0.4, 0.6]))


def test_stacked_images_are_refused() -> None:
    for space in (spaces.Box(0, 255, (4, 24, 24, 3), np.uint8), spaces.Box(0, 255, (4, 3, 24, 24), np.uint8)):
        with pytest.raises(
            ValueError, match=r"expected images of shape \(height, width, channels\) .*: stack frames"
        ):
            ObservationEncoder(space)
    ObservationEncoder(spaces.Box(0, 255, (4, 24, 24), np.uint8))  # gray frames, stacked as channels


def test_depth_without_its_image_or_of_another_size_is_refused() -> None:
    image, depth = spaces.Box(0, 255, (20, 20, 3), np.uint8), spaces.Box(0.0, 5.0, (20, 20, 1))
    wide = spaces.Box(0.0, 5.0, (20, 30, 1))
    assert cameras_of({"front": image, "front_depth": depth, "wrist": image}) == {
        "front": ("front", "front_depth"),
        "wrist": ("wrist",),
    }
    with pytest.raises(ValueError, match="'side_depth' is a depth image without an image: remove depth=true"):
        ObservationEncoder(spaces.Dict({"front": image, "side_depth": depth}), "pooling")
    with pytest.raises(ValueError, match="expected equal heights and widths"):
        ObservationEncoder(spaces.Dict({"front": image, "front_depth": wide}), "pooling")
    assert ObservationEncoder(spaces.Dict({"front": image, "side_depth": depth})).features_dim == 128 + 400


@pytest.mark.parametrize("readout", ["flatten", "spatial_softmax"])
def test_cameras_may_share_an_encoder_and_stay_apart(readout: str, seen: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReachPixels-v0", **DEPTH)
    alone = agents.make("bc", env, **QUICK, image_readout=readout, share_image_encoder=False)
    shared = trained(env, seen, image_readout=readout, share_image_encoder=True)
    networks = [list(encoder_of(agent).images.values()) for agent in (alone, shared)]
    assert networks[0][0] is not networks[0][1]
    assert networks[1][0] is networks[1][1]
    assert len(shared.weights()) < len(alone.weights())
    assert "share_image_encoder" not in alone.settings.model_dump()
    assert shared.settings.model_dump()["share_image_encoder"]
    check_that_actions_depend_on_images(shared, env, tmp_path)
    loaded = agents.load(tmp_path / "agent", env)
    assert len({id(network) for network in encoder_of(loaded).images.values()}) == 1
    observation, _ = env.reset(seed=0)
    swapped = {**observation, "front": observation["wrist"], "wrist": observation["front"]}
    actions = [loaded.predict(each, deterministic=True)[0] for each in (observation, swapped)]
    assert not np.array_equal(*actions)


def test_a_shared_encoder_learns_from_each_camera(make: Make) -> None:
    env: Any = make("LamReachPixels-v0", **IMAGES)
    network = ObservationEncoder(env.observation_space, "spatial_softmax", share_images=True)
    assert list(env.observation_space) == ["front", "robot", "wrist"]
    observation, _ = env.reset(seed=0)
    for features in (slice(0, 128), slice(-128, None)):
        network.zero_grad()
        rows = network({name: torch.from_numpy(values)[None] for name, values in observation.items()})
        rows[:, features].sum().backward()
        weights = next(iter(network.images.values())).get_parameter("convolutions.0.weight")
        assert weights.grad is not None
        assert float(weights.grad.abs().max()) > 0.0


def test_ppo_and_sac_start_from_a_shared_encoder_with_depth(seen: Any, make: Make) -> None:
    env = make("LamReachPixels-v0", **DEPTH)
    agent = trained(env, seen, image_readout="pooling", share_image_encoder=True)
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    ppo = ppo_from(agent, env, n_steps=20, batch_size=10, device="cpu")
    sac = sac_from(agent, env, buffer_size=10, device="cpu")
    # Stable-Baselines3 makes the channels of images the first dimension.
    first = {
        name: values.transpose(2, 0, 1) if values.dtype == np.uint8 and values.ndim == 3 else values
        for name, values in observation.items()
    }
    for model in (ppo, sac):
        np.testing.assert_allclose(model.predict(first, deterministic=True)[0], action, atol=1e-5)


CONTINUOUS = ("bc", "bco", "dagger", "hg-dagger", "ensemble-dagger", "gail", "airl", "ppo", "sac")


@pytest.mark.parametrize("name", [*CONTINUOUS, "dqn", "dqfd", "sqil"])
def test_networks_without_words_refuse_instructions(name: str, make: Make) -> None:
    env = make("LamReach-v0" if name in CONTINUOUS else "LamReachDiscrete-v0", instruct=True)
    with pytest.raises(ValueError, match=r"instruction, which this agent cannot read: use agent lam.*instruct=False"):
        agents.make(name, env)


def test_a_residual_policy_leaves_the_instruction_to_the_frozen_agent(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", instruct=True)
    agent = ResidualAgent.of(agents.make("act", env, **SMALL["act"]), env, hidden_sizes=[8])
    assert set(agent.policy.observation_space.spaces) == {"state", "base_action"}
    observation, _ = env.reset(seed=0)
    action = agent.predict(observation, deterministic=True)[0]
    loaded = agents.load(agent.save(tmp_path / "residual"), env)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], action)

"""Encoders give tokens of every kind of observation, and augment images in training alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import agents
import demos
from agents.data.demonstrations import DemonstrationData
from agents.data.features import feature_sizes
from agents.policies.encoders.images import MIN_SIZE, ImageEncoder, Readout, draw_shifts, shifted, spatial_softmax
from agents.policies.encoders.instructions import MAX_WORDS, UNKNOWN, VOCABULARY, InstructionEncoder, Vocabulary
from agents.policies.encoders.observations import EncoderSettings, ObservationTokens
from agents.policies.encoders.vectors import FeatureEncoder, VectorEncoder
from agents.training.randomness import isolated_rng
from demos.datasets.statistics import Statistics, array_statistics
from lam_envs.observation.instructions import MAX_BYTES, encode_instruction

from ...conftest import Make

WIDTH = 8


def observed(space: spaces.Dict, count: int, horizon: int) -> dict[str, torch.Tensor]:
    space.seed(0)
    draws = [[space.sample() for _ in range(horizon)] for _ in range(count)]
    return {
        name: torch.from_numpy(np.stack([[each[name] for each in row] for row in draws])) for name in space.spaces
    }


def test_pixels_depth_and_instruction_are_tokens(make: Make) -> None:
    env = make("LamReachPixels-v0", image_width=24, image_height=20, depth=True, instruct=True)
    space = env.observation_space
    assert isinstance(space, spaces.Dict)
    values = observed(space, 2, 3)
    values["instruction"][:] = torch.from_numpy(encode_instruction("reach the ball"))
    with isolated_rng(0):
        encoder = ObservationTokens(space, EncoderSettings(WIDTH)).eval()
        statistics = array_statistics({name: part.flatten(0, 1).numpy() for name, part in values.items()})
        encoder.fit(statistics)
        encoder.fit_words(["reach the ball"])
        tokens = encoder(values)
    # The robot, the instruction, and two cameras with depth.
    assert tokens.shape == (2, 3, 4, WIDTH)
    assert encoder.tokens == 4
    for name in values:
        changed = {**values, name: torch.zeros_like(values[name])}
        assert not torch.allclose(encoder(changed), tokens), name


def test_a_part_that_is_one_number_is_encoded() -> None:
    space = spaces.Dict({"speed": spaces.Box(-1.0, 1.0, ()), "robot": spaces.Box(-1.0, 1.0, (4,))})
    position = list(space.spaces).index("speed")
    encoder = ObservationTokens(space, EncoderSettings(WIDTH))
    single = ObservationTokens(spaces.Box(-1.0, 1.0, (1,)), EncoderSettings(WIDTH))
    single.vectors[0].load_state_dict(encoder.vectors[position].state_dict())
    speed = torch.tensor([[0.2, 0.4, 0.6]])
    tokens = encoder({"speed": speed, "robot": torch.zeros(1, 3, 4)})
    assert torch.equal(tokens[:, :, position], single(speed[..., None])[:, :, 0])


def test_stacked_images_are_refused() -> None:
    space = spaces.Dict({"front": spaces.Box(0, 255, (4, 24, 24, 3), np.uint8)})
    with pytest.raises(ValueError, match=r"observation front is Box.*; expected images of shape .* set obs_horizon"):
        ObservationTokens(space, EncoderSettings(WIDTH))


def test_depth_is_standardized_over_all_pixels() -> None:
    space = spaces.Dict(
        {"front": spaces.Box(0, 255, (20, 20, 3), np.uint8), "front_depth": spaces.Box(0.0, 5.0, (20, 20, 1))}
    )
    encoder = ObservationTokens(space, EncoderSettings(WIDTH))
    depth = np.random.default_rng(0).uniform(0.2, 1.2, (50, 20, 20, 1)).astype(np.float32)
    encoder.fit(array_statistics({"front": np.zeros((50, 20, 20, 3), np.uint8), "front_depth": depth}))
    standard = encoder.depths["front_depth"](torch.from_numpy(depth))
    assert float(standard.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(standard.std()) == pytest.approx(1.0, abs=1e-2)
    with pytest.raises(ValueError, match="'front_depth' is a depth image without an image"):
        ObservationTokens(spaces.Dict({"front_depth": space["front_depth"]}), EncoderSettings(WIDTH))


def test_cameras_may_share_an_encoder_and_stay_apart() -> None:
    image = spaces.Box(0, 255, (20, 20, 3), np.uint8)
    space = spaces.Dict({"front": image, "wrist": image})
    alone, shared = (ObservationTokens(space, EncoderSettings(WIDTH, share_image_encoder=s)) for s in (False, True))
    sizes = [sum(weights.numel() for weights in encoder.parameters()) for encoder in (alone, shared)]
    assert sizes[1] < 0.6 * sizes[0]
    values = observed(space, 1, 1)
    tokens = shared.eval()({"front": values["front"], "wrist": values["front"]})
    assert not torch.allclose(tokens[:, :, 0], tokens[:, :, 1])


def test_images_with_channels_first_are_those_with_channels_last() -> None:
    last, first = spaces.Box(0, 255, (20, 24, 3), np.uint8), spaces.Box(0, 255, (3, 20, 24), np.uint8)
    with isolated_rng(0):
        encoders = [
            ObservationTokens(spaces.Dict({"front": each}), EncoderSettings(WIDTH)).eval() for each in (last, first)
        ]
    encoders[1].load_state_dict(encoders[0].state_dict())
    pixels = torch.randint(0, 256, (2, 1, 20, 24, 3), dtype=torch.uint8)
    one, other = encoders[0].eval()({"front": pixels}), encoders[1].eval()({"front": pixels.movedim(-1, 2)})
    np.testing.assert_allclose(one.detach(), other.detach(), atol=1e-5)


@pytest.mark.parametrize(("readout", "tokens"), [("spatial_softmax", 1), ("pooling", 1), ("patches", 9)])
def test_every_readout_gives_its_tokens(readout: Readout, tokens: int) -> None:
    encoder = ImageEncoder(3, 24, 28, readout, WIDTH)
    assert encoder(torch.randn(2, 3, 24, 28)).shape == (2, tokens, WIDTH)
    assert encoder.tokens == tokens
    with pytest.raises(ValueError, match=f"images are 19 x 30; expected at least {MIN_SIZE} x {MIN_SIZE}"):
        ImageEncoder(3, 19, 30, readout, WIDTH)


def test_a_spatial_softmax_is_the_position_of_the_largest_activation() -> None:
    activations = torch.zeros(1, 2, 5, 9)
    activations[0, 0, 4, 2] = activations[0, 1, 0, 8] = 100.0
    np.testing.assert_allclose(spatial_softmax(activations), [[1.0, -1.0, -0.5, 1.0]], atol=1e-6)


def test_a_window_of_images_is_shifted_as_a_whole_in_training_alone() -> None:
    frame = torch.arange(30 * 30, dtype=torch.float32).reshape(1, 1, 30, 30, 1)
    images = frame.expand(8, 3, -1, -1, -1)
    with isolated_rng(0):
        moved = shifted(images, draw_shifts(8, 3, images.device))
    assert torch.equal(moved[:, 0], moved[:, 1])
    moves = {tuple(int(n) for n in divmod(int(each[0, 15, 15, 0]), 30)) for each in moved}
    assert len(moves) > 3
    assert all(12 <= row <= 18 and 12 <= column <= 18 for row, column in moves)
    space = spaces.Dict({"front": spaces.Box(0, 255, (24, 24, 3), np.uint8)})
    encoder, values = ObservationTokens(space, EncoderSettings(WIDTH)), observed(space, 2, 1)
    with isolated_rng(0):
        assert not torch.equal(encoder.train()(values), encoder(values))
        assert torch.equal(encoder.eval()(values), encoder(values))


def test_each_named_feature_is_a_token_of_its_own_numbers(make: Make) -> None:
    env = make("LamReach-v0")
    sizes = feature_sizes(env)[""]
    with isolated_rng(0):
        encoder = FeatureEncoder(sizes, WIDTH)
    values = torch.randn(2, 3, sum(sizes))
    tokens = encoder(values)
    assert tokens.shape == (2, 3, len(sizes), WIDTH)
    start = 0
    for number, size in enumerate(sizes):
        changed = values.clone()
        changed[..., start : start + size] += 1.0
        differs = (encoder(changed) != tokens).any(dim=-1)
        assert differs[..., number].all()
        assert not differs[..., [each for each in range(len(sizes)) if each != number]].any()
        start += size
    assert list(feature_sizes(make("LamReachGoal-v0"))) == ["observation"]
    assert feature_sizes(make("LamReach-v0", instruct=True)) == {"state": sizes}


def test_small_numbers_differ_more_near_zero_and_masked_ones_stay_hidden() -> None:
    statistics = Statistics(1, np.zeros(2), np.ones(2), -np.ones(2), np.ones(2))
    with isolated_rng(0):
        plain, fine = VectorEncoder(2, WIDTH), VectorEncoder(2, WIDTH, near_zero=True)
    values = torch.tensor([[[0.0, 3.0]]])
    for encoder in (plain, fine):
        encoder.fit(statistics, masked=[1])
        assert torch.equal(encoder(values), encoder(torch.tensor([[[0.0, -2.0]]])))
    assert fine.layer.in_features == 2 * plain.layer.in_features
    # 1 mm is 0.01: at 0 it counts more than at 30 cm.
    with torch.no_grad():
        near, far = (fine(torch.tensor([[[x, 0.0], [x + 0.01, 0.0]]])).diff(dim=1).abs().sum() for x in (0.0, 3.0))
    assert float(near) > 2.0 * float(far)


def encoded(*texts: str) -> torch.Tensor:
    return torch.from_numpy(np.stack([encode_instruction(text) for text in texts]))


def test_instructions_become_known_words() -> None:
    vocabulary = Vocabulary()
    vocabulary.fit(["Lift the red cube!", "lift the blue cube"])
    numbers = vocabulary(encoded("LIFT the blue, cube", "grab the Würfel " + "the " * 25))
    assert numbers.shape == (2, MAX_WORDS)
    assert (numbers[0] > UNKNOWN).sum() == 4
    assert numbers[1, :3].tolist() == [UNKNOWN, int(numbers[0, 1]), UNKNOWN]
    assert vocabulary.unknown("Grab the red Würfel") == ["grab", "würfel"]
    loaded = Vocabulary()
    assert loaded.unknown("lift") == ["lift"]
    loaded.load_state_dict(vocabulary.state_dict())
    assert loaded.unknown("lift it") == ["it"]
    assert torch.equal(loaded(encoded("red cube")), vocabulary(encoded("red cube")))
    vocabulary.fit(f"word{number}" for number in range(2 * VOCABULARY))
    assert len(vocabulary.unknown(" ".join(f"word{number}" for number in range(2 * VOCABULARY)))) == VOCABULARY


def test_the_token_of_an_instruction_depends_on_words_and_their_order() -> None:
    with isolated_rng(0):
        encoder = InstructionEncoder(WIDTH).eval()
        encoder.vocabulary.fit(["put the red cube on the blue cube"])
        rows = encoded("put the red cube on the blue cube", "put the blue cube on the red cube", "put the cube")
        tokens = encoder(rows[:, None].expand(-1, 2, -1))
        empty = encoder(torch.zeros(1, 1, MAX_BYTES, dtype=torch.uint8))
    assert tokens.shape == (3, 2, 1, WIDTH)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(tokens[one], tokens[other])
    assert bool(torch.isfinite(empty).all())


def test_words_are_those_of_the_demonstrations(make: Make, tmp_path: Any) -> None:
    env = make("LamGrasp-v0", instruct=True)
    dataset = demos.collect("LamGrasp-v0", episodes=2, env_kwargs={"instruct": True}, root=tmp_path)
    agent = agents.make("act", env, width=8, heads=2, batch_size=32)
    agent.learn(dataset, env, seed=0, budget=1)
    loaded = agents.load(agent.save(tmp_path / "act"), env)
    vocabulary = loaded.policy.encoder.instruction.vocabulary
    said = [episode.instruction for episode in DemonstrationData(dataset).episodes]
    assert all(vocabulary.unknown(text) == [] for text in said)
    assert vocabulary.unknown("zzz") == ["zzz"]

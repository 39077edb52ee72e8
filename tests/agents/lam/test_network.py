"""The network of lam: losses, absent entities, pointers, directions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.lam.entities import EntityReader, Schema
from agents.imitation.lam.geometry import RELATIONS, directions, relations
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.language import PLACEHOLDER
from agents.imitation.lam.networks.batch import LamBatch, absolute_errors, gripper_first, gripper_last, unknown_words
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.lam.policy import LamPolicy
from agents.policies.encoders.instructions import FIRST, PADDING, UNKNOWN
from agents.policies.transformer import Attention
from agents.training.randomness import isolated_rng

from ...conftest import Make
from .scenes import SIZES, observations_of, policy_of, things_layout


def batch_of(policy: LamPolicy, observations: Any) -> LamBatch:
    """Return the inputs of the network for observations, with random actions."""
    parts = observations if isinstance(observations, dict) else {"state": observations}
    tensors = {name: torch.from_numpy(values) for name, values in parts.items()}
    batch = policy.batch_of(tensors, torch.ones(len(tensors["state"]), dtype=torch.bool))
    rng = np.random.default_rng(0)
    actions = torch.from_numpy(rng.uniform(-1.0, 1.0, batch.actions.shape).astype(np.float32))
    return replace(batch, actions=actions)


def test_the_loss_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    predicted, actions = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    is_pad, is_used = rng.random((3, 4)) < 0.3, rng.random((3, 5)) < 0.7
    weights = 0.9 ** np.arange(4)[None, :, None] * ~is_pad[:, :, None] * is_used[:, None, :]
    expected = (np.abs(predicted - actions) * weights).sum() / weights.sum()
    unused: Any = None
    batch = LamBatch(
        unused, unused, unused, unused, unused,
        torch.from_numpy(actions), torch.from_numpy(is_used), torch.from_numpy(is_pad), unused,
    )  # fmt: skip
    errors = absolute_errors(torch.from_numpy(predicted), batch, 0.9)
    assert float(errors.mean()) == pytest.approx(expected, rel=1e-5)
    groups = np.array([[True, False, False], [False, True, False], [True, False, False]])
    sums = errors.by_group(torch.from_numpy(groups))
    for number, rows in enumerate(([0, 2], [1])):
        expected = np.average(np.abs(predicted - actions)[rows], weights=weights[rows])
        assert float(sums["losses"][number] / sums["weights"][number]) == pytest.approx(expected, rel=1e-5)
    assert sums["weights"][2] == 0.0


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25])
def test_word_dropout_hides_its_share_of_the_words_but_no_names(share: float, make: Make) -> None:
    policy = policy_of(make("LamReach-v0"))
    batch = batch_of(policy, observations_of(make("LamReach-v0"), range(3)))
    words = torch.tensor([FIRST, FIRST + 1, PLACEHOLDER, PADDING]).repeat(1000, 10)
    with isolated_rng(0):
        hidden = unknown_words(replace(batch, words=words), share).words
    changed = hidden != words
    assert (hidden[changed] == UNKNOWN).all()
    is_word = (words != PLACEHOLDER) & (words != PADDING)
    assert not changed[~is_word].any()
    assert float(changed[is_word].float().mean()) == pytest.approx(share, abs=0.01)


def test_padded_steps_and_unused_numbers_carry_no_gradient(make: Make) -> None:
    env = make("LamReach-v0")
    policy = policy_of(env)
    batch = batch_of(policy, observations_of(env, range(3)))
    is_pad, is_used = torch.zeros_like(batch.is_pad), torch.ones_like(batch.is_used)
    is_pad[0, 2:], is_used[1, 3] = True, False
    predicted = torch.zeros_like(batch.actions, requires_grad=True)
    errors = absolute_errors(predicted, replace(batch, is_pad=is_pad, is_used=is_used), 0.9)
    errors.mean().backward()  # type: ignore[no-untyped-call]
    gradient = predicted.grad
    assert gradient is not None
    assert not gradient[0, 2:].any()
    assert not gradient[1, :, 3].any()
    assert (gradient[2] != 0.0).all()


def test_the_gripper_comes_first_and_goes_back() -> None:
    actions = torch.tensor([[1.0, 2.0, 3.0, -1.0]])
    assert gripper_first(actions).tolist() == [[-1.0, 1.0, 2.0, 3.0]]
    assert torch.equal(gripper_last(gripper_first(actions)), actions)


def test_an_absent_entity_changes_nothing() -> None:
    layout = things_layout("red_cube", "blue_cube", "green_cube")
    schema = Schema.of([layout])
    torch.manual_seed(0)
    network = LamNetwork(schema, ["panda"], 4, SIZES).eval()
    reader = EntityReader(layout, schema)

    def chunk(absent: float) -> torch.Tensor:
        here, there = [1.0, 0.5, 0.1, 0.0, *[0.3] * 9], [0.0, *[absent] * 12]
        # Green is there in the second scene alone, so its tokens are computed for both.
        values = np.stack([layout.encode([0.4, 0.0, 0.2, *here, *here, *green]) for green in (there, here)])
        count = len(values)
        return network(
            LamBatch(
                reader(torch.from_numpy(values)),
                torch.zeros(1, 24, dtype=torch.int64),
                torch.zeros(count, dtype=torch.int64),
                torch.full((count, len(schema.kinds)), -1),
                torch.ones(count, dtype=torch.int64),
                torch.zeros(count, 4, 4),
                torch.ones(count, 4, dtype=torch.bool),
                torch.zeros(count, 4, dtype=torch.bool),
                torch.ones(count, dtype=torch.bool),
            )
        )[0].detach()

    assert torch.equal(chunk(0.0), chunk(0.7))


def test_renaming_an_object_changes_its_lookups_alone(make: Make) -> None:
    env: Any = make("LamTable-v0", instruct=True)
    policy = policy_of(env)
    first = env.reset(seed=0, options={"instruction": "lift the red cube"})[0]
    second = {
        **first,
        "instruction": env.reset(seed=0, options={"instruction": "lift the blue cube"})[0]["instruction"],
    }
    batch = batch_of(policy, {name: np.stack([first[name], second[name]]) for name in first})
    assert torch.equal(batch.words[0], batch.words[1])
    red, blue = (policy.reader.names.index(name) for name in ("red_cube", "blue_cube"))
    place = batch.mentions[0, red]
    assert place == batch.mentions[1, blue] == 2
    swapped = batch.mentions[0].clone()
    swapped[[red, blue]] = swapped[[blue, red]]
    assert torch.equal(swapped, batch.mentions[1])
    red_chunk, blue_chunk = policy.network(batch)
    assert not torch.allclose(red_chunk, blue_chunk)


def test_a_policy_without_instructions_acts_alike_whatever_is_said(make: Make) -> None:
    env: Any = make("LamTable-v0", instruct=True)
    network = policy_of(env).network
    said = [env.reset(seed=0, options={"instruction": f"lift the {color} cube"})[0] for color in ("red", "blue")]
    for use_instruction in (True, False):
        policy = LamPolicy(Interface.of(env), network, executed=2, decay=0.9, use_instruction=use_instruction).eval()
        red, blue = (policy.predict(each, deterministic=True)[0] for each in said)
        assert np.array_equal(red, blue) != use_instruction


def test_a_batch_gives_the_same_chunks_as_single_scenes(make: Make) -> None:
    env = make("LamTable-v0", instruct=True)
    policy = policy_of(env)
    observations = observations_of(env, range(4))
    together = policy.predict(observations, deterministic=True)[0]
    for number, action in enumerate(together):
        single = {name: values[number] for name, values in observations.items()}
        np.testing.assert_allclose(policy.predict(single, deterministic=True)[0], action, atol=1e-5)


def test_attention_goes_to_what_is_there(make: Make) -> None:
    env: Any = make("LamTable-v0", instruct=True)
    policy = policy_of(env)
    observation = env.reset(seed=0)[0]
    shares = policy.attention(observation)
    assert sum(shares.values()) == pytest.approx(1.0)
    features = env.unwrapped.layout.decode(observation["state"])
    colors = ("red", "green", "blue", "yellow", "purple")
    assert [shares[f"{color}_cube"] > 0.0 for color in colors] == [
        bool(features[f"{color}_cube/present"][0] > 0.5) for color in colors
    ]


def test_attention_to_the_instruction_is_split_among_its_words(make: Make) -> None:
    env: Any = make("LamTable-v0", instruct=True)
    policy = policy_of(env)
    torch.nn.init.normal_(policy.network.sentences.layers[0].attention.query.weight)
    observation = env.reset(seed=0, options={"instruction": "put the red cube in the bin"})[0]
    found = policy.word_attention(observation)
    assert [word for word, _ in found] == ["put", "the", "red cube", "in", "the", "bin"]
    shares = [share for _, share in found]
    assert min(shares) > 0.0
    assert max(shares) > 1.05 * min(shares)
    assert sum(shares) == pytest.approx(policy.attention(observation)["instruction"], rel=1e-5)
    twice = env.reset(seed=0, options={"instruction": "take the slab, lift the slab", "command": (0, 0, 0)})[0]
    assert [word for word, _ in policy.word_attention(twice)] == ["take", "the", "slab", "lift", "the", "slab"]
    plain = make("LamReach-v0")
    assert policy_of(plain).word_attention(plain.reset(seed=0)[0]) == []


def test_weights_of_attention_are_those_that_it_reads_with() -> None:
    layer, tokens = Attention(8, heads=1), torch.randn(2, 5, 8)
    is_pad = torch.tensor([[False] * 5, [False, False, True, False, True]])
    weights = layer.weights(tokens[:, :1], tokens, is_pad)
    assert not weights[is_pad[:, None]].any()
    value = layer.value_and_key(tokens).chunk(2, dim=2)[0]
    torch.testing.assert_close(layer.output(weights @ value), layer(tokens[:, :1], tokens, is_pad))


def test_relations_are_those_of_the_mirrored_and_turned_scene(make: Make) -> None:
    env: Any = make("LamStack-v0")
    layout = env.unwrapped.layout
    table = EntityReader(layout, Schema.of([layout]))(torch.from_numpy(observations_of(env, range(3))))
    before = relations(table)
    assert before.shape[-1] == RELATIONS
    turned = torch.tensor([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    parts = {name: getattr(table, name) @ turned.T for name in ("positions", "velocities", "headings")}
    torch.testing.assert_close(relations(replace(table, **parts)), before, atol=1e-4, rtol=1e-4)
    # The goal of Stack has no position.
    goal = [name for name, located in enumerate(table.located[0]) if not located]
    assert goal
    assert not before[:, goal].any()


def test_directions_have_length_one_and_vanish_smoothly() -> None:
    vectors = torch.tensor([[0.3, 0.4, 9.0], [0.0, 0.0, 1.0], [0.0005, 0.0, 0.0]])
    torch.testing.assert_close(directions(vectors), torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.5, 0.0]]))

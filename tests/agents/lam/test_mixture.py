"""Steps of several datasets as examples: read, mirrored, cut, and drawn into minibatches."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import demos
from agents.imitation.lam.entities import Schema
from agents.imitation.lam.mixture import Mixture
from agents.imitation.lam.settings import IDLE_STEPS
from agents.imitation.lam.sources import read_source
from lam_envs.observation.features import Feature, Layout
from lam_envs.observation.instructions import encode_instruction

from ...conftest import Make


def test_features_in_files_give_the_same_minibatches_in_every_process(both: Any) -> None:
    layouts = [read_source(dataset).interface.layout for dataset in both]
    schema, minibatches = Schema.of(layouts), []
    for in_memory_bytes in (2**30, 0):
        sources = [read_source(dataset, in_memory_bytes=in_memory_bytes) for dataset in both]
        mixture = Mixture([*sources, *(each.mirrored() for each in sources)], schema, ["panda"], 4, 8)
        mixture.fit_words(torch.zeros(len(mixture.parsed), 1, dtype=torch.int64))
        rows = np.random.default_rng(0).integers(len(mixture), size=64)
        # As the other processes of a training get it.
        copied = pickle.loads(pickle.dumps(mixture))
        minibatches += [mixture[rows], copied[rows]]
    for other in minibatches[1:]:
        assert torch.equal(other.table.values, minibatches[0].table.values)
        assert torch.equal(other.actions, minibatches[0].actions)


def test_demonstrations_are_mirrored_and_cut_after_success(both: Any, make: Make) -> None:
    source = read_source(both[0])
    episodes = list(both[0].iterate_episodes())
    assert len(source) < sum(len(each.actions) for each in episodes)
    solved = int(np.argmax(episodes[0].infos["is_success"][1:]))
    assert int(source.ends[0]) == solved + 1 + IDLE_STEPS
    assert int(read_source(both[0], idle_steps=5).ends[0]) == solved + 1 + 5
    mirrored = source.mirrored()
    assert torch.equal(mirrored.actions[:, 1], -source.actions[:, 1])
    again = mirrored.mirrored()
    assert torch.equal(again.observations, source.observations)
    told = replace(source, sentences=["go left"] * len(source)).mirrored()
    assert set(told.sentences) == {"go right"}
    layout = Layout([Feature("hole/side", 1, "1", "side of the hole", 0.0, 1.0, 1.0)])
    with pytest.raises(ValueError, match=r"cannot be mirrored: .* Set mirror=false$"):
        replace(source, interface=replace(source.interface, layout=layout)).mirrored()


def test_steps_of_a_chain_have_the_sentence_of_their_command_and_chunks_end_with_it(tmp_path: Path) -> None:
    chain = demos.collect(
        "LamTable-v0", episodes=2, seed=0, root=tmp_path, env_kwargs={"chain": 2, "instruct": True}, workers=1
    )
    source = read_source(chain)
    ends = np.unique(source.ends.numpy())
    assert len(ends) == 4
    assert int(ends[-1]) == len(source)
    first = 0
    for end, episode in zip(ends, np.repeat(list(chain.iterate_episodes()), 2), strict=True):
        assert set(source.sentences[first:end]) == {source.sentences[first]}
        encoded = {row.tobytes() for row in episode.observations["instruction"]}
        assert encode_instruction(source.sentences[first]).tobytes() in encoded
        first = int(end)
    assert source.sentences[0] != source.sentences[int(ends[0])]
    # Without the instruction in observations, the sentences are those that were recorded beside them.
    alone = demos.collect("LamTable-v0", episodes=2, seed=0, root=tmp_path, env_kwargs={"chain": 2}, workers=1)
    assert read_source(alone).sentences == source.sentences


def test_each_step_is_sampled_equally_often_or_by_the_share_of_its_task(both: Any) -> None:
    sources = [read_source(dataset) for dataset in both]
    sources += [source.mirrored() for source in sources]
    schema = Schema.of([source.interface.layout for source in sources])
    mixture = Mixture(sources, schema, ["panda"], 4, 8)
    counts = np.array([len(source) for source in sources])
    owner = np.repeat([0, 1, 0, 1], counts)
    all_alike = counts[1] / counts.sum() * 2
    for shares, expected in ((None, all_alike), ({"reach panda ee": 3.0, "grasp panda ee": 1.0}, 0.25)):
        drawn = mixture.sampler(64, 50, shares)(np.random.default_rng(0))
        assert len(drawn) == 64 * 50
        assert abs(np.mean(owner[drawn]) - expected) < 0.03
        assert len(np.unique(drawn)) > 0.8 * counts.sum()


def test_the_scenes_of_a_minibatch_have_similar_entities(both: Any, tmp_path: Path) -> None:
    ids = ("LamTable-v0", "LamClutter-v0", "LamDrawer-v0")
    others = [demos.collect(env_id, episodes=1, seed=0, root=tmp_path) for env_id in ids]
    sources = [read_source(dataset) for dataset in (others[0], both[0], *others[1:], both[1])]
    schema = Schema.of([source.interface.layout for source in sources])
    mixture = Mixture(sources, schema, ["panda"], 4, 8)
    owner = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    sampler = mixture.sampler(16, 200, dict.fromkeys(mixture.groups, 1.0))
    drawn = owner[sampler(np.random.default_rng(0))].reshape(200, 16)
    assert {tuple(np.unique(each)) for each in drawn} == {(0,), (2,), (1, 3, 4)}


def test_examples_are_the_steps_with_their_next_actions(both: Any) -> None:
    sources = [read_source(dataset) for dataset in both]
    schema = Schema.of([source.interface.layout for source in sources])
    mixture = Mixture(sources, schema, ["panda"], 4, 8)
    with pytest.raises(RuntimeError, match="call fit_words first"):
        mixture[np.array([0])]
    mixture.fit_words(torch.arange(len(mixture.parsed))[:, None])
    last = int(sources[0].ends[0]) - 1
    batch = mixture[np.array([len(sources[0]), last, 0])]
    for row, (source, step) in enumerate(((sources[1], 0), (sources[0], last), (sources[0], 0))):
        gripper_then_motion = torch.roll(source.actions[step], 1)
        assert torch.equal(batch.actions[row, 0], gripper_then_motion)
    assert batch.is_pad[1].tolist() == [False] + [True] * 7
    assert not batch.is_pad[2].any()
    assert batch.table.present.sum(dim=1).tolist() == [2, 2, 2]

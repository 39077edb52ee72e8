"""The baseline of lam: one multilayer perceptron over the union of all features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.entities import EntityReader, Schema
from agents.imitation.lam.networks.mlp import MlpNetwork

from ...conftest import Make
from .scenes import SIZES, SMALL, observations_of, things_layout

MLP: dict[str, Any] = {**SMALL, "network": "mlp"}


def test_absent_features_are_zeros_and_a_presence_bit(make: Make) -> None:
    layouts = [make(env_id).unwrapped.layout for env_id in ("LamReach-v0", "LamGrasp-v0")]  # type: ignore[attr-defined]
    schema = Schema.of(layouts, by_name=True)
    assert list(schema.counts.values()) == [1] * len(schema.counts)
    network = MlpNetwork(schema, ["panda"], 4, SIZES)
    seen = []
    for layout, env_id in zip(layouts, ("LamReach-v0", "LamGrasp-v0"), strict=True):
        table = EntityReader(layout, schema)(torch.from_numpy(observations_of(make(env_id), [0])))
        seen.append(network.features(table)[0])
    assert seen[0].shape == seen[1].shape == (sum(schema.widths.values()),)
    start = 0
    for kind, width in schema.widths.items():
        reach, grasp = (features[start : start + width] for features in seen)
        is_flag = torch.arange(width) >= sum(schema.sizes[kind].values())
        if kind == "object":
            assert not reach.any()
            assert (grasp[is_flag] == 1.0).all()
        start += width


def test_an_object_that_is_not_in_the_scene_gives_zeros() -> None:
    layout = things_layout("red_cube", "blue_cube")
    schema = Schema.of([layout], by_name=True)
    network, reader = MlpNetwork(schema, ["panda"], 4, SIZES), EntityReader(layout, schema)
    here, absent = [1.0, 0.5, 0.1, 0.0, *[0.3] * 9], [0.0, *[0.7] * 12]
    features = [
        network.features(reader(torch.from_numpy(layout.encode([0.4, 0.0, 0.2, *here, *blue])[None])))[0]
        for blue in (here, absent)
    ]
    width = schema.widths["blue_cube"]
    start = sum(schema.widths[kind] for kind in list(schema.counts)[: list(schema.counts).index("blue_cube")])
    assert features[0][start : start + width].any()
    assert not features[1][start : start + width].any()
    others = [torch.cat([each[:start], each[start + width :]]) for each in features]
    assert torch.equal(*others)


def test_one_perceptron_learns_several_tasks_and_is_saved(both: Any, make: Make, tmp_path: Path) -> None:
    reach, grasp = make("LamReach-v0", instruct=True), make("LamGrasp-v0", robot="xarm6", instruct=True)
    agent: Lam = agents.make("lam", reach, **MLP)
    agent.learn(both, [reach, grasp], seed=0, budget=1)
    again: Lam = agents.make("lam", reach, **MLP)
    again.learn(both, [reach, grasp], seed=0, budget=1)
    assert all(torch.equal(values, again.weights()[name]) for name, values in agent.weights().items())
    folder = agent.save(tmp_path / "mlp")
    for env in (reach, grasp):
        observations = observations_of(env, range(3))
        loaded = agents.load(folder, env)
        assert loaded.predict(observations)[0].shape == (3, 4)
    same = agents.load(folder, reach).predict(observations_of(reach, range(3)))[0]
    np.testing.assert_array_equal(same, agent.predict(observations_of(reach, range(3)))[0])
    with pytest.raises(ValueError, match="has no attention"):
        agent.policy.attention(reach.reset(seed=0)[0])
    with pytest.raises(ValueError, match="has no attention"):
        agent.policy.word_attention(reach.reset(seed=0)[0])


def test_a_few_episodes_are_overfitted(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    errors = []
    for budget in (1, 6):
        agent: Lam = agents.make("lam", env, **{**MLP, "batches": 10, "mirror": False, "learning_rate": 0.01})
        agent.learn(both[0], env, seed=0, budget=budget)
        episode = next(both[0].iterate_episodes())
        predicted = agent.predict(episode.observations[:5])[0]
        errors.append(np.abs(predicted - episode.actions[:5]).mean())
    assert errors[1] < 0.5 * errors[0]


def test_names_in_an_instruction_are_ordinary_words(make: Make) -> None:
    agent: Lam = agents.make("lam", make("LamTable-v0", instruct=True), network="mlp", width=8)
    parsed = agent.policy.parsed("Lift the red cube.")
    assert parsed.words == ("lift", "the", "red", "cube")
    assert set(parsed.mentions) == {-1}


def test_a_finetuned_perceptron_starts_with_what_it_knew(both: Any, make: Make, tmp_path: Path) -> None:
    reach, grasp = make("LamReach-v0"), make("LamGrasp-v0")
    agent: Lam = agents.make("lam", reach, **MLP)
    agent.learn(both[0], reach, seed=0, budget=1)
    folder = agent.save(tmp_path / "mlp")
    # With a learning rate of almost 0, nothing changes in the scenes that it knew.
    tuned = Lam.finetune(folder, both[1], grasp, seed=1, budget=1, learning_rate=1e-12)
    observations = observations_of(reach, range(4))
    expected = agents.load(folder, reach).predict(observations)[0]
    known = agents.load(tuned.save(tmp_path / "tuned"), reach).predict(observations)[0]
    np.testing.assert_allclose(known, expected, atol=1e-5)
    with pytest.raises(ValueError, match="the model has network=mlp; settings cannot change it to transformer"):
        Lam.finetune(folder, both[1], grasp, seed=1, network="transformer")


def test_a_schema_of_the_other_network_is_refused(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = agents.make("lam", env, network="mlp", width=8).save(tmp_path / "mlp")
    described = json.loads((folder / "agent.json").read_text())
    del described["model"]["schema"]["by_name"]
    (folder / "agent.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="its schema is not one of the network mlp"):
        agents.load(folder, env)

"""The head of lam that makes chunks from noise by flow matching."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.entities import Schema
from agents.imitation.lam.mixture import Mixture
from agents.imitation.lam.networks.base import Sizes
from agents.imitation.lam.networks.heads import FlowHead
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.lam.sources import read_source
from agents.imitation.lam.transfer import transfer
from agents.training.randomness import isolated_rng

from ...conftest import Make
from .scenes import SMALL, observations_of

FLOW: dict[str, Any] = {**SMALL, "head": "flow"}


@pytest.fixture
def reach(datasets: Any) -> Any:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root)


def batch_for(agent: Lam, dataset: Any, rows: Any) -> Any:
    """Return a minibatch of a dataset with noise."""
    network = agent.policy.network
    mixture = Mixture([read_source(dataset)], network.schema, ["panda"], 4, network.sizes.actions)
    mixture.fit_words(network.sentences.numbers(mixture.parsed))
    with isolated_rng(0):
        return agent.policy.augment(mixture[rows])


def test_the_loss_is_that_of_the_equation(reach: Any, make: Make) -> None:
    agent: Lam = agents.make("lam", make("LamReach-v0"), **FLOW)
    last = int(read_source(reach).ends[0]) - 1
    batch = batch_for(agent, reach, np.array([0, 1, last]))
    with torch.no_grad():
        loss = float(agent.policy.compute_loss(batch)[0])
        hidden, motion = agent.policy.network.encode(batch)
        head = agent.policy.network.head
        assert isinstance(head, FlowHead)
        time = batch.time[:, None, None]
        noisy = (1.0 - time) * batch.noise + time * batch.actions
        noisy = torch.where(batch.is_pad[:, :, None], batch.noise, noisy)
        velocity = (head.denoiser(noisy, batch.time, hidden) + motion - noisy) / (1.0 - time)
        errors = ((velocity - (batch.actions - batch.noise)) ** 2).numpy()
    weights = np.broadcast_to(0.9 ** np.arange(8)[:, None] * ~batch.is_pad.numpy()[:, :, None], errors.shape)
    assert batch.is_pad[2, 1:].all()
    assert loss == pytest.approx(np.average(errors, weights=weights), rel=1e-5)
    with pytest.raises(RuntimeError, match="call the policy's augment first"):
        agent.policy.compute_loss(replace(batch, noise=None))


def test_unused_numbers_and_steps_change_nothing(reach: Any, make: Make) -> None:
    agent: Lam = agents.make("lam", make("LamReach-v0"), **FLOW)
    last = int(read_source(reach).ends[0]) - 1
    batch = batch_for(agent, reach, np.array([0, last]))
    batch = replace(batch, is_used=torch.tensor([[True, True, True, False]]).expand(2, -1))
    changed = batch.actions.clone()
    changed[:, :, 3], changed[1, 1:] = 0.7, -0.3
    losses = [agent.policy.compute_loss(each)[0] for each in (batch, replace(batch, actions=changed))]
    assert torch.equal(*losses)


def test_noise_decides_on_a_chunk_and_zeros_are_the_default(make: Make) -> None:
    env = make("LamReach-v0")
    agent: Lam = agents.make("lam", env, **FLOW)
    observation = observations_of(env, [0])[0]
    one, same = (agent.predict(observation, deterministic=True)[0] for _ in range(2))
    np.testing.assert_array_equal(one, same)
    with isolated_rng(0):
        drawn = [agent.predict(observation, deterministic=False)[0] for _ in range(2)]
    assert not np.array_equal(*drawn)
    assert not np.array_equal(drawn[0], one)


def test_a_few_episodes_are_overfitted_and_the_model_is_saved(reach: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    errors = []
    for budget in (1, 10):
        settings = {"width": 32, "batches": 10, "batch_size": 64, "learning_rate": 0.003, "mirror": False}
        agent: Lam = agents.make("lam", env, head="flow", **settings)
        agent.learn(reach, env, seed=0, budget=budget)
        episode = next(reach.iterate_episodes())
        errors.append(
            np.abs(agent.predict(episode.observations[:5], deterministic=True)[0] - episode.actions[:5]).mean()
        )
    assert errors[1] < 0.5 * errors[0]
    folder = agent.save(tmp_path / "lam")
    observations = observations_of(env, range(3))
    expected = agent.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(agents.load(folder, env).predict(observations, deterministic=True)[0], expected)
    with pytest.raises(ValueError, match="the model has head=flow; settings cannot change it to l1"):
        Lam.finetune(folder, reach, env, seed=0, head="l1")


def test_a_flow_moves_to_a_network_with_longer_actions(make: Make) -> None:
    env: Any = make("LamReach-v0")
    small, large = (
        LamNetwork(Schema.of([env.unwrapped.layout]), ["panda"], size, Sizes(16, 2, 4, "flow")) for size in (4, 6)
    )
    transfer(small, large)
    hidden, used = torch.randn(3, 64), torch.arange(6) < 4
    noise = torch.randn(3, 4, 6)
    noise[:, :, 4:] = 0.0
    with torch.no_grad():
        first = small.head.chunk(hidden, torch.zeros(()), torch.ones(3, 4, dtype=torch.bool), noise[:, :, :4])
        second = large.head.chunk(hidden, torch.zeros(()), used.expand(3, -1), noise)
    torch.testing.assert_close(second[:, :, :4], first, atol=1e-5, rtol=1e-5)

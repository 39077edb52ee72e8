"""EnsembleDAgger asks the expert only where its policies disagree, and counts the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import agents
import demos
from agents.data.demonstrations import Transitions
from agents.policies.ensemble import EnsemblePolicy

from ..conftest import Make
from .test_dagger import Asked
from .test_rl import same
from .test_runs import Fragile, KilledError

QUICK: dict[str, Any] = {
    "initial_fraction": 0.25,
    "iterations": 2,
    "updates_per_iteration": 10,
    "epochs": 2,
    "batch_size": 16,
    "hidden_sizes": [8],
    "ensemble_size": 2,
}


@pytest.fixture
def short(make: Make, tmp_path: Path) -> tuple[Any, Any]:
    env_kwargs = {"max_episode_steps": 12}
    dataset = demos.collect("LamReach-v0", episodes=8, env_kwargs=env_kwargs, root=tmp_path / "data")
    return dataset, make("LamReach-v0", **env_kwargs)


def test_only_questions_become_labels(short: Any, make: Make, tmp_path: Path) -> None:
    dataset, env = short
    expert = Asked(demos.make_expert(make("LamReach-v0", max_episode_steps=12)))
    agent = agents.make("ensemble-dagger", env, **QUICK)
    agent.learn(dataset, env, seed=0, expert=expert)
    assert 0 < len(expert.labels) < 6 * 12
    assert agent.training["labels"] == 2 * 12 + len(expert.labels)
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    assert same(agent, loaded)
    assert loaded.training["labels"] == agent.training["labels"]


def test_an_ensemble_that_never_disagrees_asks_nothing(
    short: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, env = short
    expert = Asked(demos.make_expert(make("LamReach-v0", max_episode_steps=12)))
    monkeypatch.setattr(EnsemblePolicy, "disagreement", lambda self, seen: torch.zeros(len(seen)))
    agent = agents.make("ensemble-dagger", env, **QUICK)
    agent.learn(dataset, env, seed=0, expert=expert)
    assert not expert.labels
    assert agent.training["labels"] == 2 * 12


def test_a_killed_training_resumes_to_the_same_weights(short: Any, tmp_path: Path) -> None:
    dataset, env = short
    whole, again = (agents.make("ensemble-dagger", env, **QUICK) for _ in range(2))
    whole.learn(dataset, env, seed=0)
    run = Fragile(tmp_path / "run")
    run.left = 7
    with pytest.raises(KilledError):
        again.learn(dataset, env, seed=0, run=run)
    again.learn(dataset, env, seed=0, run=agents.Run(tmp_path / "run"))
    assert same(again, whole)
    assert again.training["labels"] == whole.training["labels"]


def test_policies_act_by_their_mean_and_learn_as_if_alone(make: Make) -> None:
    env = make("LamReach-v0")
    policy: Any = agents.make("ensemble-dagger", env, hidden_sizes=[8], ensemble_size=3).policy
    seen = torch.zeros(4, env.observation_space.shape[0])  # type: ignore[index]
    each = torch.stack([member.predict_action(seen)[0] for member in policy.members])
    torch.testing.assert_close(policy.predict_action(seen)[0], each.mean(dim=0))
    torch.testing.assert_close(policy.disagreement(seen), each.std(dim=0, correction=0).mean(dim=1))
    batch = Transitions(seen, torch.zeros(4, 4))
    policy.compute_loss(batch)[0].backward()
    gradient = policy.members[0].network.action_net[0].weight.grad.clone()
    policy.zero_grad()
    policy.members[0].compute_loss(batch)[0].backward()
    torch.testing.assert_close(policy.members[0].network.action_net[0].weight.grad, gradient)


def test_discrete_actions_are_chosen_by_vote(make: Make) -> None:
    env = make("LamReachDiscrete-v0")
    policy: Any = agents.make("ensemble-dagger", env, hidden_sizes=[8], ensemble_size=3).policy
    seen = torch.randn(16, policy.observation_space.shape[0])
    votes = torch.stack([member.predict_action(seen)[0] for member in policy.members])
    chosen = policy.predict_action(seen)[0]
    assert bool((votes == chosen).any(dim=0).all())
    torch.testing.assert_close(policy.disagreement(seen), (votes != chosen).float().mean(dim=0))


def test_other_learners_are_refused_with_the_reason(make: Make) -> None:
    with pytest.raises(
        ValueError, match=r"learner is 'act'; ensemble-dagger supports only bc policies: .* use dagger or hg-dagger"
    ):
        agents.make("ensemble-dagger", make("LamReach-v0"), learner="act")

"""The cost of a training excludes periodic evaluations, which change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import agents
import demos
from agents.rl.ppo import PPOAgent
from agents.training.run import Run
from benchmarks.runner import training
from benchmarks.runner.training import CountedSteps, train
from benchmarks.suite.suite import PeriodicEvaluation

from ..agents.test_runs import KilledError
from ..conftest import Make

SMALL: dict[str, dict[str, Any]] = {
    "bc": {"epochs": 8, "batch_size": 32},
    "bco": {"epochs": 8, "batch_size": 32, "exploration_steps": 80, "inverse_epochs": 2, "inverse_batch_size": 32},
    "dqn": {"steps": 400, "learning_starts": 100, "batch_size": 16, "hidden_sizes": (16,), "train_freq": 4},
    "ppo": {"steps": 3 * 80, "steps_per_iteration": 80, "batch_size": 40, "epochs": 2, "hidden_sizes": (16,)},
}
STEPS = {"bc": 0, "dqn": 400, "ppo": 240}
STOPS = {"bc": 6, "bco": 6, "ppo": 4}
"""Call of the log that a training is killed in."""


@pytest.mark.parametrize("name", ["bc", *(pytest.param(name, marks=pytest.mark.slow) for name in ("dqn", "ppo"))])
def test_steps_and_success_of_a_training_are_noted_and_nothing_is_changed(
    name: str, datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To make eight takes longer than to train in them.
    monkeypatch.setattr(PPOAgent, "n_envs", 2)
    root, ids = datasets
    env = make("LamReachDiscrete-v0" if name == "dqn" else "LamReach-v0")
    shown = [demos.load(ids["LamReach-v0"], root)] if name == "bc" else []
    alone, watched = (agents.make(name, env, **SMALL[name]) for _ in range(2))
    unwatched = train(alone, shown, [env], seed=0)
    assert unwatched.curve is None
    cost = train(watched, shown, [env], seed=0, periodic_eval=PeriodicEvaluation(evaluations=4, episodes=2))
    assert cost.environment_steps == unwatched.environment_steps == STEPS[name]
    assert cost.curve is not None
    assert cost.curve.unit == ("epochs" if name == "bc" else "steps")
    assert 2 <= len(cost.curve.done) <= 4
    assert list(cost.curve.done) == sorted(cost.curve.done)
    assert all(rate in (0.0, 0.5, 1.0) for rate in cost.curve.success)
    for (key, one), (same, other) in zip(
        alone.policy.state_dict().items(), watched.policy.state_dict().items(), strict=True
    ):
        assert key == same
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["bc", "bco", pytest.param("ppo", marks=pytest.mark.slow)])
def test_a_training_that_is_killed_resumes_with_its_records_and_the_same_weights(
    name: str, datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(PPOAgent, "n_envs", 2)
    checkpoint = Run.checkpoint
    monkeypatch.setattr(Run, "checkpoint", lambda self, state, now=False: checkpoint(self, state, now=True))
    root, ids = datasets
    env, folder = make("LamReach-v0"), tmp_path / "unfinished" / "agent"
    shown = [demos.load(ids["LamReach-v0"], root)] if name != "ppo" else []
    periodic_eval = PeriodicEvaluation(evaluations=4, episodes=2)
    log, logged = training.ReportingRun.log, list[int]()
    stops_at = 0

    def kill(self: Any, done: int, **numbers: float) -> None:
        log(self, done, **numbers)
        logged.append(done)
        if len(logged) == stops_at:
            raise KilledError

    monkeypatch.setattr(training.ReportingRun, "log", kill)
    whole = agents.make(name, env, **SMALL[name])
    expected = train(whole, shown, [env], seed=0, periodic_eval=periodic_eval)
    in_all, stops_at = len(logged), len(logged) + STOPS[name]
    with pytest.raises(KilledError):
        train(agents.make(name, env, **SMALL[name]), shown, [env], seed=0, periodic_eval=periodic_eval, folder=folder)
    assert list(folder.iterdir())
    resumed = agents.make(name, env, **SMALL[name])
    cost = train(resumed, shown, [env], seed=0, periodic_eval=periodic_eval, folder=folder)
    # Steps, curve and weights are those of one training; times differ.
    assert cost == expected
    assert len(logged) - stops_at < in_all
    for one, other in zip(whole.policy.state_dict().values(), resumed.policy.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_rollouts_with_labels_count_its_steps(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, shown = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    agent = agents.make(
        "dagger", env, epochs=2, batch_size=32, initial_fraction=0.5, iterations=2, updates_per_iteration=4
    )
    cost = train(agent, [shown], [env], seed=0, periodic_eval=PeriodicEvaluation(evaluations=2, episodes=1))
    assert cost.environment_steps > 0
    assert env.spec is not None
    assert env.spec.max_episode_steps is not None
    assert cost.environment_steps % env.spec.max_episode_steps == 0
    assert cost.environment_steps <= shown.total_steps
    # The labels are those of one of two demonstrations and of the rollouts.
    assert cost.expert_labels == agent.training["labels"]
    assert cost.expert_labels is not None
    assert cost.environment_steps < cost.expert_labels <= shown.total_steps


def test_an_agent_that_cannot_be_watched_learns_all_the_same(make: Make) -> None:
    class Simple:
        learned = False

        def learn(self, demonstrations: Any, env: Any, *, seed: int) -> None:
            env.reset(seed=seed)
            env.step(env.action_space.sample())
            self.learned = True

    agent: Any = Simple()
    before = CountedSteps.total
    cost = train(
        agent, [], [make("LamReach-v0")], seed=0, periodic_eval=PeriodicEvaluation(evaluations=2, episodes=1)
    )
    assert agent.learned
    assert cost.curve is not None
    assert cost.curve.success == ()
    assert cost.environment_steps == CountedSteps.total - before == 1

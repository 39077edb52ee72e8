"""DAgger: the policy acts, the expert labels the states it visits, within the budget of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agents
import demos

from ..conftest import Make
from .test_rl import same
from .test_runs import Fragile, KilledError

QUICK: dict[str, Any] = {
    "initial_fraction": 0.25,
    "iterations": 2,
    "updates_per_iteration": 20,
    "epochs": 4,
    "batch_size": 32,
    "hidden_sizes": [16],
}


class Asked:
    """Expert that records its inputs and labels."""

    def __init__(self, expert: Any) -> None:
        self._expert = expert
        self.observations: list[Any] = []
        self.labels: list[Any] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        label = self._expert.predict(observation)[0]
        self.observations.append(observation)
        self.labels.append(label)
        return label, state


@pytest.mark.parametrize(
    "env_id",
    [
        *(pytest.param(env_id, marks=pytest.mark.slow) for env_id in ("LamReach-v0", "LamReachDiscrete-v0")),
        "LamReachGoal-v0",
    ],
)
def test_there_are_no_more_labels_than_demonstrated_steps(env_id: str, make: Make, tmp_path: Path) -> None:
    env = make(env_id)
    dataset = demos.collect(env_id, episodes=8, root=tmp_path)
    expert = Asked(demos.make_expert(make(env_id)))
    agent = agents.make("dagger", env, **QUICK)
    agent.learn(dataset, env, seed=0, expert=expert)
    assert len(expert.labels) == 6 * 40
    assert env.action_space.contains(np.asarray(agent.predict(expert.observations[0], deterministic=True)[0]))
    first = expert.observations[0]
    started = first["observation"] if isinstance(first, dict) else first
    shown = {
        str(episode.observations["observation"][0] if isinstance(first, dict) else episode.observations[0])
        for episode in dataset.iterate_episodes()
    }
    assert str(started) not in shown, "the rollout starts like a demonstration"


def test_labels_of_the_expert_are_executed_only_with_beta(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)

    class Stubborn:
        def predict(self, observation: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            return np.ones(4, dtype=np.float32), None

    def visited(expert: Any, beta: float) -> Any:
        asked = Asked(expert)
        agents.make("dagger", env, **{**QUICK, "iterations": 1}, beta=beta).learn(dataset, env, seed=0, expert=asked)
        return np.stack(asked.observations)

    wise = demos.make_expert(make("LamReach-v0"))
    np.testing.assert_array_equal(visited(wise, 0.0), visited(Stubborn(), 0.0))
    assert not np.array_equal(visited(wise, 0.5), visited(Stubborn(), 0.5))


@pytest.mark.slow
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    whole = agents.make("dagger", env, **QUICK)
    # Watched: what shows the success as it goes changes nothing.
    whole.learn(dataset, env, seed=0, run=agents.Run(episodes=2, evaluations=3))
    deaths = 0
    while True:
        torch.manual_seed(deaths)
        again = agents.make("dagger", env, **QUICK)
        try:
            again.learn(dataset, env, seed=0, run=Fragile(tmp_path / "run"))
            break
        except KilledError:
            deaths += 1
    assert deaths >= 2
    assert same(again, whole)
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    assert same(loaded, whole)
    assert loaded.training["demonstrations"]["id"] == dataset.id


def test_too_few_labels_and_settings_out_of_range_are_refused(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    with pytest.raises(ValueError, match=r"leaves less than an episode of 40 to label"):
        agents.make("dagger", env, **QUICK).learn(dataset, env, seed=0, budget=100)
    with pytest.raises(ValueError, match=r"the budget is 1 labels; the demonstrations it starts with have 240"):
        agents.make("dagger", env, **{**QUICK, "initial_fraction": 1.0}).learn(dataset, env, seed=0, budget=1)
    with pytest.raises(ValueError, match=r"initial_fraction of agent dagger is 0\.0; expected above 0"):
        agents.make("dagger", env, initial_fraction=0.0)
    with pytest.raises(ValueError, match=r"beta of agent dagger is 1\.0; expected below 1"):
        agents.make("dagger", env, beta=1.0)
    grasp = make("LamGrasp-v0")
    with pytest.raises(ValueError, match="this agent's environment has"):
        agents.make("dagger", grasp, **QUICK).learn(dataset, grasp, seed=0)

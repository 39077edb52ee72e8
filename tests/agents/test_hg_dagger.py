"""HG-DAgger: only steps in which the person drove become labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.imitation.hg_dagger import HGDAgger, HGDAggerSettings, Supervisor
from agents.policies.sequence_policy import SequencePolicy

from ..conftest import Make
from .sequence.small import NAMES, SMALL
from .test_rl import same
from .test_runs import Fragile, KilledError

QUICK: dict[str, Any] = {
    "initial_fraction": 0.25,
    "iterations": 2,
    "updates_per_iteration": 20,
    "epochs": 3,
    "batch_size": 32,
    "hidden_sizes": [16],
}


def test_a_person_takes_over_after_lasting_disagreement_and_gives_back_after_agreement() -> None:
    supervisor = Supervisor(HGDAggerSettings(reaction_steps=3), gym.spaces.Box(-1.0, 1.0, (2,), np.float32))
    right, wrong, still = np.array([1.0, 0.0]), np.array([-1.0, 0.0]), np.array([0.9, 0.0])
    drives = [supervisor.watch(right, policy) for policy in (still, wrong, still, *[wrong] * 4)]
    assert drives == [False, False, False, True, True, True, True]  # two of three steps were wrong
    assert [supervisor.watch(right, still) for _ in range(5)] == [True, True, False, False, False]
    supervisor.reset()
    assert not supervisor.drives


def test_discrete_actions_agree_or_not() -> None:
    supervisor = Supervisor(HGDAggerSettings(reaction_steps=2), gym.spaces.Discrete(5))
    one, two = np.array(1), np.array(2)
    assert [supervisor.watch(one, policy) for policy in (two, one, two, two)] == [False, True, True, True]


@pytest.mark.parametrize("env_id", [pytest.param("LamReach-v0", marks=pytest.mark.slow), "LamReachDiscrete-v0"])
def test_interventions_become_labels(
    env_id: str, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make(env_id)
    dataset = demos.collect(env_id, episodes=8, root=tmp_path)
    counts: list[tuple[int, int]] = []
    watched = HGDAgger._rollouts

    def counted(self: HGDAgger, iteration: Any, *rest: Any) -> Any:
        labels = watched(self, iteration, *rest)
        counts.append((len(labels), 40 * iteration.episodes))
        return labels

    monkeypatch.setattr(HGDAgger, "_rollouts", counted)
    agent = agents.make("hg-dagger", env, **QUICK)
    agent.learn(dataset, env, seed=0)
    assert [steps for _, steps in counts] == [3 * 40, 3 * 40]
    assert 0 < sum(labels for labels, _ in counts) < 6 * 40
    observation, _ = env.reset(seed=0)
    assert env.action_space.contains(np.asarray(agent.predict(observation, deterministic=True)[0]))
    agent.save(tmp_path / "saved")
    loaded = agents.load(tmp_path / "saved", env)
    assert same(agent, loaded)


def test_a_policy_like_the_person_gets_no_labels(datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ids = datasets
    env = make("LamReach-v0")

    class Never:
        """A person who always agrees: takes what the policy would do."""

        def predict(self, observation: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            return agent.policy.predict(observation, deterministic=True)

    agent = agents.make("hg-dagger", env, **QUICK)
    sizes: list[int] = []
    watched = HGDAgger._rollouts
    monkeypatch.setattr(HGDAgger, "_rollouts", lambda *given: sizes.append(len(labels := watched(*given))) or labels)
    agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0, expert=Never())
    assert sizes == [0, 0]


@pytest.mark.slow
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    whole = agents.make("hg-dagger", env, **QUICK)
    whole.learn(dataset, env, seed=0)
    deaths = 0
    while True:
        torch.manual_seed(deaths)
        again = agents.make("hg-dagger", env, **QUICK)
        try:
            again.learn(dataset, env, seed=0, run=Fragile(tmp_path / "run"))
            break
        except KilledError:
            deaths += 1
    assert deaths >= 2
    assert same(again, whole)


GATE: dict[str, Any] = {"reaction_steps": 2, "takeover": 0.1, "give_back": 0.05}
LEARNERS = {
    name: {**{key: QUICK[key] for key in QUICK if key != "hidden_sizes"}, **GATE, **SMALL[name], "learner": name}
    for name in NAMES
}


@pytest.fixture
def short(make: Make, tmp_path: Path) -> tuple[Any, Any]:
    env_kwargs = {"max_episode_steps": 12}
    dataset = demos.collect("LamReach-v0", episodes=8, env_kwargs=env_kwargs, root=tmp_path / "data")
    return dataset, make("LamReach-v0", **env_kwargs)


@pytest.mark.parametrize(
    "name", ["bc-rnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("act", "diffusion"))]
)
def test_sequence_agents_learn_from_interventions_reproducibly_and_resume(
    name: str, short: Any, tmp_path: Path
) -> None:
    dataset, env = short
    whole, again = (agents.make("hg-dagger", env, **{**LEARNERS[name], "epochs": 2}) for _ in range(2))
    assert isinstance(whole.policy, SequencePolicy)
    whole.learn(dataset, env, seed=0)
    assert 2 * 12 < whole.training["labels"] < 8 * 12
    run = Fragile(tmp_path / "run")
    run.left = 22  # of 20 epochs for each of two policies, and 2 for the last
    with pytest.raises(KilledError):
        again.learn(dataset, env, seed=0, run=run)
    again.learn(dataset, env, seed=0, run=agents.Run(tmp_path / "run"))
    assert same(again, whole)
    assert again.training["labels"] == whole.training["labels"]
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    assert same(loaded, whole)
    assert loaded.settings == whole.settings
    assert loaded.settings.learner == name
    assert {"agent hg-dagger", f"agent {name}"} <= set(loaded.training["versions"])


def test_a_policy_remembers_interventions_and_begins_a_new_chunk_after_them(
    short: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, env = short
    agent = agents.make("hg-dagger", env, **{**LEARNERS["act"], "executed_actions": 8, "obs_horizon": 2})
    drove: list[bool] = []
    acting: list[tuple[bool, int | None, int | None]] = []
    watch, predict = Supervisor.watch, type(agent.policy).predict

    def watched(self: Supervisor, own: Any, policy: Any) -> bool:
        drove.append(watch(self, own, policy))
        return drove[-1]

    def noted(policy: Any, observation: Any, state: Any = None, start: Any = None, **rest: Any) -> Any:
        memory = {} if state is None else {key: int(state[key][0]) for key in ("age", "left")}
        acting.append((state is None, memory.get("age"), memory.get("left")))
        return predict(policy, observation, state, start, **rest)

    monkeypatch.setattr(Supervisor, "watch", watched)
    monkeypatch.setattr(type(agent.policy), "predict", noted)
    agent.learn(dataset, env, seed=0)
    assert any(drove)
    assert len(acting) == len(drove) == 6 * 12
    for step, (is_first, age, left) in enumerate(acting):
        assert is_first == (step % 12 == 0)
        if not is_first:
            assert age == step % 12
            assert (left == 0) >= drove[step - 1]


def test_settings_are_those_of_the_learner(make: Make) -> None:
    env = make("LamReach-v0")
    assert "learner" not in agents.make("hg-dagger", env, learner="bc").settings.model_dump()
    with pytest.raises(ValueError, match=r"give_back is 0.4 and takeover 0.4; expected a lower give_back"):
        agents.make("hg-dagger", env, give_back=0.4)
    chosen = agents.make("hg-dagger", env, learner="act", executed_actions=2, takeover=0.5).settings
    assert (chosen.learner, chosen.executed_actions, chosen.takeover) == ("act", 2, 0.5)
    with pytest.raises(ValueError, match="unknown setting 'hidden_sizes' of agent hg-dagger"):
        agents.make("hg-dagger", env, learner="act", hidden_sizes=[8])
    with pytest.raises(ValueError, match="learner of agent hg-dagger is 'gail'; expected 'bc', 'bc-rnn', 'act' or"):
        agents.make("hg-dagger", env, learner="gail")


def test_a_budget_below_one_episode_is_refused(datasets: Any, make: Make) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    with pytest.raises(ValueError, match="less than an episode of 40 to watch"):
        agents.make("hg-dagger", env, **QUICK).learn(dataset, env, seed=0, budget=100)
    with pytest.raises(ValueError, match="takeover of agent hg-dagger is 0; expected above 0"):
        agents.make("hg-dagger", env, takeover=0)

"""BCO clones demonstrations without their actions, which it infers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from typer.testing import CliRunner

import agents
import demos
from agents.__main__ import app
from agents.data.demonstrations import DemonstrationData, Transitions
from agents.data.relabeled import RelabeledDemonstrations
from agents.imitation.observation import bco
from agents.imitation.observation.bco import BCO
from agents.imitation.observation.inverse_dynamics import ROBOT_PARTS, InverseInputs
from demos.datasets.episode import Episode

from ..conftest import Make
from .test_rl import same
from .test_runs import Fragile, KilledError

SMALL: dict[str, Any] = {"hidden_sizes": [16], "epochs": 4, "batch_size": 32, "exploration_steps": 160}


class Garbage(RelabeledDemonstrations):
    """Demonstrations whose actions, and statistics of actions, are garbage."""

    def __init__(self, data: DemonstrationData) -> None:
        super().__init__(data, np.full((data.total_steps, 4), np.nan, dtype=np.float32))
        self.statistics = {name: each for name, each in data.statistics.items() if name != "action"}


def reach(datasets: Any) -> Any:
    root, ids = datasets
    return demos.load(ids["LamReach-v0"], root)


def labels_of(agent: BCO, dataset: Any, env: Any, monkeypatch: pytest.MonkeyPatch, **rest: Any) -> Any:
    """Return the labels that the last policy learned from, shape (steps, 4)."""
    seen: list[Any] = []
    split = agent._split

    def noted(data: DemonstrationData, seed: int) -> Any:
        seen.append(data.transitions().actions)
        return split(data, seed)

    monkeypatch.setattr(agent, "_split", noted)
    agent.learn(dataset, env, seed=0, **rest)
    return seen[-1].numpy()


def test_the_actions_of_the_demonstrations_are_not_read(datasets: Any, make: Make) -> None:
    data, env = DemonstrationData(reach(datasets)), make("LamReach-v0")
    agent, blind = (agents.make("bco", env, **SMALL) for _ in range(2))
    agent.learn(data, env, seed=0)
    blind.learn(Garbage(data), env, seed=0)
    assert same(agent, blind)


def test_inferred_actions_are_close_to_those_that_were_executed(
    datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, env = reach(datasets), make("LamReach-v0")
    agent = agents.make("bco", env, **{**SMALL, "exploration_steps": 800})
    labels = labels_of(agent, dataset, env, monkeypatch)
    executed = np.concatenate([episode.actions for episode in dataset.iterate_episodes()])
    assert np.abs(labels - executed).mean() < 0.05


def test_play_can_replace_exploration(datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, env = reach(datasets), make("LamReach-v0")
    agent = agents.make("bco", env, **{**SMALL, "exploration_steps": 0})
    with pytest.raises(ValueError, match="no transitions with known actions: set exploration_steps"):
        agent.learn(dataset, env, seed=0)
    labels = labels_of(agent, dataset, env, monkeypatch, play=dataset)
    executed = np.concatenate([episode.actions for episode in dataset.iterate_episodes()])
    assert np.abs(labels - executed).mean() < 0.2


def test_executed_actions_of_play_are_learned_not_its_labels(make: Make, tmp_path: Path) -> None:
    play = demos.collect("LamReach-v0", episodes=6, demonstrator="noisy", root=tmp_path)
    episodes = list(play.iterate_episodes())
    executed = np.concatenate([episode.infos["executed_action"][1:] for episode in episodes])
    labels = np.concatenate([episode.actions for episode in episodes])
    assert np.abs(executed - labels).max() > 0.1
    agent = agents.make("bco", make("LamReach-v0"), **{**SMALL, "exploration_steps": 0})
    inferred = agent.label(DemonstrationData(play), make("LamReach-v0"), seed=0, play=play).transitions().actions
    assert np.abs(inferred.numpy() - executed).mean() < 0.5 * np.abs(inferred.numpy() - labels).mean()


def test_a_training_records_its_play_and_does_not_resume_with_another(
    datasets: Any, make: Make, tmp_path: Path
) -> None:
    data, env = reach(datasets), make("LamReach-v0")
    play, other = (demos.collect("LamReach-v0", episodes=4, seed=seed, root=tmp_path) for seed in (7, 8))
    agent = agents.make("bco", env, **SMALL)
    run = Fragile(tmp_path / "run")
    run.left = 1
    with pytest.raises(KilledError):
        agent.learn(data, env, seed=0, play=play, run=run)
    with pytest.raises(ValueError, match="holds an unfinished training with another play"):
        agent.learn(data, env, seed=0, play=other, run=agents.Run(tmp_path / "run"))
    agent.learn(data, env, seed=0, play=play, run=agents.Run(tmp_path / "run"))
    assert agent.training["play"]["id"] == play.id
    assert agent.training["play"]["episodes"] == 4
    assert agent.training["demonstrations"]["id"] == data.id


def test_play_is_given_in_a_command(datasets: Any, tmp_path: Path) -> None:
    root, ids = datasets
    out = tmp_path / "bco"
    command = [
        "--env",
        "LamReach-v0",
        "--demos",
        ids["LamReach-v0"],
        "--play",
        ids["LamReach-v0"],
        "--root",
        str(root),
    ]
    settings = ["--config", "exploration_steps=0", "--budget", "1", "--eval-episodes", "0"]
    trained = CliRunner().invoke(app, ["train", "bco", *command, *settings, "--out", str(out)])
    assert trained.exit_code == 0, trained.stderr
    shown = CliRunner().invoke(app, ["show", str(out)])
    assert re.search(rf"play +{ids['LamReach-v0']} \(\d+ episodes\)", shown.stdout)
    failed = CliRunner().invoke(app, ["train", "bc", *command, "--out", str(tmp_path / "bc")])
    assert failed.exit_code == 2
    assert "agent bc does not learn from play: remove --play" in failed.stderr
    assert not (tmp_path / "bc").exists()


def test_iterations_add_transitions_of_the_policy(datasets: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, env = reach(datasets), make("LamReach-v0")
    known: list[int] = []
    fit = bco.fit_inverse_dynamics

    def noted(play: Transitions, *args: Any, **rest: Any) -> Any:
        known.append(len(play))
        return fit(play, *args, **rest)

    monkeypatch.setattr(bco, "fit_inverse_dynamics", noted)
    agent = agents.make("bco", env, **SMALL, iterations=2, alpha=0.5, inverse_hidden_sizes=[8], inverse_epochs=2)
    agent.learn(dataset, env, seed=0)
    assert known == [160, 240, 320]


def test_iterations_need_exploration(make: Make) -> None:
    with pytest.raises(ValueError, match="iterations is 2 and exploration_steps 0"):
        agents.make("bco", make("LamReach-v0"), iterations=2, exploration_steps=0)


def test_stacked_observations_are_refused(make: Make) -> None:
    stacked = gym.wrappers.FlattenObservation(gym.wrappers.FrameStackObservation(make("LamReach-v0"), 3))
    with pytest.raises(ValueError, match="expected a vector of 18 features: remove wrappers"):
        InverseInputs.of(stacked, ("tool",))


def test_a_killed_training_resumes_to_the_same_weights(datasets: Any, make: Make, tmp_path: Path) -> None:
    dataset, env = reach(datasets), make("LamReach-v0")
    whole, again = (agents.make("bco", env, **SMALL) for _ in range(2))
    whole.learn(dataset, env, seed=0)
    run = Fragile(tmp_path / "run")
    run.left = 2
    with pytest.raises(KilledError):
        again.learn(dataset, env, seed=0, run=run)
    again.learn(dataset, env, seed=0, run=agents.Run(tmp_path / "run"))
    assert same(again, whole)
    loaded = agents.load(again.save(tmp_path / "agent"), env)
    assert same(loaded, whole)
    assert loaded.settings == whole.settings


def test_the_inverse_dynamics_see_the_robot_alone(make: Make) -> None:
    env = make("LamGrasp-v0")
    inputs = InverseInputs.of(env, ("tool", "gripper"))
    before = np.zeros((3, env.observation_space.shape[0]), dtype=np.float32)  # type: ignore[index]
    after = before.copy()
    layout: Any = env.unwrapped.layout  # type: ignore[attr-defined]
    after[:, layout["object/position"].slice] = 1.0
    assert not inputs(before, after).any()
    after[:, layout["tool/lag"].slice] = 1.0
    assert inputs(before, after).sum() == 9
    with pytest.raises(ValueError, match="robot_parts is wheel; expected some of gripper, object, tool"):
        InverseInputs.of(env, ("wheel",))
    with pytest.raises(ValueError, match="robot_parts is griper; expected some of gripper, object, tool"):
        InverseInputs.of(env, ("tool", "griper"))
    assert InverseInputs.of(env, ROBOT_PARTS).indices == inputs.indices
    assert InverseInputs.of(make("LamReachGoal-v0"), ("tool",)).parts == ("observation",)


def test_relabeled_demonstrations_have_the_new_actions_everywhere(datasets: Any) -> None:
    data = DemonstrationData(reach(datasets))
    actions = np.arange(data.total_steps * 4, dtype=np.float32).reshape(-1, 4)
    relabeled = RelabeledDemonstrations(data, actions)
    first = data.episodes[0].length
    np.testing.assert_array_equal(relabeled.transitions([1]).actions[0], actions[first])
    episodes: list[Episode] = list(relabeled.iterate_episodes())
    np.testing.assert_array_equal(np.concatenate([episode.actions for episode in episodes]), actions)
    assert relabeled.checksum == data.checksum
    with pytest.raises(ValueError, match="have no sequences"):
        relabeled.sequences()
    with pytest.raises(ValueError, match="there are 1 actions; expected the"):
        RelabeledDemonstrations(data, actions[:1])

"""DAgger: the policy acts, the expert labels the states it visits, within the budget of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import agents
import demos
from agents.data.demonstrations import DemonstrationData, Transitions
from agents.data.joined import JoinedExamples
from agents.imitation.labels import Labels
from agents.imitation.learners import check_idle_steps
from agents.policies.sequence_policy import SequencePolicy
from agents.training.checkpoints import read_state, write_state
from agents.training.provenance import effective_settings

from ..conftest import Make
from .sequence.small import NAMES, SMALL
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
    dataset = demos.collect(env_id, episodes=4, root=tmp_path)
    expert = Asked(demos.make_expert(make(env_id)))
    agent = agents.make("dagger", env, **QUICK)
    agent.learn(dataset, env, seed=0, expert=expert)
    assert len(expert.labels) == 3 * 40
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
        agents.make("dagger", env, **{**QUICK, "iterations": 1, "initial_fraction": 0.6}, beta=beta).learn(
            dataset, env, seed=0, expert=asked
        )
        return np.stack(asked.observations)

    wise = demos.make_expert(make("LamReach-v0"))
    np.testing.assert_array_equal(visited(wise, 0.0), visited(Stubborn(), 0.0))
    assert not np.array_equal(visited(wise, 0.5), visited(Stubborn(), 0.5))


LEARNERS = {name: {**SMALL[name], "learner": name, "batch_size": 32} for name in NAMES}


@pytest.mark.parametrize(
    "name", ["bc-rnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("act", "diffusion"))]
)
def test_sequence_agents_learn_from_labels_of_what_they_meet(name: str, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", max_episode_steps=12, instruct=True)
    dataset = demos.collect(
        "LamReach-v0", episodes=4, env_kwargs={"max_episode_steps": 12, "instruct": True}, root=tmp_path
    )
    expert = Asked(demos.make_expert(make("LamReach-v0", max_episode_steps=12, instruct=True)))
    quick = {key: value for key, value in QUICK.items() if key != "hidden_sizes"}
    agent = agents.make("dagger", env, **{**quick, **LEARNERS[name], "iterations": 1, "epochs": 2})
    assert isinstance(agent.policy, SequencePolicy)
    agent.learn(dataset, env, seed=0, expert=expert)
    assert len(expert.labels) == 3 * 12
    loaded = agents.load(agent.save(tmp_path / "agent"), env)
    assert loaded.settings == agent.settings
    assert loaded.settings.learner == name
    assert same(loaded, agent)
    assert agent.policy.encoder.instruction.vocabulary.numbers


def test_memory_is_reset_at_the_start_of_each_rollout(make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0", max_episode_steps=6)
    dataset = demos.collect("LamReach-v0", episodes=4, env_kwargs={"max_episode_steps": 6}, root=tmp_path)
    expert = Asked(demos.make_expert(make("LamReach-v0", max_episode_steps=6)))
    quick = {key: value for key, value in QUICK.items() if key != "hidden_sizes"}
    agent = agents.make("dagger", env, **{**quick, **LEARNERS["bc-rnn"], "iterations": 1, "updates_per_iteration": 1})
    acting: list[Any] = []
    predict = type(agent.policy).predict

    def watched(policy: Any, observation: Any, state: Any = None, start: Any = None, **rest: Any) -> Any:
        acting.append((state is None, None if start is None else bool(start[0])))
        return predict(policy, observation, state, start, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(agent.policy), "predict", watched)
        agent.learn(dataset, env, seed=0, expert=expert)
    assert acting == [(step == 0, step == 0) for _ in range(3) for step in range(6)]


def test_windows_of_labels_stay_within_their_episodes() -> None:
    steps = Transitions(torch.arange(5.0)[:, None], torch.arange(5.0)[:, None] * 10.0)
    labels = Labels(steps[:2], (2,)) + Labels(steps[2:], (3,))
    assert (len(labels), labels.lengths) == (5, (2, 3))
    windows = labels.sequences(2, 2, 1)[:]
    assert windows.observations[:, :, 0].tolist() == [[0, 0], [0, 1], [2, 2], [2, 3], [3, 4]]
    assert windows.actions[:, :, 0].tolist() == [[0, 0, 10], [0, 10, 10], [20, 20, 30], [20, 30, 40], [30, 40, 40]]
    again = Labels.from_state(labels.state())
    assert again.lengths == labels.lengths
    assert torch.equal(again.steps.observations, labels.steps.observations)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("dagger", {"hidden_sizes": [16]}),
        pytest.param("dagger", LEARNERS["act"], marks=pytest.mark.slow),
        ("hg-dagger", {**LEARNERS["bc-rnn"], "reaction_steps": 2, "takeover": 0.1, "give_back": 0.05}),
    ],
    ids=["bc", "act", "bc-rnn and interventions"],
)
def test_demonstrations_in_their_files_give_the_same_policy_and_stay_out_of_checkpoints(
    name: str, settings: dict[str, Any], datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    quick = {key: value for key, value in QUICK.items() if key != "hidden_sizes"}
    in_memory, mapped = (agents.make(name, env, **{**quick, **settings}) for _ in range(2))
    in_memory.learn(dataset, env, seed=0)
    data = DemonstrationData(dataset, in_memory_bytes=0)
    assert not data.is_in_memory
    run = Fragile(tmp_path / "run")
    run.left = -(-quick["updates_per_iteration"] // 2) + 1
    with pytest.raises(KilledError):
        mapped.learn(data, env, seed=0, run=run)
    collected = read_state(tmp_path / "run" / "checkpoint.safetensors")["state"]["collected"]
    assert 0 < len(collected["actions"]) < data.total_steps / 2
    mapped.learn(data, env, seed=0, run=agents.Run(tmp_path / "run"))
    assert mapped.training["labels"] == in_memory.training["labels"]
    for key, expected in in_memory.weights().items():
        # Statistics of files are sums of parts, which round differently.
        torch.testing.assert_close(mapped.weights()[key], expected, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_of_an_earlier_version_is_refused(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    agent = agents.make("dagger", env, **QUICK)
    run = Fragile(tmp_path / "run")
    run.left = 1
    with pytest.raises(KilledError):
        agent.learn(dataset, env, seed=0, run=run)
    path = tmp_path / "run" / "checkpoint.safetensors"
    checkpoint = read_state(path)
    del checkpoint["state"]["collected"]
    write_state(path, checkpoint)
    with pytest.raises(ValueError, match="holds a checkpoint of an earlier version of lam-envs"):
        agent.learn(dataset, env, seed=0, run=agents.Run(tmp_path / "run"))


def test_actions_without_a_label_are_padding_and_their_observations_are_seen() -> None:
    steps = Transitions(torch.arange(6.0)[:, None], torch.arange(6.0)[:, None] * 10.0)
    drives = torch.tensor([False, True, True, False, True, False])
    first = Labels(steps[:4], (4,), drives[:4])
    labels = first + Labels(steps[4:], (2,), drives[4:])
    assert len(labels) == 3
    windows = labels.sequences(2, 3, 1)[:]
    assert windows.observations[:, :, 0].tolist() == [[0, 1], [1, 2], [4, 4]]
    assert windows.observation_is_pad.tolist() == [[False, False], [False, False], [True, False]]
    assert windows.actions[:, :, 0].tolist() == [[0, 10, 20, 30], [10, 20, 30, 30], [40, 40, 50, 50]]
    assert windows.action_is_pad.tolist() == [
        [True, False, False, True],
        [False, False, True, True],
        [True, False, True, True],
    ]
    assert labels.transitions().actions[:, 0].tolist() == [10, 20, 40]
    alone = labels.without_history()
    assert (alone.lengths, alone.steps.actions[:, 0].tolist()) == ((2, 1), [10, 20, 40])
    assert torch.equal(cast(torch.Tensor, Labels.from_state(labels.state()).labeled), drives)
    assert first.statistics_sums().result()["action"].mean == 15.0


def test_joined_examples_are_those_of_their_parts_in_any_order() -> None:
    steps = Transitions({"a": torch.arange(7.0)[:, None]}, torch.arange(7.0)[:, None] * 10.0)
    examples = JoinedExamples([steps[:0], steps[:3], steps[3:]])
    assert len(examples) == 7
    for rows in (slice(2, 5), np.array([6, 0, 3, 2, 2]), np.array([1])):
        found, expected = examples[rows], steps[rows]
        assert torch.equal(found.observations["a"], expected.observations["a"])
        assert torch.equal(found.actions, expected.actions)


def test_settings_are_those_of_the_learner(make: Make) -> None:
    env = make("LamReach-v0")
    assert "learner" not in agents.make("dagger", env, learner="bc").settings.model_dump()
    chosen = agents.make("dagger", env, learner="act", executed_actions=2, beta=0.5).settings
    assert (chosen.learner, chosen.executed_actions, chosen.beta, chosen.action_horizon) == ("act", 2, 0.5, 8)
    assert effective_settings("dagger", {"learner": "act"}, "LamReach")["executed_actions"] == 4
    with pytest.raises(ValueError, match="unknown setting 'executed_actions' of agent dagger"):
        agents.make("dagger", env, executed_actions=2)
    with pytest.raises(ValueError, match="unknown setting 'hidden_sizes' of agent dagger"):
        agents.make("dagger", env, learner="act", hidden_sizes=[8])
    with pytest.raises(ValueError, match="learner of agent dagger is 'gail'; expected 'bc', 'bc-rnn', 'act' or"):
        agents.make("dagger", env, learner="gail")


def test_steps_after_success_cannot_be_left_out(datasets: Any, make: Make, tmp_path: Path) -> None:
    root, ids = datasets
    env = make("LamReach-v0")
    agent = agents.make("dagger", env, **LEARNERS["act"], idle_steps=3)
    with pytest.raises(ValueError, match="idle_steps is 3; agent dagger learns from all steps: remove it"):
        agent.learn(demos.load(ids["LamReach-v0"], root), env, seed=0)
    assert agents.load(agent.save(tmp_path / "agent"), env).settings.idle_steps == 3
    # The file of settings of images has it for the learner.
    pixels = make("LamReachPixels-v0", image_width=24, image_height=24)
    check_idle_steps("dagger", agents.make("dagger", pixels, **LEARNERS["act"]).settings, pixels)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, *({**each} for each in LEARNERS.values())], ids=["bc", *LEARNERS])
def test_a_training_that_died_goes_on_and_ends_with_the_same_weights(
    settings: dict[str, Any], datasets: Any, make: Make, tmp_path: Path
) -> None:
    root, ids = datasets
    env, dataset = make("LamReach-v0"), demos.load(ids["LamReach-v0"], root)
    quick = {**{key: QUICK[key] for key in QUICK if not settings or key != "hidden_sizes"}, **settings}
    whole = agents.make("dagger", env, **quick)
    # Watched: what shows the success as it goes changes nothing.
    whole.learn(dataset, env, seed=0, run=agents.Run(episodes=2, evaluations=3))
    deaths = 0
    while True:
        torch.manual_seed(deaths)
        again = agents.make("dagger", env, **quick)
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

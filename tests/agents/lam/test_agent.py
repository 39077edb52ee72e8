"""The agent lam: several environments, reproducible, resumed, saved, refused with a reason."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import demos
from agents.imitation.lam.agent import Lam
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.lam.settings import LamSettings
from agents.imitation.lam.sources import read_sources
from agents.imitation.lam.stored_steps import MappedFeatures
from agents.imitation.lam.transfer import transfer
from agents.training.arguments import read_settings
from agents.training.run import Run

from ...conftest import Make
from ...lam_envs.traces import fingerprint
from ..test_runs import Fragile, KilledError
from .scenes import SIZES, SMALL, observations_of, policy_of


class Noted(Run):
    """Run that keeps the numbers that it is to log, by name."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.numbers: dict[str, list[float]] = {}

    def log_to_tensorboard(self, done: int, metrics: Mapping[str, float]) -> None:
        for name, number in metrics.items():
            self.numbers.setdefault(name, []).append(number)


def learned(made: Any, datasets: Any, seed: int = 0, budget: int = 1, run: Run | None = None, **settings: Any) -> Lam:
    agent: Lam = agents.make("lam", made, **{**SMALL, **settings})
    agent.learn(datasets, made, seed=seed, budget=budget, run=run)
    return agent


def weights(agent: Lam) -> str:
    return fingerprint([{name: value.numpy() for name, value in agent.weights().items()}])


def test_the_same_seed_learns_the_same_weights(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    before = torch.get_rng_state()
    first = weights(learned(env, both))
    assert torch.equal(torch.get_rng_state(), before)
    assert weights(learned(env, both)) == first
    assert weights(learned(env, both, seed=1)) != first


def test_a_killed_training_resumes_with_the_same_weights(both: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    settings = {"epochs": 4, "ema_decay": 0.9}
    whole = weights(learned(env, both, budget=4, **settings))
    with pytest.raises(KilledError):
        learned(env, both, budget=4, run=Fragile(tmp_path, seconds=0.0), **settings)
    assert weights(learned(env, both, budget=4, run=Run(tmp_path, seconds=0.0), **settings)) == whole


def test_one_model_is_saved_and_acts_in_each_environment(both: Any, make: Make, tmp_path: Path) -> None:
    reach, grasp = make("LamReach-v0"), make("LamGrasp-v0", robot="xarm6", instruct=True)
    agent: Lam = agents.make("lam", reach, **SMALL)
    run = Noted(episodes=1, evaluations=1)
    agent.learn(both, [reach, grasp], seed=0, budget=1, run=run)
    assert list(run.numbers) == [
        "loss", "loss/grasp panda ee", "loss/reach panda ee", "mean loss",
        "success/1 LamReach-v0", "success/2 LamGrasp-v0 instruct=True robot=xarm6", "success",
    ]  # fmt: skip
    assert agent.training is not None
    assert agent.training["demonstrations"]["episodes"] == 12
    assert [each["environment"] for each in agent.training["environments"]] == ["LamReach-v0", "LamGrasp-v0"]
    assert {"task reach", "task grasp", "robot panda", "robot xarm6"} <= agent.training["versions"].keys()
    folder = agent.save(tmp_path / "lam")
    for env in (reach, grasp):
        loaded = agents.load(folder, env)
        assert weights(loaded) == weights(agent)
        observations = observations_of(env, range(3))
        assert loaded.predict(observations)[0].shape == (3, 4)
    same, _ = agents.load(folder, reach).predict(observations_of(reach, range(3)))
    np.testing.assert_array_equal(same, agent.predict(observations_of(reach, range(3)))[0])


def test_features_in_files_train_the_same_weights(both: Any, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("LamReach-v0")
    first = weights(learned(env, both))
    monkeypatch.setattr("agents.imitation.lam.sources.IN_MEMORY_BYTES", 0)
    assert all(isinstance(each.observations, MappedFeatures) for each in read_sources(both))
    assert weights(learned(env, both)) == first


def test_the_log_has_the_mean_loss_of_each_task(both: Any, make: Make) -> None:
    env, run = make("LamReach-v0"), Noted()
    learned(env, both, budget=3, run=run, batches=1)
    reach, grasp = (run.numbers[f"loss/{task} panda ee"] for task in ("reach", "grasp"))
    for first, mean, second in zip(reach, run.numbers["mean loss"], grasp, strict=True):
        assert min(first, second) < mean < max(first, second)
    # The only minibatch of an epoch is its first one.
    assert run.numbers["mean loss"] == pytest.approx(run.numbers["loss"], rel=1e-5)
    alone = Noted()
    learned(env, both[0], budget=2, run=alone)
    assert alone.numbers["loss/reach panda ee"] == alone.numbers["mean loss"]
    assert len(alone.numbers["mean loss"]) == 2


def test_masked_features_do_not_change_the_actions_of_a_saved_model(both: Any, make: Make, tmp_path: Path) -> None:
    env: Any = make("LamGrasp-v0")
    masked = ("tool/velocity", "tool/lag", "object/velocity")
    observations = observations_of(env, range(3))
    others = np.array(observations)
    for name in masked:
        others[:, env.unwrapped.layout[name].slice] += 1.0
    for settings, is_same in (({"masked_features": list(masked)}, True), ({}, False)):
        folder = learned(env, both, **settings).save(tmp_path / str(is_same))
        agent = agents.load(folder, env)
        actions, changed = (agent.predict(each, deterministic=True)[0] for each in (observations, others))
        assert np.array_equal(actions, changed) == is_same
    with pytest.raises(ValueError, match=r"settings cannot change it to \(\)"):
        Lam.finetune(tmp_path / "True", both, env, seed=0, budget=1, masked_features=())
    with pytest.raises(ValueError, match="masked_features has 'tool/speed'; expected some of goal/position, "):
        learned(env, both, masked_features=["tool/speed"])
    with pytest.raises(ValueError, match="masked_features has 'tool/position'; expected neither tool/position, "):
        learned(env, both, masked_features=["tool/position"])


def test_environments_that_the_model_does_not_know_are_refused(both: Any, make: Make, tmp_path: Path) -> None:
    folder = learned(make("LamReach-v0"), both[0]).save(tmp_path / "lam")
    for env_id, keywords, message in (
        ("LamGrasp-v0", {}, "the model does not know 'object'; it learned goal, robot"),
        ("LamReach-v0", {"control": "joint"}, "trained with control ee; this environment has control 'joint'"),
        ("LamReachGoal-v0", {}, "agent lam needs named features and continuous actions"),
        ("LamReachPixels-v0", {}, r"learned from images of no camera; .* front \(84 x 84 x 3\), wrist"),
        ("LamReachPixels-v0", {"depth": True}, "agent lam needs named features and continuous actions"),
        ("LamReachDiscrete-v0", {}, "agent lam needs named features and continuous actions"),
    ):
        with pytest.raises(ValueError, match=message):
            agents.load(folder, make(env_id, **keywords))


def test_wrappers_that_change_the_features_are_refused(make: Make) -> None:
    for wrapped, shape in (
        (gym.wrappers.TimeAwareObservation(make("LamReach-v0")), "19,"),
        (gym.wrappers.FrameStackObservation(make("LamReach-v0"), 2), "2, 18"),
    ):
        message = rf"the observations have the shape \({shape}\); expected \(18,\): remove wrappers"
        with pytest.raises(ValueError, match=message):
            agents.make("lam", wrapped)


def test_a_task_of_another_version_is_the_reason_for_unknown_parts(make: Make, tmp_path: Path) -> None:
    reach, grasp = make("LamReach-v0"), make("LamGrasp-v0")
    agent = agents.make("lam", reach, width=8)
    agent.training = {"versions": {"task reach": 1, "task grasp": 0}}
    folder = agent.save(tmp_path / "lam")
    agents.load(folder, reach)
    expected = (
        f"{folder} was trained in version 0 of LamGrasp-v0; this environment has version 1: train it again. "
        "Cause: the model does not know 'object'"
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        agents.load(folder, grasp)


def test_a_missing_instruction_is_reported_where_it_specifies_the_goal(make: Make, tmp_path: Path) -> None:
    drawer = make("LamDrawer-v0", instruct=True)
    folder = agents.make("lam", drawer, width=8).save(tmp_path / "lam")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agents.load(folder, drawer)
    with pytest.warns(UserWarning, match="make the environment with instruct=True"):
        agents.load(folder, make("LamDrawer-v0"))


def test_weights_of_one_agent_are_set_in_another(make: Make) -> None:
    env = make("LamReach-v0")
    agent, other = (agents.make("lam", env, width=8) for _ in range(2))
    with torch.no_grad():
        for values in agent.policy.parameters():
            values += 1.0
    assert weights(other) != weights(agent)
    other.set_weights(agent.weights())
    assert weights(other) == weights(agent)
    with pytest.raises(ValueError, match=r"missing weights begin\.bias, "):
        other.set_weights({})


def test_a_file_of_settings_does_not_change_a_saved_model(
    both: Any, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("LamReach-v0")
    folder = learned(env, both[0]).save(tmp_path / "lam")
    (tmp_path / "lam.yaml").write_text("LamReach: {word_dropout: 0.5, idle_steps: 9}\n")
    monkeypatch.setattr("agents.training.settings.CONFIGS", tmp_path)
    assert agents.make("lam", env).settings.word_dropout == 0.5
    for agent in (agents.load(folder, env), Lam.finetune(folder, both[0], env, seed=0, budget=1)):
        assert agent.settings == LamSettings(**SMALL)


def test_a_damaged_description_is_refused(both: Any, make: Make, tmp_path: Path) -> None:
    env = make("LamReach-v0")
    folder = learned(env, both[0]).save(tmp_path / "lam")
    described = json.loads((folder / "agent.json").read_text())
    model = described["model"]
    for change in (
        {"model": None},
        {"model": {**model, "action_size": 10**9}},
        {"model": {**model, "action_size": float("inf")}},
        {"model": {**model, "robots": ["r"] * 100}},
        {"model": {**model, "robots": 3}},
        {"model": {**model, "schema": {}}},
    ):
        (folder / "agent.json").write_text(json.dumps({**described, **change}))
        with pytest.raises(ValueError, match="is damaged: "):
            agents.load(folder, env)
    sizes = {**model["schema"], "types": [*model["schema"]["types"], "more"]}
    (folder / "agent.json").write_text(json.dumps({**described, "model": {**model, "schema": sizes}}))
    with pytest.raises(ValueError, match="do not fit their description"):
        agents.load(folder, env)


def test_settings_and_budgets_out_of_range_are_refused(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    with pytest.raises(ValueError, match="executed_actions is 9 and action_horizon 8"):
        agents.make("lam", env, executed_actions=9)
    with pytest.raises(ValueError, match="the budget is 0 epochs; expected at least 1"):
        learned(env, both, budget=0)
    with pytest.raises(ValueError, match="no environment: expected at least one"):
        agents.make("lam", env).learn(both, [], seed=0)


def test_a_chunk_is_executed_before_the_next_one(make: Make) -> None:
    env = make("LamReach-v0")
    policy = policy_of(env, executed=2)
    first, second = observations_of(env, range(2))
    action, memory = policy.predict(first, deterministic=True)
    planned, _ = policy.predict(second, memory, deterministic=True)
    np.testing.assert_allclose(planned, np.clip(np.roll(memory["chunk"][0, 0], -1), -1.0, 1.0))
    assert not np.allclose(action, planned)
    # After two actions, or in a new episode, the next chunk follows from the observation.
    _, memory = policy.predict(second, memory, deterministic=True)
    expected, _ = policy.predict(second, deterministic=True)
    np.testing.assert_array_equal(policy.predict(second, memory, deterministic=True)[0], expected)


def test_the_settings_choose_how_often_each_task_is_sampled(both: Any, make: Make) -> None:
    groups = ["reach panda ee", "grasp panda ee"]
    assert LamSettings().group_shares(groups) is None
    assert LamSettings(shares={}).group_shares(groups) == {"reach panda ee": 1.0, "grasp panda ee": 1.0}
    assert LamSettings(shares={"reach panda ee": 3.0}).group_shares(groups) == {
        "reach panda ee": 3.0, "grasp panda ee": 1.0,
    }  # fmt: skip
    env = make("LamReach-v0")
    alike = weights(learned(env, both, shares={}))
    assert weights(learned(env, both, shares=dict.fromkeys(groups, 2.0))) == alike
    assert weights(learned(env, both, shares={"reach panda ee": 3.0})) != alike
    assert weights(learned(env, both)) != alike
    with pytest.raises(ValueError, match="shares has 'push'; expected some of grasp panda ee, reach panda ee"):
        learned(env, both, shares={"push": 2.0})
    given = read_settings(['shares={"reach panda ee": 3}'])
    assert LamSettings(**given).shares == {"reach panda ee": 3.0}
    with pytest.raises(ValueError, match="shares is not a setting of fine-tuning"):
        Lam.finetune(Path("nowhere"), both, env, seed=0, shares={})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_learns_two_easy_tasks(make: Make, tmp_path: Path) -> None:
    environments = [make(env_id, instruct=True) for env_id in ("LamReach-v0", "LamGrasp-v0")]
    data = [demos.collect(f"Lam{task}-v0", episodes=30, seed=1, root=tmp_path) for task in ("Reach", "Grasp")]
    agent: Lam = agents.make("lam", environments[0])
    agent.learn(data, environments, seed=0, budget=6)
    folder = agent.save(tmp_path / "saved")
    for env in environments:
        assert agents.evaluate(agents.load(folder, env), env, seeds=range(5000, 5030)).success_rate >= 0.8


def test_a_few_episodes_are_overfitted(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    run = Noted()
    learned(env, both[0], budget=6, run=run, batches=10, mirror=False, learning_rate=0.01)
    losses = run.numbers["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_products_of_16_bits_give_nearly_the_same_training(both: Any, make: Make) -> None:
    env = make("LamReach-v0")
    runs, settings = [Noted(), Noted()], {"batches": 10, "mirror": False}
    full, half = (
        learned(env, both[0], budget=2, run=run, precision=precision, **settings)  # type: ignore[arg-type]
        for run, precision in zip(runs, ("float32", "bfloat16"), strict=True)
    )
    assert weights(full) != weights(half)
    assert {str(values.dtype) for values in half.weights().values()} == {"torch.float32", "torch.uint8"}
    np.testing.assert_allclose(runs[1].numbers["loss"], runs[0].numbers["loss"], rtol=0.02)


def test_a_finetuned_model_knows_new_entities_and_starts_with_what_it_knew(
    both: Any, make: Make, tmp_path: Path
) -> None:
    reach, grasp = make("LamReach-v0"), make("LamGrasp-v0", robot="xarm6")
    folder = learned(reach, both[0]).save(tmp_path / "lam")
    before = agents.load(folder, reach)
    # With a learning rate of almost 0, nothing changes in the scenes that it knew.
    tuned = Lam.finetune(folder, both[1], grasp, replay=[both[0]], seed=1, budget=1, learning_rate=1e-12)
    again = tuned.save(tmp_path / "tuned")
    observations = observations_of(reach, range(4))
    expected = before.predict(observations)[0]
    np.testing.assert_allclose(agents.load(again, reach).predict(observations)[0], expected, atol=1e-5)
    assert agents.load(again, grasp).predict(observations_of(grasp, range(3)))[0].shape == (3, 4)
    assert tuned.training is not None
    assert [each["id"] for each in tuned.training["finetuning"]["replay"]] == [both[0].id]
    with pytest.raises(ValueError, match="settings cannot change it to"):
        Lam.finetune(folder, both[1], grasp, seed=1, width=32)
    with pytest.raises(ValueError, match="replay_share is 1; expected at least 0 and below 1"):
        Lam.finetune(folder, both[1], grasp, replay_share=1, seed=1)


def test_weights_move_to_the_columns_of_the_same_features(make: Make) -> None:
    small = policy_of(make("LamReach-v0")).network
    env: Any = make("LamTable-v0")
    target = LamNetwork(small.schema.including([env.unwrapped.layout]), ["ur5e", "panda"], 5, SIZES)
    transfer(small, target)
    assert torch.equal(target.robot.weight[0], target.robot.weight[1])
    assert torch.equal(target.robot.weight[2], small.robot.weight[1])
    encoders = [each.encoders[list(each.schema.sizes).index("place")] for each in (small, target)]
    for name in ("position", "relative"):
        columns = [3 * list(each.schema.sizes["place"]).index(name) for each in (small, target)]
        old, new = (each.weight[:, at : at + 3] for each, at in zip(encoders, columns, strict=True))
        assert torch.equal(old, new)
    words = small.schema.types
    for number, word in enumerate(words):
        there = target.schema.types.index(word)
        assert torch.equal(target.types.weight[1 + there], small.types.weight[1 + number])
    chunks = target.head.weight.reshape(SIZES.actions, 5, -1)[:, :4]
    assert torch.equal(chunks, small.head.weight.reshape(SIZES.actions, 4, -1))

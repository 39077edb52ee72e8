"""Under the condition ``other_instruction``, whoever follows the instruction fails."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from benchmarks.suite.conditions import Condition
from demos.experts import make_expert
from lam_envs import decode_instruction
from lam_envs.scene.request import find_command
from lam_envs.tasks import make_task

CONDITION = Condition(other_instruction=True)


def test_scene_and_command_are_those_of_the_seed_and_the_instruction_asks_for_another_feasible_command() -> None:
    env, plain = CONDITION.make("LamTable-v0"), gym.make("LamTable-v0")
    given, judged = env.unwrapped, plain.unwrapped
    told = []
    for seed in range(6):
        (observation, info), (same, _) = env.reset(seed=seed), plain.reset(seed=seed)
        np.testing.assert_array_equal(observation, same)
        assert given.command == judged.command  # type: ignore[attr-defined]
        told.append(decode_instruction(info["instruction"]))
        command = find_command(told[-1], make_task("table"))
        assert command != judged.command  # type: ignore[attr-defined]
        assert command in judged.feasible_commands  # type: ignore[attr-defined]
    assert told == [decode_instruction(env.reset(seed=seed)[1]["instruction"]) for seed in range(6)]
    env.close()
    plain.close()


def test_the_expert_which_knows_the_command_succeeds() -> None:
    env = CONDITION.make("LamTable-v0", commands=["lift"])
    observation, info = env.reset(seed=3)
    expert, done = make_expert(env), False
    while not done:
        action, _ = expert.predict(observation)
        observation, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
    assert info["is_success"]
    env.close()


@pytest.mark.parametrize("environment", ["LamReach-v0", "CartPole-v1"])
def test_a_task_with_one_command_is_refused(environment: str) -> None:
    with pytest.raises(ValueError, match="expected a task with several commands"):
        CONDITION.make(environment)

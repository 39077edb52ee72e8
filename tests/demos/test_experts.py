"""Experts succeed, in every action space, and remember nothing."""

from __future__ import annotations

from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import lam_envs
from demos.experts import make_expert
from lam_envs import env_id
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS
from lam_envs.robots import ROBOTS

from ..conftest import Make


def success_rate(env: gym.Env[Any, Any], seeds: range) -> float:
    expert = make_expert(env)
    successes = 0
    for seed in seeds:
        observation, info = env.reset(seed=seed)
        over = False
        while not over:
            observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
            over = terminated or truncated
        successes += info["is_success"]
    return successes / len(seeds)


# A fifth of the ids quickly: two of each variant.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if number % 5 == 0 and name != "LamClutterPixels-v0" else [pytest.mark.slow])
        for number, name in enumerate(lam_envs.ENV_IDS)
    ],
)
def test_experts_succeed_in_every_variant(name: str, make: Make) -> None:
    # The expert of Clutter does not solve every heap.
    assert success_rate(make(name), range(2000, 2002)) >= (0.5 if "Clutter" in name else 1.0)


EVERYWHERE = list(product(TASKS, ROBOTS, CONTROLS))
MET = [
    (task, robot, list(CONTROLS)[(row + column) % len(CONTROLS)])
    for row, task in enumerate(TASKS)
    for column, robot in enumerate(ROBOTS)
]
"""Each task with each robot, the controls in turn: each pair of robot and control is met."""
QUICK = [
    *(MET[row * len(ROBOTS) + (row + row // len(ROBOTS)) % len(ROBOTS)] for row in range(len(TASKS) - 2)),
    *(cell for cell in MET if cell[:2] in (("clutter", "panda"), ("table", "panda"))),
]


@pytest.mark.parametrize(
    ("task", "robot", "control"),
    [
        # The quick tests have each task once, and each robot and control. Episodes of Clutter and Table take longest.
        pytest.param(*cell, marks=[] if cell in QUICK else pytest.mark.slow)
        for cell in MET
    ],
)
def test_experts_succeed_on_every_robot_and_in_every_control(task: str, robot: str, control: str, make: Make) -> None:
    assert {(robot, control) for _, robot, control in MET} == set(product(ROBOTS, CONTROLS))
    assert [set(part) for part in zip(*QUICK, strict=True)] == [set(TASKS), set(ROBOTS), set(CONTROLS)]
    assert success_rate(make(env_id(task), robot=robot, control=control), range(3000, 3001)) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("task", "robot", "control"), EVERYWHERE)
def test_experts_succeed_in_the_whole_product(task: str, robot: str, control: str, make: Make) -> None:
    assert success_rate(make(env_id(task), robot=robot, control=control), range(3000, 3004)) >= 0.75


def test_a_push_does_not_stop_the_expert(make: Make) -> None:
    env = make("LamGrasp-v0")
    expert = make_expert(env)
    recovered = 0
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        env.action_space.seed(seed)
        for step in range(60):
            pushed = 12 <= step < 18
            action = env.action_space.sample() if pushed else expert.predict(observation)[0]
            observation, *_, info = env.step(action)
        recovered += info["is_success"]
    assert recovered == 5


class Halved(gym.ActionWrapper[Any, Any, Any]):
    """Follow only half of each command."""

    def action(self, action: Any) -> Any:
        return action / 2


def test_an_expert_runs_past_its_goal_where_actions_come_late(make: Make) -> None:
    # Its rule asks for the whole distance in each step, and knows of no action that is still under way.
    late = {"action_delay": (2, 2)}
    assert success_rate(make("LamReach-v0", randomize=late), range(1000, 1005)) <= 0.2
    assert success_rate(Halved(make("LamReach-v0", randomize=late)), range(1000, 1005)) == 1.0


def test_a_batch_of_observations_gets_the_actions_of_each(make: Make) -> None:
    for name in ("LamGrasp-v0", "LamReachGoal-v0", "LamGraspDiscrete-v0"):
        env = make(name)
        expert = make_expert(env)
        observations = [env.reset(seed=seed)[0] for seed in range(4)]
        single = [expert.predict(observation)[0] for observation in observations]
        batch: Any = (
            {name: np.stack([part[name] for part in observations]) for name in observations[0]}
            if isinstance(observations[0], dict)
            else np.stack(observations)
        )
        np.testing.assert_array_equal(expert.predict(batch)[0], np.stack(single))


def test_an_environment_without_expert_is_named() -> None:
    with pytest.raises(ValueError, match=r"no expert for .*CartPole.*expected one of reach, push"):
        make_expert(gym.make("CartPole-v1"))

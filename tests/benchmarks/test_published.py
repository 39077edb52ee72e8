"""What is published holds what is promised, and comes from the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import agents
import demos
from benchmarks.report import rows
from benchmarks.results import read_results

RESULTS = Path(__file__).parents[2] / "results"
FLOORS = {"LamGrasp-v0": 0.95, "LamReach-v0": 0.99}
"""Success of behavioural cloning from 100 demonstrations, mean of three trainings."""


@pytest.mark.parametrize(("env_id", "floor"), FLOORS.items())
def test_the_published_clones_reach_what_is_promised(env_id: str, floor: float) -> None:
    _, results = read_results(RESULTS / "core")
    row = next(row for row in rows(results) if row.environment == env_id and row.agent == "bc")
    assert row.trainings == 3
    assert row.episodes == 600
    assert row.success_rate >= floor


def test_the_published_speed_is_twice_that_of_panda_gym() -> None:
    figures = json.loads((RESULTS / "throughput.json").read_text())
    pair = next(pair for pair in figures["comparisons"] if pair["env_id"] == "LamGrasp-v0")
    assert pair["neighbour"] == "PandaPickAndPlace-v3"
    assert pair["steps_ratio"] >= 2.0
    share = next(speed["physics_share"] for speed in figures["speeds"] if speed["env_id"] == "LamGrasp-v0")
    assert share >= 0.8


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("env_id", "floor"), FLOORS.items())
def test_clones_trained_now_reach_what_is_promised(env_id: str, floor: float, tmp_path: Path) -> None:
    dataset = demos.collect(env_id, episodes=100, seed=1, root=tmp_path)
    env: Any = gym.make(env_id)
    rates = []
    for seed in (10, 11, 12):
        agent = agents.make("bc", env)
        agent.learn(dataset, env, seed=seed)
        rates.append(agents.evaluate(agent, env, seeds=range(5000, 5200)).success_rate)
    env.close()
    assert np.mean(rates) >= floor

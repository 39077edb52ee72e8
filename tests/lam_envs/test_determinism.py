"""Same seed, same actions: the same bits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

import lam_envs

from . import traces

SEEDS = range(500, 550)
EPISODES_BETWEEN = 10

Recorded = dict[int, tuple[list[Any], str]]


@pytest.fixture(scope="module", params=lam_envs.ENV_IDS)
def recorded(request: pytest.FixtureRequest) -> tuple[str, Recorded]:
    """Actions and fingerprints of the seeds, each in an environment of its own."""
    env_id = request.param
    result: Recorded = {}
    for seed in SEEDS:
        env = gym.make(env_id)
        actions = traces.contact_rich_actions(env, seed)
        env.close()
        env = gym.make(env_id)
        result[seed] = (actions, traces.trace(env, seed, actions))
        env.close()
    return env_id, result


def test_a_seed_gives_the_same_episode_in_a_fresh_environment(recorded: tuple[str, Recorded]) -> None:
    env_id, episodes = recorded
    for seed, (actions, expected) in episodes.items():
        env = gym.make(env_id)
        assert traces.trace(env, seed, actions) == expected, seed
        env.close()


def test_other_seeds_give_other_episodes(recorded: tuple[str, Recorded]) -> None:
    _, episodes = recorded
    assert len({expected for _, expected in episodes.values()}) == len(SEEDS)


def test_a_seed_gives_the_same_episode_after_ten_contact_rich_ones(recorded: tuple[str, Recorded]) -> None:
    env_id, episodes = recorded
    env = gym.make(env_id)
    touched = 0
    between = 100_000
    for seed, (actions, expected) in episodes.items():
        for _ in range(EPISODES_BETWEEN):
            between += 1
            traces.contact_rich_actions(env, between)
            features: Any = env.unwrapped.features()  # type: ignore[attr-defined]
            if "gripper/touch" in features:
                touched += bool(features["gripper/touch"].any())
        assert traces.trace(env, seed, actions) == expected, seed
    env.close()
    if "Grasp" in env_id:
        assert touched > len(episodes), "the episodes between were not rich in contacts"


def test_a_seed_gives_the_same_episode_in_another_process(recorded: tuple[str, Recorded]) -> None:
    env_id, episodes = recorded
    request = {
        "env_id": env_id,
        "episodes": [
            [seed, [np.asarray(one).tolist() for one in actions]] for seed, (actions, _) in episodes.items()
        ],
    }
    done = subprocess.run(
        [sys.executable, str(Path(traces.__file__))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [expected for _, expected in episodes.values()]


def test_a_seed_gives_the_same_episode_in_an_async_vector_environment(recorded: tuple[str, Recorded]) -> None:
    env_id, episodes = recorded
    workers = 2
    vector = AsyncVectorEnv([lambda: gym.make(env_id) for _ in range(workers)])
    single = gym.make(env_id)
    seeds = list(episodes)
    for first in range(0, len(seeds), workers):
        group = seeds[first : first + workers]
        expected = [_steps(single, seed, episodes[seed][0]) for seed in group]
        found = _vector_steps(vector, group, [episodes[seed][0] for seed in group])
        assert found == expected, group
    vector.close()
    single.close()


def _steps(env: gym.Env[Any, Any], seed: int, actions: list[Any]) -> str:
    observation, info = env.reset(seed=seed)
    parts: list[Any] = [observation, info]
    for action in actions:
        observation, reward, _, truncated, info = env.step(action)
        parts += [observation, float(reward), truncated, info]
    return traces.fingerprint(parts)


def _vector_steps(vector: Any, seeds: list[int], actions: list[list[Any]]) -> list[str]:
    observations, infos = vector.reset(seed=seeds)
    parts = [[_row(observations, row), _info(infos, row)] for row in range(len(seeds))]
    for step in range(len(actions[0])):
        observations, rewards, _, truncated, infos = vector.step(np.stack([actions[row][step] for row in range(2)]))
        for row in range(len(seeds)):
            # Up to Gymnasium 0.29 the last step returns the next episode's start, and its own end in the infos.
            observation, info = _row(observations, row), infos
            if "final_observation" in infos:
                observation, info = infos["final_observation"][row], infos["final_info"][row]
            told = info if "final_observation" in infos else _info(info, row)
            parts[row] += [observation, float(rewards[row]), bool(truncated[row]), told]
    return [traces.fingerprint(part) for part in parts]


def _row(observations: Any, row: int) -> Any:
    if isinstance(observations, dict):
        return {name: part[row] for name, part in observations.items()}
    return observations[row]


def _info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    return {name: bool(values[row]) for name, values in infos.items() if not name.startswith("_")}

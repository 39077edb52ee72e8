"""Evaluation: success at the last step, on fixed seeds, with a confidence interval."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents
from agents.evaluation.episode import mean_jerk
from agents.evaluation.evaluation import EPISODE_SECONDS
from demos.runtime.intervals import wilson_interval

from ..conftest import Make
from .test_agents import StillAgent


class ReachAndLeave:
    """Goes to the goal, stays for some steps, and leaves."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._expert = agents.make("expert", env)
        self._steps = 0

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        self._steps = 0 if episode_start is not None and episode_start[0] else self._steps + 1
        if self._steps < 30:
            return self._expert.predict(observation)
        return np.array([1, 1, 1, 1], dtype=np.float32), state


def test_success_is_that_of_the_last_step(make: Make) -> None:
    env = make("LamReach-v0")
    stays = agents.evaluate(agents.make("expert", env), env, seeds=range(4))
    result = agents.evaluate(ReachAndLeave(env), env, seeds=range(4))
    assert stays.success_rate == 1.0
    assert result.success_rate == 0.0
    assert result.mean_steps_to_success is None


def test_steps_to_success_count_from_when_it_lasts(make: Make) -> None:
    env = make("LamReach-v0")
    expert = agents.make("expert", env)
    result = agents.evaluate(expert, env, seeds=[5])
    observation, info = env.reset(seed=5)
    successes = []
    for _ in range(40):
        observation, *_, info = env.step(expert.predict(observation)[0])
        successes.append(info["is_success"])
    lasting = len(successes) - successes[::-1].index(False) if False in successes else 0
    assert result.episodes[0].steps_to_success == lasting + 1
    assert result.mean_seconds_to_success == pytest.approx((lasting + 1) / 20)


def test_the_same_seeds_give_the_same_result(make: Make) -> None:
    env = make("LamGrasp-v0")
    first = agents.evaluate(agents.make("random", env), "LamGrasp-v0", seeds=range(3))
    assert agents.evaluate(agents.make("random", env), "LamGrasp-v0", seeds=range(3)) == first


def test_success_at_any_step_is_reported_apart(make: Make) -> None:
    env = make("LamReach-v0")
    result = agents.evaluate(ReachAndLeave(env), env, seeds=range(4))
    assert result.success_rate == 0.0
    assert result.ever_success_rate == 1.0


class SlowAgent(StillAgent):
    def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
        time.sleep(0.002)
        return super().predict(*args, **keywords)


def test_rough_ways_and_slow_decisions_are_measured(make: Make) -> None:
    env = make("LamGrasp-v0")
    still = agents.evaluate(StillAgent(env), env, seeds=range(3))
    slow = agents.evaluate(SlowAgent(env), env, seeds=[0])
    expert = agents.evaluate(agents.make("expert", env), env, seeds=range(3))
    rough = agents.evaluate(agents.make("random", env), env, seeds=range(3))
    assert still.mean_peak_force == 0.0 < expert.mean_peak_force
    assert still.mean_jerk < expert.mean_jerk < rough.mean_jerk
    assert slow.inference_latency_ms >= 2.0 > still.inference_latency_ms > 0.0


def test_the_mean_latency_of_chunks_is_above_the_median(make: Make) -> None:
    class Chunks(StillAgent):
        def predict(self, observation: Any, state: Any = None, *args: Any, **keywords: Any) -> tuple[Any, Any]:
            step = 0 if state is None else state
            time.sleep(0.0 if step % 4 else 0.008)
            return super().predict(observation, *args, **keywords)[0], step + 1

    env = make("LamReach-v0", max_episode_steps=12)
    result = agents.evaluate(Chunks(env), env, seeds=[0])
    assert result.mean_inference_latency_ms is not None
    assert result.mean_inference_latency_ms >= 2.0


def test_jerk_is_the_third_difference_of_positions() -> None:
    times = np.arange(10) * 0.05
    positions = [np.array([2.0 * t**3, 0.0, -(t**2)]) for t in times]
    assert mean_jerk(positions, 0.05) == pytest.approx(12.0, abs=1e-3)
    assert mean_jerk(positions[:3], 0.05) is None


class Done(gym.Wrapper[Any, Any, Any, Any]):
    """Third-party environment that reports success, and nothing about a tool."""

    def reset(self, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(**keywords)[0], {"is_success": False}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        return *self.env.step(action)[:4], {"is_success": True}


def test_a_third_party_environment_is_evaluated_by_what_it_reports() -> None:
    env = Done(gym.make("CartPole-v1"))
    result = agents.evaluate(agents.make("random", env), env, seeds=range(2))
    assert result.success_rate == 1.0
    assert (result.mean_jerk, result.mean_peak_force) == (None, None)


class OnlyActions:
    """Agent whose ``predict`` returns no state."""

    def predict(self, observation: Any, **_: Any) -> Any:
        return np.zeros(4, np.float32)


def test_bad_requests_are_refused(make: Make) -> None:
    env = make("LamReach-v0")
    agent = agents.make("random", env)
    with pytest.raises(ValueError, match="no seeds"):
        agents.evaluate(agent, env, seeds=[])
    with pytest.raises(ValueError, match=r"cannot make 'LamFly-v0' .*environments of lam_envs: LamReach-v0"):
        agents.evaluate(agent, "LamFly-v0", seeds=[0])
    with pytest.raises(TypeError, match="is not an agent: it has no predict"):
        agents.evaluate(object(), env, seeds=[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'function by agents.make\("module:function", env\)'):
        agents.evaluate(lambda observation: observation, env, seeds=[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"OnlyActions is a class; .* such as OnlyActions\(env\)"):
        agents.evaluate(OnlyActions, env, seeds=[0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"predict returned array.*expected a pair \(action, state\)"):
        agents.evaluate(OnlyActions(), env, seeds=[0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="env_kwargs reward need an environment id"):
        agents.evaluate(agent, env, seeds=[0], reward="sparse")
    with pytest.raises(ValueError, match="has no is_success"):
        agents.evaluate(agent, "CartPole-v1", seeds=[0])


def test_an_episode_that_takes_too_long_is_an_error_that_names_it(make: Make) -> None:
    class Slow:
        def predict(self, *args: Any, **keywords: Any) -> tuple[Any, Any]:
            time.sleep(0.02)
            return np.zeros(4, np.float32), None

    env = make("LamReach-v0")
    with pytest.raises(TimeoutError, match=r"the episode with seed 8 took longer than 0.1 s"):
        agents.evaluate(Slow(), env, seeds=[8, 9], episode_seconds=0.1)
    begun: list[int] = []
    assert agents.evaluate(Slow(), env, seeds=[8, 9], episode_seconds=None, on_episode=begun.append).episodes
    assert begun == [8, 9]
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected seconds above 0, or None for no limit"):
            agents.evaluate(Slow(), env, seeds=[0], episode_seconds=seconds)


def test_the_documents_state_the_time_limit() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    assert EPISODE_SECONDS == 3600.0
    assert "the time limit of an episode is one hour" in text


# The first call imports SciPy.
@settings(deadline=None)
@given(trials=st.integers(1, 5000), data=st.data())
def test_intervals_hold_their_point_and_stay_in_range(trials: int, data: Any) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0


def test_the_interval_is_wilsons() -> None:
    # Wilson 1927 with z = 1.959964: center (p + z^2/2n) / (1 + z^2/n), here for 190 of 200.
    z, p, n = 1.959963985, 0.95, 200
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson_interval(190, 200) == pytest.approx((center - half, center + half), abs=1e-9)


def test_a_number_in_place_of_seeds_is_explained(make: Make) -> None:
    env = make("LamReach-v0")
    with pytest.raises(TypeError, match=r"seeds is 20; expected several seeds, such as range\(1000, 1020\)"):
        agents.evaluate(agents.make("random", env), env, seeds=20)  # type: ignore[arg-type]

"""States that only look like a success do not count."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from demos.experts import make_expert
from lam_envs.bullet.geometry import Motion, rotation_6d
from lam_envs.tasks import TASKS, make_task
from lam_envs.tasks.goals.one_goal import OneGoal
from lam_envs.tasks.goals.reward import Reward

from ..conftest import Make

STILL = (0.0, 0.0, 0.0)


def placed(env: gym.Env[Any, Any], position: tuple[float, float, float], velocity: Any = STILL) -> Any:
    """Set the pose of the cube directly in the simulation."""
    inner: Any = env.unwrapped
    inner.simulation.bodies["object"].set_motion(Motion(position, (0.0, 0.0, 0.0, 1.0), velocity, STILL))
    return inner


def act(env: gym.Env[Any, Any], steps: int, action: list[float]) -> dict[str, Any]:
    info: dict[str, Any] = {}
    for _ in range(steps):
        *_, info = env.step(np.array(action, dtype=np.float32))
    return info


def test_a_cube_in_the_air_is_no_grasp(make: Make) -> None:
    env = make("LamGrasp-v0")
    env.reset(seed=0)
    placed(env, (0.5, 0.3, 0.5))
    info = act(env, 1, [0, 0, 0, 1])
    assert info["is_lifted"]
    assert not info["is_success"]


def test_a_thrown_cube_is_no_grasp_at_any_time(make: Make) -> None:
    env = make("LamGrasp-v0")
    env.reset(seed=0)
    placed(env, (0.5, 0.3, 0.05), velocity=(0.0, 0.0, 3.0))
    lifted = False
    for _ in range(30):
        info = act(env, 1, [0, 0, 0, -1])
        lifted |= info["is_lifted"]
        assert not info["is_success"]
    assert lifted


def test_a_cube_pressed_from_above_by_both_fingers_is_not_held(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    env = make("LamGrasp-v0")
    inner: Any = env.unwrapped
    pressed = 0
    for seed in range(2):
        env.reset(seed=seed)
        act(env, 8, [0, 0, 0, -1])
        x, y, _ = inner.features()["tool/position"].tolist()
        placed(env, (x, y, 0.02))
        for _ in range(30):
            above = inner.features()["tool/position"][2] > 0.06
            info = act(env, 1, [0, 0, -1 if above else -0.02, -1])
            assert not info["is_held"]
            with monkeypatch.context() as any_direction:
                any_direction.setattr("lam_envs.robots.robot.MIN_GRIP_COSINE", -1.0)
                pressed += all(inner._world.scene().robot.touch(inner.simulation.bodies["object"]))
    assert pressed > 10, "the fingers hardly rested on the cube"


def test_a_held_cube_on_the_table_is_held_and_no_success(make: Make) -> None:
    env = make("LamGrasp-v0")
    expert = make_expert(env)
    observation, info = env.reset(seed=3)
    while not info["is_held"]:
        observation, _, _, truncated, info = env.step(expert.predict(observation)[0])
        assert not truncated
    low = env.unwrapped.features()["tool/position"][2]  # type: ignore[attr-defined]
    for _ in range(20):
        now: Any = env.unwrapped
        height = now.features()["tool/position"][2]
        *_, reward, _, _, info = env.step(np.array([0, 0, np.clip((low - height) / 0.02, -1, 1), -1], np.float32))
    assert info["is_held"]
    assert not info["is_success"]
    assert reward < 0


def test_a_grasp_that_is_let_go_is_lost_again(make: Make) -> None:
    env = make("LamGrasp-v0")
    expert = make_expert(env)
    observation, info = env.reset(seed=4)
    while not info["is_success"]:
        observation, *_, info = env.step(expert.predict(observation)[0])
    info = act(env, 15, [0, 0, 0, 1])
    assert not info["is_success"]


def test_a_cube_off_the_table_earns_the_lowest_reward(make: Make) -> None:
    env = make("LamGrasp-v0")
    env.reset(seed=5)
    placed(env, (0.5, 1.2, -0.3))
    _, reward, _, _, info = env.step(np.zeros(4, dtype=np.float32))
    assert info["is_lost"]
    assert reward == -1.0


def test_flying_through_the_goal_is_no_reach(make: Make) -> None:
    env = make("LamReach-v0")
    inner: Any = env.unwrapped
    passed = 0
    for seed in range(30):
        env.reset(seed=seed)
        goal = inner.features()["goal/position"]
        offset = goal - inner.features()["tool/position"]
        direction = (offset / np.abs(offset).max()).tolist()
        close = False
        for _ in range(int(np.abs(offset).max() / 0.02) + 3):
            *_, info = env.step(np.array([*direction, 0], dtype=np.float32))
            close |= info["is_close"]
            assert not info["is_success"], "at full speed the goal was only passed"
        passed += close
    assert passed > 20


def test_hovering_with_the_cube_below_the_height_never_pays(make: Make) -> None:
    inner: Any = make("LamGraspGoal-v0", reward="dense").unwrapped
    almost = np.array([[0.0, 0.0999, 1.0], [0.0, 5.0, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    desired = np.tile(np.array([0.0, 0.1, 1.0], dtype=np.float32), (3, 1))
    assert (inner.compute_reward(almost, desired, {}) <= 0).all()


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("name", TASKS)
def test_one_goal_is_evaluated_as_in_a_batch(name: str, dense: bool) -> None:
    task = make_task(name)
    reward = Reward(task, dense=dense)
    rng = np.random.default_rng(0)
    low, high = np.maximum(task.goal_low, -0.2), np.minimum(task.goal_high, 0.2)
    achieved, desired = (rng.uniform(low, high, (500, len(low))).astype(np.float32) for _ in range(2))
    desired[::2] = achieved[::2]  # half of them succeed
    flags, rewards = reward.evaluate(achieved, desired)
    for row in range(len(achieved)):
        alone = reward.evaluate(achieved[row], desired[row])
        assert alone.flags == {key: values[row] for key, values in flags.items()}  # type: ignore[index]
        assert alone.reward == rewards[row]  # type: ignore[index]


@pytest.mark.parametrize(
    "index",
    [(..., 1), (..., -1), (..., 0, None), [0, 1], (...,), (..., slice(1)), 2, (..., [0, 2]), (..., np.int64(1))],
)
def test_one_goal_is_read_as_an_array_is(index: Any) -> None:
    numbers = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(OneGoal(numbers)[index], np.array(numbers)[index])


def test_rotations_are_written_as_the_columns_of_their_matrix() -> None:
    half = np.pi / 4
    # A quarter turn about z: x goes to y, y goes to -x.
    np.testing.assert_allclose(rotation_6d((0, 0, np.sin(half), np.cos(half))), [0, 1, 0, -1, 0, 0], atol=1e-15)

"""Interface of environments: spaces, infos, rewards, fixed length, clear errors, states."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import SyncVectorEnv

import lam_envs
from lam_envs import ManipulationEnv
from lam_envs.tasks.reach import Reach

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint, play

IDS = [
    pytest.param(env_id, marks=[] if number % 3 == 0 else pytest.mark.slow)
    for number, env_id in enumerate(lam_envs.ENV_IDS)
]
"""A third of the ids quickly: each task and each kind of observation and action."""


@pytest.mark.parametrize("env_id", IDS)
def test_reset_and_step_have_the_same_info_keys(env_id: str, make: Make) -> None:
    env = make(env_id)
    env.action_space.seed(0)
    _, first = env.reset(seed=0)
    *_, second = env.step(env.action_space.sample())
    assert list(first) == list(second)
    assert "is_success" in first
    assert second.pop("instruction").shape == (128,)
    assert np.asarray(second.pop("completed", 0)).dtype == np.int64
    assert all(np.shape(value) == () and np.asarray(value).dtype == bool for value in second.values())


def test_conditions_in_infos_have_a_dtype_and_terminated_is_a_bool(make: Make) -> None:
    env = make("LamReach-v0", terminate_on_success=True)
    _, info = env.reset(seed=0)
    *_, terminated, truncated, _ = env.step(env.action_space.sample())
    # TorchRL's info reader reads the dtype (see test_other_libraries.py). Before Gymnasium 1.0, vector environments
    # make arrays of objects of such values, so that the flags are Python's there.
    assert info.pop("instruction").dtype == np.uint8
    before = gym.__version__.startswith("0.")
    assert {type(value) if before else value.dtype for value in info.values()} == {bool if before else np.dtype(bool)}
    assert type(terminated) is type(truncated) is bool


def test_conditions_in_infos_of_a_vector_environment_can_be_counted() -> None:
    vector = SyncVectorEnv([lambda: gym.make("LamReach-v0")] * 3)
    vector.reset(seed=0)
    *_, infos = vector.step(np.zeros((3, 4), np.float32))
    vector.close()
    assert infos["is_still"].dtype == infos["is_success"].dtype == bool
    assert infos["is_still"].sum() == 3


@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGrasp-v0"])
def test_success_does_not_end_an_episode(env_id: str, make: Make) -> None:
    from demos.experts import make_expert

    env = make(env_id)
    expert = make_expert(env)
    observation, _ = env.reset(seed=1)
    limit = env.spec.max_episode_steps if env.spec else None
    rewards: list[float] = []
    truncated = False
    while not truncated:
        observation, reward, terminated, truncated, info = env.step(expert.predict(observation)[0])
        assert not terminated
        assert (reward == 1.0) == info["is_success"]
        assert -1.0 <= reward <= 1.0
        rewards.append(float(reward))
    assert len(rewards) == limit
    assert rewards[-1] == 1.0


def test_an_episode_ends_at_success_when_asked(make: Make) -> None:
    from demos.experts import make_expert

    env = make("LamReach-v0", terminate_on_success=True)
    expert = make_expert(env)
    observation, info = env.reset(seed=1)
    terminated = False
    while not terminated:
        observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
        assert terminated == info["is_success"]
        assert not truncated


@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamGrasp-v0"])
def test_sparse_rewards_are_zero_at_success_and_minus_one_before(env_id: str, make: Make) -> None:
    from demos.experts import make_expert

    env = make(env_id, reward="sparse")
    expert = make_expert(env)
    observation, _ = env.reset(seed=2)
    seen = set()
    truncated = False
    while not truncated:
        observation, reward, _, truncated, info = env.step(expert.predict(observation)[0])
        assert reward == (0.0 if info["is_success"] else -1.0)
        seen.add(reward)
    assert seen == {0.0, -1.0}


@pytest.mark.parametrize(
    ("env_id", "reward"),
    [
        ("LamReachGoal-v0", "dense"),
        ("LamReachGoal-v0", "sparse"),
        pytest.param("LamGraspGoal-v0", "dense", marks=pytest.mark.slow),
        pytest.param("LamGraspGoal-v0", "sparse", marks=pytest.mark.slow),
    ],
)
def test_compute_reward_gives_one_and_many_the_reward_of_the_step(env_id: str, reward: str, make: Make) -> None:
    env = make(env_id, reward=reward)
    inner: Any = env.unwrapped
    achieved, desired, rewards = [], [], []
    for seed in range(2):
        for observation, given_reward, *_ in play(env, seed, contact_rich_actions(env, seed, 40)):
            achieved.append(observation["achieved_goal"])
            desired.append(observation["desired_goal"])
            rewards.append(given_reward)
            assert inner.compute_reward(achieved[-1], desired[-1], {}) == given_reward
    np.testing.assert_array_equal(inner.compute_reward(np.stack(achieved), np.stack(desired), {}), rewards)


@pytest.mark.parametrize("env_id", ["LamReachGoal-v0", "LamGraspGoal-v0"])
def test_every_achieved_goal_is_a_success_when_it_is_desired(env_id: str, make: Make) -> None:
    env = make(env_id)
    inner: Any = env.unwrapped
    for observation, *_ in play(env, 3, contact_rich_actions(env, 3, 30)):
        goal = observation["achieved_goal"]
        assert inner.compute_reward(goal, goal, {}) == 0.0


def test_an_achieved_goal_of_reach_stays_in_its_space_behind_the_robot(make: Make) -> None:
    env: Any = make("LamReachGoal-v0", robot="iiwa", control="joint")
    env.reset(seed=0)
    positions = []
    for _ in range(150):
        # Joint 2 back, joints 4 and 6 straight.
        angles = env.unwrapped.features()["joint/position"]
        action = np.zeros(env.action_space.shape, np.float32)
        action[[1, 3, 5]] = np.clip(10.0 * (np.array([-2.0, 0.0, 0.0]) - angles[[1, 3, 5]]), -1.0, 1.0)
        observation, *_ = env.unwrapped.step(action)
        assert env.observation_space.contains(observation)
        positions.append(observation["achieved_goal"][0])
    assert min(positions) == -1.0


def test_goal_observations_hold_no_goal_and_plain_ones_have_no_compute_reward(make: Make) -> None:
    goal: Any = make("LamReachGoal-v0").unwrapped
    assert not any(name.startswith("goal/") for name in goal.layout)
    plain: Any = make("LamReach-v0").unwrapped
    assert any(name.startswith("goal/") for name in plain.layout)
    assert not hasattr(plain, "compute_reward")


@pytest.mark.parametrize("env_id", ["LamReach-v0", "LamReachGoal-v0", "LamGrasp-v0", "LamGraspGoal-v0"])
def test_features_of_an_observation_are_those_of_the_scene(env_id: str, make: Make) -> None:
    env = make(env_id)
    inner: Any = env.unwrapped
    env.action_space.seed(4)
    observation, _ = env.reset(seed=4)
    for _ in range(20):
        observation, *_ = env.step(env.action_space.sample())
        seen, real = inner.features(observation), inner.features()
        assert set(seen) == set(real)
        for name in real:
            np.testing.assert_allclose(seen[name], real[name], atol=1e-5, err_msg=name)


def test_the_layout_names_every_number_of_the_state_once(make: Make) -> None:
    env: Any = make("LamGrasp-v0").unwrapped
    taken = [index for part in env.layout.values() for index in range(part.slice.start, part.slice.stop)]
    assert taken == list(range(env.observation_space.shape[0]))
    for part in env.layout.values():
        assert part.unit
        assert part.description


# Errors


@pytest.mark.parametrize("env_id", IDS)
def test_step_before_reset_says_so(env_id: str, make: Make) -> None:
    inner = make(env_id).unwrapped
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        inner.step(inner.action_space.sample())
    with pytest.raises(ResetNeeded):
        make(env_id).step(inner.action_space.sample())


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, np.nan, 0, 0], r"action\[1\] is nan"),
        ([0, 0, 0, np.inf], r"action\[3\] is inf"),
        ([0, 0, 0], r"shape \(3,\); expected \(4,\)"),
        ([[0, 0, 0, 0]], r"shape \(1, 4\); expected \(4,\)"),
        (0.0, r"shape \(\); expected \(4,\)"),
        (["a", "b", "c", "d"], "expected an array of numbers"),
        (["1", "0", "0", "0"], "expected an array of numbers"),
        ([10**400, 0, 0, 0], "expected an array of numbers"),
        ([True, False, True, False], "expected an array of numbers"),
        (None, "shape"),
    ],
)
def test_a_bad_action_is_refused_and_nothing_advances(action: Any, message: str, make: Make) -> None:
    env = make("LamGrasp-v0")
    env.reset(seed=0)
    env.step(np.ones(4, dtype=np.float32))
    inner: Any = env.unwrapped
    before = inner.get_state()
    with pytest.raises(ValueError, match=message):
        inner.step(action)
    np.testing.assert_array_equal(inner.get_state(), before)
    good = np.full(4, 0.3, dtype=np.float32)
    after_error = inner.step(good)
    inner.set_state(before)
    assert fingerprint([after_error[0]]) == fingerprint([inner.step(good)[0]])


@pytest.mark.parametrize("action", [-1, 21, 2.5, np.nan, [1, 2], "open", "3", 10**400, None, True])
def test_a_bad_choice_is_refused_and_nothing_advances(action: Any, make: Make) -> None:
    env = make("LamGraspDiscrete-v0")
    env.reset(seed=0)
    inner: Any = env.unwrapped
    before = inner.get_state()
    with pytest.raises(ValueError, match="expected"):
        inner.step(action)
    np.testing.assert_array_equal(inner.get_state(), before)


def test_actions_of_any_precision_are_those_of_64_bits(make: Make) -> None:
    ends = []
    for kind in (np.longdouble, np.float64):
        env = make("LamPush-v0")
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        for _ in range(20):
            observation = env.step((rng.uniform(-1, 1, 4).astype(np.longdouble) / 3).astype(kind))[0]
        inner: Any = env.unwrapped
        assert inner.get_state().dtype == np.float64
        ends.append(fingerprint([observation, inner.physical_state()]))
    assert ends[0] == ends[1]


def test_a_wrapped_environment_asks_for_a_reset_even_when_its_state_was_set(make: Make) -> None:
    first: Any = make("LamReach-v0")
    first.reset(seed=0)
    other = make("LamReach-v0")
    inner: Any = other.unwrapped
    inner.set_state(first.unwrapped.get_state())
    before = inner.get_state()
    with pytest.raises(ResetNeeded):
        other.step(np.zeros(4, dtype=np.float32))
    np.testing.assert_array_equal(inner.get_state(), before)


def test_actions_out_of_range_are_clipped(make: Make) -> None:
    env = make("LamReach-v0")
    ends = []
    for action in ([5.0, -7.0, 1e30, -2.0], [1.0, -1.0, 1.0, -1.0]):
        env.reset(seed=0)
        ends.append(fingerprint([env.step(np.array(action, dtype=np.float32))[0]]))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"robot": "r2d2"}, "unknown robot 'r2d2'; expected one of panda"),
        ({"control": "telepathy"}, "unknown control 'telepathy'; expected one of ee, ee_yaw, joint, discrete"),
        ({"task": "dance"}, "unknown task 'dance'; expected one of reach, push, grasp, pick_place, stack, insert"),
        ({"task": Reach}, r"task is the class Reach; expected an object, such as Reach\(\)"),
        ({"obs": "smell"}, "unknown obs 'smell'; expected one of state, goal"),
        ({"reward": "money"}, "unknown reward 'money'; expected one of dense, sparse"),
        ({"terminate_on_success": "no"}, "terminate_on_success is 'no'; expected True or False"),
        ({"render_width": 60_000}, "at most 8192"),
        ({"camera": "back"}, "unknown camera 'back'; expected one of front, overview, side, wrist"),
        ({"render_mode": "ansi"}, "unknown render_mode 'ansi'"),
        ({"render_width": 0}, "render_width is 0; expected a positive whole number"),
        ({"render_height": 2.5}, "render_height is 2.5; expected"),
        ({"robot": ["panda"]}, "unknown robot"),
    ],
)
def test_a_bad_value_names_what_was_given_and_what_was_expected(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ManipulationEnv(**{"task": "grasp", **keywords})


def test_an_unknown_keyword_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(TypeError, match=r"keyword argument 'robt' \(did you mean 'robot'\?\). Known: task, robot"):
        gym.make("LamGrasp-v0", robt="panda")


def test_an_unknown_task_is_named_before_its_keywords() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'chair'; expected one of reach"):
        ManipulationEnv(task="chair", chain=3)


def test_contact_force_and_simulation_need_an_episode() -> None:
    env = ManipulationEnv(task="grasp")
    for name in ("contact_force", "simulation"):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            getattr(env, name)
    env.close()


def test_an_observation_without_its_parts_is_refused_by_name(make: Make) -> None:
    goal: Any = make("LamReachGoal-v0").unwrapped
    observation, _ = goal.reset(seed=0)
    expected = r"a dict with the keys \[\]; expected observation and desired_goal"
    with pytest.raises(ValueError, match=expected):
        goal.features({})
    with pytest.raises(ValueError, match=r"desired goal of the observation has shape \(2,\); expected \(4,\)"):
        goal.features({**observation, "desired_goal": np.zeros(2, np.float32)})
    instructed: Any = make("LamReach-v0", instruct=True).unwrapped
    instructed.reset(seed=0)
    with pytest.raises(ValueError, match=r"keys \['observation'\]; expected state"):
        instructed.features({"observation": observation["observation"]})


def test_closing_twice_and_resetting_after_it_are_fine() -> None:
    env = gym.make("LamReach-v0")
    first = fingerprint([env.reset(seed=3)[0]])
    env.close()
    env.close()
    assert fingerprint([env.reset(seed=3)[0]]) == first
    env.close()


def test_a_deleted_environment_frees_its_client() -> None:
    import pybullet

    env: Any = gym.make("LamReach-v0").unwrapped
    env.reset(seed=0)
    client = env.simulation.client
    assert pybullet.isConnected(client)
    del env
    gc.collect()
    assert not pybullet.isConnected(client)


def test_closed_standard_streams_do_no_harm() -> None:
    code = "import gymnasium as gym, lam_envs; gym.make('LamReach-v0').reset(seed=0)"
    subprocess.run(f'{sys.executable} -c "{code}" >&- 2>&-', shell=True, check=True)  # noqa: S602  (to close them)


@pytest.mark.parametrize("env_id", ["LamGraspGoal-v0"])
def test_goals_of_another_shape_are_refused(env_id: str, make: Make) -> None:
    inner: Any = make(env_id).unwrapped
    with pytest.raises(ValueError, match=r"achieved goals have shape \(2,\); expected \(..., 3\)"):
        inner.compute_reward(np.zeros(2), np.zeros(2), {})


@pytest.mark.parametrize(
    ("goal", "problem"),
    [
        (np.nan, "not finite in float32"),
        (np.inf, "not finite in float32"),
        (1e300, "not finite in float32"),
        (1j, "not real numbers"),
        ("1", "not real numbers"),
    ],
)
def test_goals_that_are_not_finite_in_float32_are_refused_one_by_one_and_together(
    goal: Any, problem: str, make: Make
) -> None:
    inner: Any = make("LamGraspGoal-v0").unwrapped
    for goals in ([goal] * 3, [[goal] * 3] * 2):
        with pytest.raises(ValueError, match=f"goals are {problem}"):
            inner.compute_reward(np.array(goals), np.array(goals), {})

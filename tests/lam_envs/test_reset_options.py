"""Options of reset set parts of an initial state, are checked, and change nothing else."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from lam_envs.registration import TASKS, env_id
from lam_envs.scene import reset_options
from lam_envs.tasks import Task

from ..conftest import Make
from .traces import contact_rich_actions, fingerprint, trace

GOAL = [0.45, 0.05, 0.12, 0.08, 1.0, 0.0]
"""A desired goal of PickPlace: position, speed, security, distance."""
POSE = [0.55, 0.1, 0.02, 0.0, 0.0, math.sin(0.1), math.cos(0.1)]
OPTIONS = {"goal": GOAL, "poses": {"object": POSE}}


def options_of(env: gym.Env[Any, Any], task: str) -> dict[str, Any]:
    """Return a goal in the middle of its space, and a displaced pose of the last movable object."""
    inner: Any = env.unwrapped
    given: Task = inner._task
    goal = [0.5 * low + 0.5 * high for low, high in zip(given.goal_low, given.goal_high, strict=True)]
    if task == "table":
        goal[-1] = 0.0  # the number of commands that follow
    if not given.movable_objects:
        return {"goal": goal}
    # A heap does not have all of its objects.
    last = [name for name in given.movable_objects if inner.simulation.bodies[name].id >= 0][-1]
    position = inner.simulation.bodies[last].motion().position
    return {"goal": goal, "poses": {last: [*np.add(position, (0.02, 0.1, 0.03)), 0.6, 0.0, 0.0, 0.8]}}


@pytest.mark.parametrize("task", TASKS)
def test_a_goal_and_a_pose_are_those_given_and_the_seed_draws_the_rest(task: str, make: Make) -> None:
    env: Any = make(env_id(task, "Goal"))
    drawn, _ = env.reset(seed=3)
    bodies = env.unwrapped.simulation.bodies
    movable = env.unwrapped._task.movable_objects
    before = {name: bodies[name].motion() for name in movable}
    options = options_of(env, task)
    given, _ = env.reset(seed=3, options=options)
    np.testing.assert_array_equal(given["desired_goal"], np.array(options["goal"], np.float32))
    assert not np.array_equal(given["desired_goal"], drawn["desired_goal"])
    np.testing.assert_array_equal(given["observation"][:6], drawn["observation"][:6])
    for name in movable:
        motion = env.unwrapped.simulation.bodies[name].motion()
        if name in options["poses"]:
            np.testing.assert_allclose([*motion.position, *motion.orientation], options["poses"][name], atol=1e-12)
        else:
            assert motion == before[name]


@pytest.mark.parametrize(("number", "chain"), [(3.0, 1), (1.0, 1), (0.5, 2), (2.0, 2)])
def test_a_goal_with_another_number_of_following_commands_is_refused(number: float, chain: int, make: Make) -> None:
    env: Any = make("LamTableGoal-v0", chain=chain)
    observation, _ = env.reset(seed=0)
    goal = observation["desired_goal"]
    env.reset(seed=0, options={"goal": [*goal[:-1], chain - 1]})
    with pytest.raises(ValueError, match=rf"goal: {number:g} commands follow .* below chain, which is {chain}"):
        env.reset(seed=0, options={"goal": [*goal[:-1], number]})
    longer: Any = make("LamTableGoal-v0", chain=chain + 1)
    longer.reset(seed=0)
    with pytest.raises(ValueError, match=f"the desired goal: {chain} commands follow"):
        env.unwrapped.set_state(longer.unwrapped.physical_state())


@pytest.mark.parametrize("none", [None, {}, {"minari_autoseed": False}, {"poses": {}}], ids=str)
def test_without_an_option_an_episode_is_the_seeds(none: Any, make: Make) -> None:
    env, other = make("LamPickPlace-v0"), make("LamPickPlace-v0")
    assert fingerprint(list(env.reset(seed=4, options=none))) == fingerprint(list(other.reset(seed=4)))
    assert fingerprint(list(env.reset(options=none))) == fingerprint(list(other.reset()))


def test_the_following_episodes_do_not_depend_on_options(make: Make) -> None:
    env, other = (make("LamPickPlace-v0", randomize="full") for _ in range(2))
    env.reset(seed=5, options=OPTIONS)
    other.reset(seed=5)
    for _ in range(3):
        assert fingerprint(list(env.reset())) == fingerprint(list(other.reset()))


@pytest.mark.parametrize("seed", range(4))
def test_the_following_episodes_of_table_do_not_depend_on_a_command(seed: int, make: Make) -> None:
    # Its scenes are sampled until the command is feasible.
    env, other = make("LamTable-v0"), make("LamTable-v0")
    for options in ({"command": (3, 0, 0)}, {"instruction": "stack the blue cube on the red cube"}):
        env.reset(seed=seed, options=options)
        other.reset(seed=seed)
        assert fingerprint(list(env.reset())) == fingerprint(list(other.reset()))


@pytest.mark.parametrize("randomize", ["none", "full"])
def test_the_same_seed_and_options_give_the_same_bits_in_any_environment(randomize: str, make: Make) -> None:
    env, other = (make("LamPickPlaceGoal-v0", randomize=randomize) for _ in range(2))
    actions = contact_rich_actions(env, 6, 25)
    expected = trace(env, 6, actions, OPTIONS)
    assert expected != trace(env, 6, actions)
    contact_rich_actions(other, 7, 10)
    assert trace(other, 6, actions, OPTIONS) == expected
    # And a state continues such an episode.
    env.reset(seed=6, options=OPTIONS)
    env.step(actions[0])
    here, there = env.unwrapped, other.unwrapped
    other.reset(seed=8)
    there.set_state(here.get_state())  # type: ignore[attr-defined]
    for action in actions[1:]:
        assert fingerprint(list(here.step(action))) == fingerprint(list(there.step(action)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gaol": GOAL}, r"unknown reset option 'gaol' \(did you mean 'goal'\?\)\. Known: goal, poses"),
        ({"seed": 3}, r"unknown reset option 'seed'.*Known: goal, poses"),
        ({1: GOAL}, "unknown reset option 1"),
        ([GOAL], r"the reset options are \[\[0\.45.*expected a dict"),
        ("goal", "the reset options are 'goal'; expected a dict"),
        ({"goal": None}, "reset option 'goal' is None; expected 6 numbers"),
        ({"goal": GOAL[:3]}, r"reset option 'goal' is \[0\.45, 0\.05, 0\.12\]; expected 6 numbers"),
        ({"goal": [*GOAL[:5], "0"]}, "reset option 'goal' is .*; expected 6 numbers"),
        ({"goal": [*GOAL[:5], [0.0]]}, "reset option 'goal' is .*; expected 6 numbers"),
        ({"goal": [True] * 6}, "reset option 'goal' is .*; expected 6 numbers"),
        ({"goal": [*GOAL[:5], math.nan]}, "reset option 'goal' is .*nan.*; expected 6 numbers of at most"),
        ({"goal": [*GOAL[:5], -1]}, r"reset option 'goal': the desired goal's number 5 is -1; expected 0 to 2"),
        ({"poses": [POSE]}, r"reset option 'poses' is .*; expected a dict of poses by object\. Objects: object"),
        ({"poses": {"objct": POSE}}, r"unknown object 'objct' \(did you mean 'object'\?\)\. Known: object"),
        ({"poses": {"object": POSE[:3]}}, r"the pose of object is .*; expected 7 numbers.* \(x, y, z, qx, qy"),
        ({"poses": {"object": [*POSE[:6], math.inf]}}, "the pose of object is .*inf.*; expected 7 numbers"),
        (
            {"poses": {"object": [0.0] * 7}},
            "the orientation of object is a quaternion of length 0; expected length 1",
        ),
        (
            {"goal": GOAL, "poses": {"object": [1.0] * 7}},
            "the orientation of object is a quaternion of length 2; expected",
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_and_nothing_changes(options: Any, message: str, make: Make) -> None:
    env = make("LamPickPlace-v0").unwrapped
    other = make("LamPickPlace-v0")
    for each in (env, other):
        each.reset(seed=9)
    before = env.get_state()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=message):
        env.reset(seed=10, options=options)
    np.testing.assert_array_equal(env.get_state(), before)  # type: ignore[attr-defined]
    assert fingerprint(list(env.reset())) == fingerprint(list(other.reset()))


def test_a_task_without_objects_takes_a_goal_and_no_poses(make: Make) -> None:
    env = make("LamReachGoal-v0")
    observation, _ = env.reset(seed=0, options={"goal": np.array([0.5, 0.0, 0.2, 0.08], np.float32)})
    np.testing.assert_array_equal(observation["desired_goal"], np.array([0.5, 0.0, 0.2, 0.08], np.float32))
    with pytest.raises(ValueError, match=r"unknown object 'object'\. Known: none"):
        env.reset(options={"poses": {"object": POSE}})


def test_an_error_has_the_singular_where_one_number_is_expected(make: Make) -> None:
    env = make("LamDrawer-v0")
    with pytest.raises(ValueError, match=r"the positions of drawer is \[0\.1, 0\.1\]; expected 1 number of at most"):
        env.reset(options={"joints": {"drawer": [0.1, 0.1]}})


def test_a_limit_of_the_goal_space_is_a_goal(make: Make) -> None:
    env = make("LamPickPlaceGoal-v0")
    inner: Any = env.unwrapped
    for goal in (inner._task.goal_low, inner._task.goal_high):
        assert env.observation_space.contains(env.reset(seed=0, options={"goal": list(goal)})[0])


def goals_and_places(observation: Any) -> tuple[list[float], list[float]]:
    return observation["desired_goal"][..., :3].tolist(), observation["observation"][..., 14:17].tolist()


def test_options_reach_the_environment_through_wrappers_and_vectors(make: Make, tmp_path: Path) -> None:
    plain = make("LamPickPlaceGoal-v0")
    expected = goals_and_places(plain.reset(seed=0, options=OPTIONS)[0])

    vector = SyncVectorEnv([lambda: gym.make("LamPickPlaceGoal-v0")] * 2)
    for seen in zip(*goals_and_places(vector.reset(seed=[0, 1], options=OPTIONS)[0]), strict=True):
        assert list(seen) == list(expected)
    vector.close()

    sb3 = DummyVecEnv([lambda: gym.make("LamPickPlaceGoal-v0")])
    sb3.set_options(OPTIONS)
    sb3.seed(0)
    (goal,), (place,) = goals_and_places(sb3.reset())
    assert (goal, place) == expected
    # Stable-Baselines3 uses options once.
    assert goals_and_places(sb3.reset()) != ([goal], [place])
    sb3.close()

    collector = minari.DataCollector(gym.wrappers.TimeAwareObservation(make("LamPickPlace-v0")), record_infos=True)
    observation, _ = collector.reset(seed=0, options={**OPTIONS, "minari_autoseed": False})
    collector.close()
    np.testing.assert_allclose(observation[14:17], expected[1], atol=1e-6)


def test_a_new_option_is_one_line(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def tool_change(value: Any, task: Task) -> reset_options.InitialStateUpdate:
        return lambda start: dataclasses.replace(start, tool_position=value)

    monkeypatch.setitem(reset_options.CHANGES, "tool", tool_change)
    env: Any = make("LamReach-v0").unwrapped
    env.reset(seed=0, options={"tool": (0.5, 0.1, 0.2)})
    np.testing.assert_allclose(env.features()["tool/position"], (0.5, 0.1, 0.2), atol=1e-3)
    with pytest.raises(
        ValueError, match=r"did you mean 'tool'\?\)\. Known: goal, poses, joints, tool, command, instruction"
    ):
        env.reset(options={"tol": (0.5, 0.1, 0.2)})

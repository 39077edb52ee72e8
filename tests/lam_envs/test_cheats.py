"""Scripted cheats have no success, and a lower return than the expert.

A cheat that brings the object to rest at the goal has done the task, however roughly. These do not: they aim past the
goal, stop short of it, or never hold what must be held. So no step of theirs may report success. Three kinds have
moments of true success on the way: a cube is held high before it is tossed from there, one that is pinched at its
edge may be held for a while before it shoots out, and a slab may lie at rest at the goal between two blows. Those may
not report it while the object is in flight, nor at the end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from demos.experts import make_expert
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

from ..conftest import Make
from . import belt_cheats, cheats
from .cheats import Cheat, Moment

Episode = list[Moment]

COUNTS = [1, pytest.param(6, marks=pytest.mark.slow)]
"""Episodes of each cheat in the quick and in the slow tests."""


# Conditions under which a cheat did what its name says


def rise(moment: Moment, episode: Episode) -> float:
    """Return the height of the object above its initial position."""
    return float(moment.features["object/position"][2] - episode[0].features["object/position"][2])


def speed(moment: Moment) -> float:
    return math.hypot(*moment.features["object/velocity"].tolist())


def held(moment: Moment) -> bool:
    return all(moment.touch)


def flew(height: float, episode: Episode) -> bool:
    """Return True if it was held, and then nothing touched it at a height above its initial position."""
    return any(map(held, episode)) and any(m.flies and rise(m, episode) > height for m in episode)


def was_knocked(episode: Episode) -> bool:
    """Return True if it moved fast on the table, and was never held."""
    fast = max(speed(m) for m in episode) > 0.2
    start = episode[0].features["object/position"]
    far = max(math.dist(m.features["object/position"][:2], start[:2]) for m in episode)
    return fast and far > 0.02 and not any(map(held, episode))


def shot_out(episode: Episode) -> bool:
    """Return True if the gripper closed completely, and the object moved while the tool did not."""
    closed = episode[-1].features["gripper/width"] < 0.005
    return bool(closed) and max(speed(m) for m in episode) > 0.05 and not held(episode[-1])


def was_pressed(episode: Episode) -> bool:
    """Return True if the robot touched it for several steps, but never with both fingers."""
    return sum(m.touch.anywhere for m in episode) >= 5 and not any(map(held, episode))


def was_left_alone(episode: Episode) -> bool:
    """Return True if the tool ended at or above the goal of the object, and nothing touched the object."""
    features = episode[-1].features
    above = np.array([*cheats.thing(features)[:2], 0.14])
    near = min(np.linalg.norm(features["tool/position"] - place) for place in (above, cheats.goal(features)))
    return bool(near < 0.03) and not any(m.touch.anywhere for m in episode)


def was_touched_on_one_side(episode: Episode) -> bool:
    """Return True if it moved, at most one finger pressed it, and it rose no more than by tipping over."""
    moved = max(speed(m) for m in episode) > 0.1
    return moved and not any(map(held, episode)) and max(rise(m, episode) for m in episode) < 0.04


def passed_the_goal(episode: Episode) -> bool:
    """Return True if it was within 2 cm of the goal repeatedly, or fell freely through it."""
    if "object/position" not in episode[0].features:
        return sum(m.info["is_close"] for m in episode) >= 6
    heights = [m.features["object/position"][2] - m.features["goal/position"][2] for m in episode if m.flies]
    return max(heights) > 0.025 and min(heights) < -0.025


def stayed_short(episode: Episode) -> bool:
    """Return True if it was at rest so near the goal that weaker conditions would count it as success."""
    last = episode[-1]
    away = np.linalg.norm(last.features["goal/relative"])
    return bool(0.02 < away < 0.035) and last.info["is_still"]


def was_held_in_place(episode: Episode) -> bool:
    """Return True if only the release, or the depth, is missing for a success."""
    info = episode[-1].info
    conditions = [name for name in info if name.startswith("is_") and name not in ("is_success", "is_lost")]
    return held(episode[-1]) and [name for name in conditions if not info[name]] in (["is_released"], ["is_deep"])


def stands_on_the_block(episode: Episode) -> bool:
    info = episode[-1].info
    return info["is_upright"] and info["is_still"] and rise(episode[-1], episode) > 0.03


def was_dropped(episode: Episode) -> bool:
    """Return True if it was held, fell, and was carried on by the belt."""
    return flew(0.02, episode) and rise(episode[-1], episode) < 0.005


def stayed_below(episode: Episode) -> bool:
    """Return True if only the height is missing for a success."""
    last = episode[-1]
    return held(last) and bool(last.info["is_held"]) and 0.03 < rise(last, episode) < 0.095


def was_dammed(episode: Episode) -> bool:
    """Return True if the hand stopped it on the belt."""
    stopped = [m.touch.anywhere and abs(m.features["object/velocity"][1]) < 0.03 for m in episode]
    return sum(stopped) >= 5 and not any(map(held, episode))


def was_accompanied(height: float, episode: Episode) -> bool:
    """Return True if the hand moved with it at a height above it, and never held it."""
    near = [np.linalg.norm(m.features["object/relative"] + (0.0, 0.0, height)) < 0.02 for m in episode]
    return sum(near) >= 10 and not any(map(held, episode))


class Case(NamedTuple):
    task: str
    cheat: Cheat
    shows: Callable[[Episode], bool]
    name: str
    has_moments: bool = False
    """True if a true success may occur in between."""


def cases() -> list[Case]:
    found = [
        Case("reach", cheats.swing_through, passed_the_goal, "swing_through"),
        Case("reach", cheats.stop_short, stayed_short, "stop_short"),
        Case("grasp", cheats.hover_above, was_left_alone, "hover_above"),
        Case("grasp", partial(cheats.throw, height=0.12), partial(flew, 0.1), "toss", has_moments=True),
        Case("pick_place", cheats.drop_through, passed_the_goal, "drop_through"),
        Case("stack", cheats.hold_on_top, was_held_in_place, "hold_on_top"),
        Case("stack", cheats.drop_beside, partial(flew, 0.1), "drop_beside"),
        Case("conveyor", belt_cheats.throw_off, partial(flew, 0.05), "throw_off"),
        Case(
            "conveyor", partial(belt_cheats.throw_off, height=0.16), partial(flew, 0.1), "toss_off", has_moments=True
        ),
        Case("conveyor", belt_cheats.hold_low, stayed_below, "hold_low"),
        Case("conveyor", belt_cheats.drop_back, was_dropped, "drop_back"),
        Case("conveyor", belt_cheats.dam, was_dammed, "dam"),
        Case("conveyor", belt_cheats.ride, partial(was_accompanied, 0.005), "ride"),
        Case("conveyor", belt_cheats.ride_above, partial(was_accompanied, 0.1), "ride_above"),
        Case("conveyor", belt_cheats.press_on_belt, was_pressed, "press_on_belt"),
        Case("conveyor", belt_cheats.lift_by_one_finger, was_touched_on_one_side, "lift_by_one_finger"),
        Case("insert", cheats.hold_over_hole, was_held_in_place, "hold_over_hole"),
        Case("insert", cheats.stand_on_block, stands_on_the_block, "stand_on_block"),
        Case("insert", cheats.drop_on_block, partial(flew, 0.1), "drop_on_block"),
    ]
    for task in ("push", "grasp", "pick_place", "stack", "insert"):
        found.append(Case(task, cheats.knock, was_knocked, "knock", has_moments=task in ("push", "pick_place")))
        found.append(Case(task, cheats.press_down, was_pressed, "press_down"))
        found.append(Case(task, cheats.scoop, was_touched_on_one_side, "scoop"))
        if task != "grasp":
            found.append(Case(task, cheats.hover, was_left_alone, "hover"))
        if task != "push":  # The slab is too wide for the hand.
            above, away = (0.025, 0.024) if task == "insert" else (0.0, 0.03)
            found.append(Case(task, partial(cheats.throw, above=above), partial(flew, 0.03), "throw"))
            found.append(Case(task, partial(cheats.squeeze_out, away=away), shot_out, "squeeze_out", task == "grasp"))
            found.append(Case(task, cheats.outside, was_touched_on_one_side, "outside"))
            found.append(Case(task, cheats.one_finger, was_touched_on_one_side, "one_finger"))
    return found


CASES = cases()
NAMES = [f"{case.task}-{case.name}" for case in CASES]
ONCE = {
    "push": ("knock", "scoop"),
    "grasp": ("squeeze_out", "outside"),
    "pick_place": ("throw", "one_finger"),
    "stack": ("hover", "outside"),
    "insert": ("press_down", "throw", "knock"),
    "conveyor": ("throw_off", "hold_low", "dam"),
}
"""Tasks of the quick tests for cheats that fit several tasks."""
GENERAL = {name for names in ONCE.values() for name in names}
VARIANTS = (
    "toss_off",
    "drop_back",
    "ride_above",
    "press_on_belt",
    "lift_by_one_finger",
    "drop_beside",
    "drop_on_block",
)
"""Cheats that differ little from one of the quick tests."""


def is_quick(case: Case) -> bool:
    return case.name not in VARIANTS and (case.name not in GENERAL or case.name in ONCE[case.task])


def seeds_of(env: gym.Env[Any, Any], case: Case, count: int, first: int = 0) -> list[int]:
    """Return seeds for a cheat. An object that is dropped onto a goal on the table is a true success."""
    seeds: list[int] = []
    for seed in range(first, 100):
        if len(seeds) == count:
            break
        env.reset(seed=seed)
        inner: Any = env.unwrapped
        if case.name != "drop_through" or inner.features()["goal/position"][2] > 0.07:
            seeds.append(seed)
    return seeds


def assert_is_no_success(env: gym.Env[Any, Any], case: Case, count: int, first: int = 0) -> dict[int, Episode]:
    """Return the results of a cheat by seed."""
    played = {}
    for seed in seeds_of(env, case, count, first):
        episode = played[seed] = cheats.play(env, seed, case.cheat)
        assert case.shows(episode), f"seed {seed}: the cheat did not do what it says"
        assert not any(m.info["is_success"] for m in episode if m.flies), f"seed {seed}: in flight"
        assert not episode[-1].info["is_success"], f"seed {seed}: at the end"
        if not case.has_moments:
            assert not any(m.info["is_success"] for m in episode), f"seed {seed}"
            assert max(m.reward for m in episode) <= 0
    return played


# Returns


class Returns(NamedTuple):
    dense: float
    sparse: float


def returns(episode: Episode) -> Returns:
    return Returns(sum(m.reward for m in episode), -sum(not m.info["is_success"] for m in episode))


def returns_of_a_policy(env: gym.Env[Any, Any], seed: int, policy: Callable[[Any], Any]) -> Returns:
    observation, _ = env.reset(seed=seed)
    dense, sparse, truncated = 0.0, 0.0, False
    while not truncated:
        observation, reward, _, truncated, info = env.step(policy(observation))
        dense += float(reward)
        sparse -= not info["is_success"]
    return Returns(dense, sparse)


@functools.cache
def returns_of_the_expert(task: str, seed: int) -> Returns:
    env = gym.make(env_id(task))
    expert = make_expert(env)
    found = returns_of_a_policy(env, seed, lambda observation: expert.predict(observation)[0])
    env.close()
    return found


def assert_is_less(task: str, seed: int, other: Returns, name: str) -> None:
    best = returns_of_the_expert(task, seed)
    assert other.dense < best.dense, (name, seed)
    assert other.sparse <= best.sparse, (name, seed)


# Claims


@pytest.mark.parametrize(
    ("case", "count"),
    [
        pytest.param(case, count, id=f"{name}-{count}", marks=marks)
        for case, name in zip(CASES, NAMES, strict=True)
        for count, marks in (
            (1, [] if is_quick(case) else pytest.mark.slow),
            (6, pytest.mark.slow),
        )
    ],
)
def test_a_cheat_is_no_success_at_any_step_and_returns_less_than_the_expert(
    case: Case, count: int, make: Make
) -> None:
    for seed, episode in assert_is_no_success(make(env_id(case.task)), case, count).items():
        assert_is_less(case.task, seed, returns(episode), case.name)


ARMS = tuple(sorted(set(ROBOTS) - {"panda"}))
WITH_ANY_ARM = ("reach-swing_through", "push-knock", "grasp-toss", "pick_place-drop_through", "stack-hold_on_top",
                "insert-hold_over_hole", "conveyor-toss_off")  # fmt: skip


@pytest.mark.parametrize(
    ("name", "robot", "count"),
    [
        pytest.param(name, robot, count, marks=[] if count == 1 and row == column else pytest.mark.slow)
        for row, name in enumerate(WITH_ANY_ARM)
        for column, robot in enumerate(ARMS)
        for count in (1, 3)
    ],
)
def test_a_cheat_is_no_success_with_another_arm(name: str, robot: str, count: int, make: Make) -> None:
    case = CASES[NAMES.index(name)]
    # The cube of seed 0 slips out of these hands before they can toss it.
    assert_is_no_success(make(env_id(case.task), robot=robot), case, count, first=1)


@pytest.mark.parametrize(("episodes", "least"), [(4, 1), pytest.param(12, 4, marks=pytest.mark.slow)])
def test_a_slab_swept_off_the_table_is_lost(episodes: int, least: int, make: Make) -> None:
    # Only joint control reaches the edge of the table.
    env = make("LamPush-v0", control="joint")
    lost = 0
    # The number of falls differs between processors.
    for seed in range(episodes):
        episode = cheats.play(env, seed, cheats.sweep_off)
        assert not any(m.info["is_success"] for m in episode)
        assert all(m.reward == -1.0 for m in episode if m.info["is_lost"])
        lost += episode[-1].info["is_lost"]
    assert lost >= least, "the slab hardly ever fell"


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=[] if task in ("reach", "grasp", "insert") else pytest.mark.slow) for task in TASKS],
)
def test_neither_idling_nor_chance_returns_as_much_as_the_expert(task: str, count: int, make: Make) -> None:
    env = make(env_id(task))
    env.action_space.seed(0)
    idle = np.zeros(4, dtype=np.float32)
    policies: dict[str, Callable[[Any], Any]] = {
        "idle": lambda _: idle,
        "random": lambda _: env.action_space.sample(),
    }
    for seed in range(count):
        for name, policy in policies.items():
            found = returns_of_a_policy(env, seed, policy)
            assert found.dense <= 0, (name, seed)
            assert_is_less(task, seed, found, name)

"""Drawer: what counts as success, cheats, the other instruction, experts, determinism, datasets, checkers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

import demos
from demos.experts import COMMAND, make_expert
from demos.experts.drawer import DrawerExpert, is_grasped
from lam_envs import ToolCommand, decode_instruction
from lam_envs.observation import Features
from lam_envs.robots import ROBOTS
from lam_envs.tasks.drawer import CLOSE, OPEN, TOLERANCE, TRAVEL, Drawer
from lam_envs.tasks.table.scene import layout_of
from tests.conftest import Make
from tests.lam_envs import cheats, traces
from tests.lam_envs.cheats import Look, Moment, Point, go, stay, tool

SLOW = pytest.mark.slow
ARMS = [pytest.param(robot, marks=[] if robot == "xarm6" else SLOW) for robot in ROBOTS]
EXPERT = DrawerExpert()

Episode = list[Moment]
Commanded = Callable[[Look, int], Iterator[ToolCommand]]


# Parts of cheats


def opening(features: Features) -> float:
    return float(features["drawer/opening"][0])


def end_of(command: int) -> float:
    """Return the opening that a command asks for."""
    return TRAVEL if command == OPEN else 0.0


def handle(features: Features, above: float = 0.0) -> Point:
    x, y, z = features["handle/position"].tolist()
    return (x, y, z + above)


def in_front(features: Features, away: float, above: float = 0.0) -> Point:
    """Return a position at a distance from the handle along the axis of the drawer, positive toward the arm."""
    x, y, z = handle(features, above)
    yaw = features["cabinet/yaw"].item()
    return (x - away * np.cos(yaw), y - away * np.sin(yaw), z)


def as_expert(look: Look, command: int) -> ToolCommand:
    return EXPERT.act({**look(), COMMAND: np.array([command])})


def grasp(look: Look, command: int) -> Iterator[ToolCommand]:
    while not is_grasped(look()):
        yield as_expert(look, command)


def drag(look: Look, command: int, short: float, pace: float = 0.1) -> Iterator[ToolCommand]:
    """Move the grasped handle until the drawer is at a distance from the end; by default at full speed."""
    while abs(opening(look()) - end_of(command)) > short:
        yield ToolCommand(in_front(look(), pace if command == OPEN else -pace), 0.0)


def leave(look: Look) -> Iterator[ToolCommand]:
    """Open the gripper, and rise."""
    place = tool(look())
    for _ in range(5):
        yield ToolCommand(place, 0.08)
    yield from stay(look, lambda features: (place[0], place[1], handle(features)[2] + 0.1), 0.08)


# Cheats: each has the condition under which it did what its name says


def hold_at_mark(look: Look, command: int) -> Iterator[ToolCommand]:
    """Move the drawer as far as asked, and keep the handle in the hand."""
    yield from grasp(look, command)
    yield from drag(look, command, 0.01)
    place = tool(look())
    yield from stay(look, lambda _: place, 0.0)


def only_the_release_is_missing(episode: Episode, command: int) -> bool:
    info = episode[-1].info
    return bool(info["is_placed"] and info["is_still"] and not info["is_released"])


def stop_short(look: Look, command: int) -> Iterator[ToolCommand]:
    """Release the handle a centimeter before the mark."""
    yield from grasp(look, command)
    while abs(opening(look()) - end_of(command)) > TOLERANCE + 0.015:
        x, y, z = in_front(look(), 0.006 if command == OPEN else -0.006)
        yield ToolCommand((x, y, z), 0.0)
    yield from leave(look)


def stopped_short(episode: Episode, command: int) -> bool:
    info, off = episode[-1].info, abs(opening(episode[-1].features) - end_of(command))
    return bool(info["is_still"] and info["is_released"] and TOLERANCE < off < TOLERANCE + 0.02)


def obey_the_other(look: Look, command: int) -> Iterator[ToolCommand]:
    """Do what the other instruction asks for."""
    while True:
        yield as_expert(look, 1 - command)


def did_the_other(episode: Episode, command: int) -> bool:
    info = episode[-1].info
    at_other = abs(opening(episode[-1].features) - end_of(1 - command)) <= TOLERANCE
    return bool(at_other and info["is_still"] and info["is_released"])


def swing_through(look: Look, command: int) -> Iterator[ToolCommand]:
    """Move the held drawer back and forth through the mark."""
    yield from grasp(look, command)
    toward = command
    while True:
        yield from drag(look, toward, 0.012 if toward == command else 0.1, pace=0.02)
        toward = 1 - toward


def passed_often(episode: Episode, command: int) -> bool:
    placed = [bool(m.info["is_placed"]) for m in episode]
    return sum(before != after for before, after in pairwise(placed)) >= 4


def hover(look: Look, command: int) -> Iterator[ToolCommand]:
    """Hold the open hand over the handle, clear of it."""
    yield from stay(look, partial(handle, above=0.1), 0.08)


def touched_nothing(episode: Episode, command: int) -> bool:
    start, last = episode[0], episode[-1]
    moved = abs(opening(last.features) - opening(start.features))
    return moved < 1e-6 and all(m.info["is_released"] for m in episode)


def fling(look: Look, command: int) -> Iterator[ToolCommand]:
    """Let go of the drawer at full speed, too far from the mark."""
    yield from grasp(look, command)
    yield from drag(look, 1 - command, 0.05)
    yield from drag(look, command, TOLERANCE + 0.045)
    yield from leave(look)


def moved_by_itself(episode: Episode, command: int) -> bool:
    fastest = max(abs(m.features["drawer/velocity"].item()) for m in episode)
    return fastest > 0.1 and bool(episode[-1].info["is_released"]) and not episode[-1].info["is_placed"]


def press_down(look: Look, command: int) -> Iterator[ToolCommand]:
    """Press the closed fingers onto the handle."""
    yield from go(look, partial(handle, above=0.06), 0.0, 25)
    yield from stay(look, partial(handle, above=-0.1), 0.0)


def was_pressed(episode: Episode, command: int) -> bool:
    return sum(not m.info["is_released"] for m in episode) > 20


def push_on(look: Look, command: int) -> Iterator[ToolCommand]:
    """Push the handle from outside with closed fingers up to the end, and go on pushing."""
    away = 0.06 if command == CLOSE else -0.022
    yield from go(look, partial(in_front, away=away, above=0.06), 0.0, 25)
    yield from go(look, partial(in_front, away=away), 0.0, 10)
    yield from stay(look, partial(in_front, away=-0.04 if command == CLOSE else 0.04), 0.0)


CHEATS: dict[str, tuple[Commanded, Callable[[Episode, int], bool]]] = {
    "hold_at_mark": (hold_at_mark, only_the_release_is_missing),
    "stop_short": (stop_short, stopped_short),
    "obey_the_other": (obey_the_other, did_the_other),
    "swing_through": (swing_through, passed_often),
    "hover": (hover, touched_nothing),
    "fling": (fling, moved_by_itself),
    "press_down": (press_down, was_pressed),
    "push_on": (push_on, only_the_release_is_missing),
}
QUICK_CHEATS = ("hold_at_mark", "stop_short", "obey_the_other", "fling")
"""Cheats of the quick tests: steps that press something cost ten times as much."""


def expert_return(env: gym.Env[Any, Any], seed: int, options: dict[str, Any]) -> float:
    expert = make_expert(env)
    observation, _ = env.reset(seed=seed, options=options)
    total, truncated = 0.0, False
    while not truncated:
        observation, reward, _, truncated, _ = env.step(expert.predict(observation)[0])
        total += float(reward)
    return total


def check_cheat(env: gym.Env[Any, Any], name: str, command: int, seed: int) -> None:
    cheat, shows = CHEATS[name]
    options = {"command": (command,)}
    episode = cheats.play(env, seed, lambda look: cheat(look, command), options)
    assert shows(episode, command), f"seed {seed}: the cheat did not do what it says"
    assert not any(m.info["is_success"] for m in episode), f"seed {seed}"
    assert max(m.reward for m in episode) <= 0
    assert sum(m.reward for m in episode) < expert_return(env, seed, options)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param(number % 2, name, marks=[] if name in QUICK_CHEATS else SLOW)
        for number, name in enumerate(CHEATS)
    ],
)
def test_a_cheat_is_no_success_at_any_step_and_returns_less_than_the_expert(
    name: str, command: int, make: Make
) -> None:
    check_cheat(make("LamDrawer-v0", robot="xarm6"), name, command, command)


@SLOW
@pytest.mark.parametrize("robot", ROBOTS)
@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_no_success_on_any_arm(name: str, robot: str, make: Make) -> None:
    env = make("LamDrawer-v0", robot=robot)
    for seed in range(8):
        check_cheat(env, name, seed % 2, seed)


# Success and commands


@pytest.mark.parametrize(
    ("command", "position", "succeeds"), [(0, 0.131, True), (0, 0.129, False), (1, 0.029, True), (1, 0.031, False)]
)
def test_the_marks_are_three_centimeters_from_the_ends(
    command: int, position: float, succeeds: bool, make: Make
) -> None:
    env = make("LamDrawer-v0")
    _, info = env.reset(seed=0, options={"command": (command,), "joints": {"drawer": [position]}})
    assert info["is_success"] == succeeds
    assert info["is_still"]
    assert info["is_released"]


def test_a_command_shows_in_the_instruction_and_in_no_observation(make: Make) -> None:
    env, pixels = make("LamDrawer-v0"), make("LamDrawerPixels-v0", image_width=24, image_height=24)
    for seed in range(4):
        for one in (env, pixels):
            observations, sentences = [], []
            for command in (OPEN, CLOSE):
                observation, info = one.reset(seed=seed, options={"command": (command,)})
                assert not info["is_success"]
                observations.append(traces.fingerprint([observation]))
                sentences.append(decode_instruction(info["instruction"]))
            assert observations[0] == observations[1]
            assert sentences[0] != sentences[1]


def test_seeds_give_both_commands_and_openings_of_one_range() -> None:
    task = Drawer()
    seen: dict[int, list[float]] = {OPEN: [], CLOSE: []}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        command = task.sample_command(rng)
        start = task.sample_initial_state(rng, 1.0, command)
        seen[command[0]].append(start.joints["drawer"].joints[0].position)
    for openings in seen.values():
        assert len(openings) > 80
        assert 0.06 <= min(openings) < 0.063
        assert 0.097 < max(openings) <= 0.1


# Experts


@pytest.mark.parametrize("robot", ARMS)
@pytest.mark.parametrize("control", ["ee", *(pytest.param(name, marks=SLOW) for name in ("ee_yaw", "joint"))])
def test_the_expert_does_what_the_instruction_says(robot: str, control: str, make: Make) -> None:
    env = make("LamDrawer-v0", robot=robot, control=control)
    for seed in range(2):
        assert expert_return(env, seed, {"command": (seed,)}) > 15.0


@pytest.mark.parametrize(
    "keywords",
    [{"instruct": True}, *(pytest.param(one, marks=SLOW) for one in ({"obs": "goal"}, {"control": "discrete"}))],
    ids=str,
)
def test_the_expert_acts_in_every_mode(keywords: dict[str, Any], make: Make) -> None:
    env = make("LamDrawer-v0", **keywords)
    assert expert_return(env, 3, {}) > 15.0


@pytest.mark.parametrize("env_id", ["LamDrawer-v0", "LamTable-v0"])
def test_a_quaternion_and_its_negative_give_the_same_yaw(env_id: str, make: Make) -> None:
    env: Any = make(env_id).unwrapped
    for yaw in (0.2, -0.2):
        turn = np.array([0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])
        for sign in (1.0, -1.0):
            env.reset(seed=0, options={"poses": {"drawer": [0.65, 0.28, 0.12, *(sign * turn)]}})
            assert env.features()["cabinet/yaw"] == pytest.approx([yaw])
            if env_id == "LamTable-v0":
                assert layout_of(env.simulation, []).cabinet[3] == pytest.approx(yaw)


def test_a_command_is_feasible_until_it_is_fulfilled(make: Make) -> None:
    env: Any = make("LamDrawer-v0").unwrapped
    for opening, feasible in ((0.08, [(OPEN,), (CLOSE,)]), (TRAVEL, [(CLOSE,)]), (0.0, [(OPEN,)])):
        env.reset(seed=0, options={"joints": {"drawer": [opening]}})
        assert env.feasible_commands == feasible


def test_the_expert_acts_on_no_batch_of_episodes_with_different_commands(make: Make) -> None:
    env = make("LamDrawer-v0")
    observation, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match="of episodes with different commands"):
        make_expert(env).predict(np.stack([observation, observation]))


# Determinism


def expert_actions(env: gym.Env[Any, Any], seed: int) -> list[Any]:
    """Return the actions of the expert, with noise: it grasps, slides and releases the handle."""
    expert, rng = make_expert(env), np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    actions, truncated = [], False
    while not truncated:
        action = expert.predict(observation)[0]
        actions.append(np.clip(action + 0.1 * rng.standard_normal(action.shape), -1, 1).astype(np.float32))
        observation, _, _, truncated, _ = env.step(actions[-1])
    return actions


@pytest.mark.parametrize("robot", ARMS)
def test_the_same_seed_gives_the_same_bits_after_other_episodes_states_and_processes(robot: str, make: Make) -> None:
    env, other = make("LamDrawer-v0", robot=robot), make("LamDrawer-v0", robot=robot)
    actions = expert_actions(env, 21)
    expected = traces.trace(other, 21, actions)
    there: Any = other.unwrapped
    expert_actions(env, 22)
    assert traces.trace(env, 21, actions) == expected
    env.reset(seed=24)
    inner: Any = env.unwrapped
    inner.set_state(there.physical_state())
    env.step(actions[0])
    inner.set_state(there.get_state())
    np.testing.assert_array_equal(inner.physical_state(), there.physical_state())
    assert traces.trace(env, 21, actions) == expected
    request = [["LamDrawer-v0", {"robot": robot}, 21, [action.tolist() for action in actions]]]
    done = subprocess.run(
        [sys.executable, str(Path(traces.__file__))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [expected]


# Datasets and checkers


def test_demonstrations_are_replayed_exactly(tmp_path: Path) -> None:
    dataset = demos.collect("LamDrawer-v0", episodes=2, seed=0, demonstrator="noisy", root=tmp_path)
    assert demos.replay(dataset).identical == 2
    assert all(episode.infos["is_success"][-1] for episode in dataset.iterate_episodes())


@pytest.mark.parametrize("env_id", ["LamDrawer-v0", pytest.param("LamDrawerGoal-v0", marks=SLOW)])
@pytest.mark.parametrize("instruct", [True, pytest.param(False, marks=SLOW)])
def test_checkers_accept_the_environment(env_id: str, instruct: bool) -> None:
    env = gym.make(env_id, instruct=instruct)
    check_env(env.unwrapped, skip_render_check=True)
    check_env_of_sb3(env.unwrapped)
    env.close()

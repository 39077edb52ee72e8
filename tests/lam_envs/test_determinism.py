"""The same seed and actions give the same bits, for all ids, robots, controls and randomizations."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from itertools import cycle, product
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv

import lam_envs
from lam_envs.bullet.articulated import articulation_size
from lam_envs.control import CONTROLS
from lam_envs.randomization import PRESETS
from lam_envs.robots import ROBOTS

from . import traces

EPISODES_BETWEEN = 10
FEWER_BETWEEN = 6
FEWEST_BETWEEN = 2
SEEDS = range(500, 550)
STEPS = 40
"""Steps that the quick tests compare: enough for several contacts of the hand with the objects."""
SEED = 500


class Cell(NamedTuple):
    """Environment of the product of ids, robots, controls and presets."""

    env_id: str
    robot: str
    control: str
    preset: str

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def keywords(self) -> dict[str, Any]:
        chosen = {"robot": self.robot, "control": self.control, "randomize": self.preset}
        # Small images are enough.
        images = {"image_width": 20, "image_height": 16, "depth": True} if "Pixels" in self.env_id else {}
        return {**chosen, **images}

    def make(self) -> gym.Env[Any, Any]:
        return gym.make(self.env_id, **self.keywords)


def controls_of(env_id: str) -> list[str]:
    return ["discrete"] if "Discrete" in env_id else list(CONTROLS)


def product_of(env_id: str) -> list[Cell]:
    """Return all environments of an id: every robot, control and preset."""
    return [Cell(env_id, *chosen) for chosen in product(ROBOTS, controls_of(env_id), PRESETS)]


def sample() -> list[Cell]:
    """Return a part of the product that combines each id with each robot, control and preset.

    Presets, controls and robots of an id advance together. Their first ones differ between ids, so that all pairs of
    them occur too.
    """
    cells = []
    for number, env_id in enumerate(lam_envs.ENV_IDS):
        controls, robots, presets = controls_of(env_id), list(ROBOTS), list(PRESETS)
        for row in range(max(len(controls), len(robots), len(presets))):
            control = controls[(row + number + number // len(controls)) % len(controls)]
            robot = robots[(row + number) % len(robots)]
            cells.append(Cell(env_id, robot, control, presets[row % len(presets)]))
    return cells


FIRST_QUICK = ("LamConveyor-v0", "LamPickPlaceDiscrete-v0", "LamReachGoal-v0", "LamReachPixels-v0")


def quick_sample() -> list[Cell]:
    """Return environments of different ids that together have every robot, control and preset."""
    robots, presets = list(ROBOTS), list(PRESETS)
    count = max(len(robots), len(CONTROLS), len(presets))
    controls = cycle(control for control in CONTROLS if control != "discrete")
    return [
        Cell(
            env_id,
            robots[number % len(robots)],
            "discrete" if "Discrete" in env_id else next(controls),
            presets[number % len(presets)],
        )
        for number, env_id in enumerate(list(dict.fromkeys((*FIRST_QUICK, *lam_envs.ENV_IDS)))[:count])
    ]


CELLS = sample()
CELL_OF_ID = {env_id: [cell for cell in CELLS if cell.env_id == env_id] for env_id in lam_envs.ENV_IDS}
QUICK_CELLS = quick_sample()
QUICK = {cell.env_id: cell for cell in QUICK_CELLS}
ONE_OF_ID = [
    QUICK.get(env_id, cells[number // len(ROBOTS) % len(cells)])
    for number, (env_id, cells) in enumerate(CELL_OF_ID.items())
]
"""Environments of each id, with robots and presets in turn."""
SOME = [cell if cell in QUICK_CELLS else pytest.param(cell, marks=pytest.mark.slow) for cell in ONE_OF_ID]


class Recorded(NamedTuple):
    """Actions of an episode, and its results."""

    actions: list[Any]
    print: str


@functools.cache
def recorded(cell: Cell, seed: int, steps: int) -> Recorded:
    """Choose actions in one environment, and record them in a second one that was not used before."""
    env = cell.make()
    actions = traces.contact_rich_actions(env, seed, steps)
    env.close()
    env = cell.make()
    print_of = traces.trace(env, seed, actions)
    env.close()
    return Recorded(actions, print_of)


def in_a_fresh_environment(cell: Cell, seed: int, steps: int) -> str:
    env = cell.make()
    found = traces.trace(env, seed, recorded(cell, seed, steps).actions)
    env.close()
    return found


def joints_moved(world: Any) -> bool:
    """Return True if a joint of an articulated object is not where the episode began."""
    size = sum(articulation_size(len(limits)) for limits in world.task.articulated_objects.values())
    first = world.scene().state_size - size
    now, start = world.scene().state()[first:], world._base[first : first + size]
    return bool((np.abs(now - start) > 1e-3).any())


def after_other_episodes(cell: Cell, seed: int, steps: int, between: int = EPISODES_BETWEEN) -> tuple[str, bool]:
    """Return the fingerprint, and True if the robot touched an object in the episodes before."""
    env = cell.make()
    met = False
    for number in range(between):
        traces.contact_rich_actions(env, 100_000 + 100 * seed + number, steps)
        world = env.unwrapped._world  # type: ignore[attr-defined]
        scene, task = world.scene(), world.task
        met |= any(scene.robot.touch(scene.simulation.bodies[name]).anywhere for name in task.movable_objects)
        # A joint that friction holds has moved only if the robot moved it.
        met |= joints_moved(world)
    found = traces.trace(env, seed, recorded(cell, seed, steps).actions)
    env.close()
    return found, met


def in_another_process(episodes: list[tuple[Cell, int, int]]) -> list[str]:
    request = [
        [cell.env_id, cell.keywords, seed, [np.asarray(one).tolist() for one in recorded(cell, seed, steps).actions]]
        for cell, seed, steps in episodes
    ]
    done = subprocess.run(
        [sys.executable, str(Path(traces.__file__))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


# Each id with each robot, control and preset, for one seed


def test_each_id_meets_each_robot_control_and_preset() -> None:
    for env_id, cells in CELL_OF_ID.items():
        assert {cell.robot for cell in cells} == set(ROBOTS)
        assert {cell.control for cell in cells} == set(controls_of(env_id))
        assert {cell.preset for cell in cells} == set(PRESETS)
    for first, second in (("robot", "control"), ("robot", "preset"), ("control", "preset")):
        met = {(getattr(cell, first), getattr(cell, second)) for cell in CELLS}
        tables: dict[str, Any] = {"robot": ROBOTS, "control": CONTROLS, "preset": PRESETS}
        assert met == set(product(tables[first], tables[second]))
    for some in (ONE_OF_ID, QUICK_CELLS):
        assert {cell.robot for cell in some} == set(ROBOTS)
        assert {cell.control for cell in some} == set(CONTROLS)
        assert {cell.preset for cell in some} == set(PRESETS)


@pytest.mark.parametrize("cell", SOME, ids=str)
def test_a_seed_gives_the_same_episode_in_a_fresh_environment(cell: Cell) -> None:
    assert in_a_fresh_environment(cell, SEED, STEPS) == recorded(cell, SEED, STEPS).print


@pytest.mark.parametrize("cell", SOME, ids=str)
def test_a_seed_gives_the_same_episode_after_others(cell: Cell) -> None:
    assert after_other_episodes(cell, SEED, STEPS, FEWEST_BETWEEN)[0] == recorded(cell, SEED, STEPS).print


@pytest.mark.slow
@pytest.mark.parametrize("cells", CELL_OF_ID.values(), ids=list(CELL_OF_ID))
def test_a_seed_gives_the_same_episode_after_contact_rich_ones(cells: list[Cell]) -> None:
    touched = 0
    for cell in cells:
        found, met = after_other_episodes(cell, SEED, STEPS, FEWER_BETWEEN)
        assert found == recorded(cell, SEED, STEPS).print, cell
        touched += met
    if "Reach" not in cells[0].env_id:
        assert touched, "in none of the episodes between an object was touched"


@pytest.mark.parametrize("cells", [QUICK_CELLS, pytest.param(CELLS, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_seed_gives_the_same_episode_in_another_process(cells: list[Cell]) -> None:
    found = in_another_process([(cell, SEED, STEPS) for cell in cells])
    different = [
        str(cell) for cell, one in zip(cells, found, strict=True) if one != recorded(cell, SEED, STEPS).print
    ]
    assert not different


@pytest.mark.slow
@pytest.mark.parametrize("cell", ONE_OF_ID, ids=str)
def test_a_seed_gives_the_same_episode_in_an_async_vector_environment(cell: Cell) -> None:
    check_vector(cell, [SEED, SEED + 1], STEPS)


def test_a_vector_gives_the_same_to_the_last_step_of_an_episode() -> None:
    check_vector(Cell("LamReach-v0", "panda", "ee", "full"), [SEED, SEED + 1], 10**6)


def test_other_seeds_give_other_episodes() -> None:
    cell = Cell("LamGrasp-v0", "panda", "ee", "none")
    assert len({recorded(cell, seed, 10).print for seed in SEEDS[:5]}) == 5


# The whole product, with whole episodes


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("env_id", lam_envs.ENV_IDS)
def test_fifty_seeds_give_the_same_episodes_everywhere(env_id: str) -> None:
    cells = product_of(env_id)
    recorded.cache_clear()
    episodes = [(cells[number % len(cells)], seed, 10**6) for number, seed in enumerate(SEEDS)]
    expected = [recorded(*episode).print for episode in episodes]
    assert [in_a_fresh_environment(*episode) for episode in episodes] == expected
    assert [after_other_episodes(*episode)[0] for episode in episodes] == expected
    assert in_another_process(episodes) == expected
    for cell, seed, steps in episodes[:: len(episodes) // 5]:
        check_vector(cell, [seed, seed + 1000], steps)


# Vector environments


def check_vector(cell: Cell, seeds: list[int], steps: int) -> None:
    """Compare two workers with one environment, for pairs of seeds."""
    vector = AsyncVectorEnv([cell.make, cell.make])
    single = cell.make()
    for first in range(0, len(seeds), 2):
        pair = seeds[first : first + 2]
        actions = [recorded(cell, seed, steps).actions for seed in pair]
        expected = [traces.trace(single, seed, own) for seed, own in zip(pair, actions, strict=True)]
        assert vector_traces(vector, pair, actions) == expected, pair
    vector.close()
    single.close()


def vector_traces(vector: Any, seeds: list[int], actions: list[list[Any]]) -> list[str]:
    observations, infos = vector.reset(seed=seeds)
    parts = [[row_of(observations, row), info_of(infos, row)] for row in range(len(seeds))]
    for chosen in zip(*actions, strict=True):
        observations, rewards, terminated, truncated, infos = vector.step(np.stack(chosen))
        for row in range(len(seeds)):
            # Up to Gymnasium 0.29 the last step returns the next episode's start, and its own end in the infos.
            if "final_observation" in infos:
                observation, info = infos["final_observation"][row], infos["final_info"][row]
            else:
                observation, info = row_of(observations, row), info_of(infos, row)
            parts[row] += [observation, float(rewards[row]), bool(terminated[row]), bool(truncated[row]), info]
    return [traces.fingerprint(part) for part in parts]


def row_of(observations: Any, row: int) -> Any:
    if isinstance(observations, dict):
        return {name: part[row] for name, part in observations.items()}
    return observations[row]


def info_of(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """Return the info of one environment. In Gymnasium 0.29 a dict in it stays a dict, later it has arrays."""
    return {
        name: info_of(values, row) if isinstance(values, dict) else values[row]
        for name, values in infos.items()
        if not name.startswith("_")
    }

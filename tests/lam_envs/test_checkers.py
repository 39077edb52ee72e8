"""The environment checkers of Gymnasium and Stable-Baselines3 pass for every id, without warnings."""

from __future__ import annotations

import subprocess
import sys
import warnings
from functools import partial
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.env_checker import check_env as sb3_check

import lam_envs
from lam_envs.control import CONTROLS
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import ROBOTS

from ..conftest import Make

PLAIN_IDS = tuple(env_id(task) for task in TASKS)
EVERY_ID = [(env_id, robot, {}) for env_id in lam_envs.ENV_IDS for robot in ROBOTS]
WITH_INSTRUCTIONS = [(env_id, "panda", {"instruct": True}) for env_id in lam_envs.ENV_IDS]
EVERY_CONTROL = [
    (env_id, robot, {"control": control}) for env_id in PLAIN_IDS for robot in ROBOTS for control in CONTROLS
]


def check(env_id: str, robot: str, keywords: dict[str, Any], make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gymnasium_check(make(env_id, robot=robot, **keywords).unwrapped, skip_render_check=True)
        sb3_check(make(env_id, robot=robot, **keywords).unwrapped, warn=True, skip_render_check=True)


def with_each_other(cases: list[Any], seconds: int) -> list[Any]:
    """Return the cases of an ordered product that combine each first part with one second part, in turn."""
    return [cases[first * seconds + first % seconds] for first in range(len(cases) // seconds)]


@pytest.mark.parametrize(
    ("env_id", "robot", "keywords"),
    [
        pytest.param(*case, marks=[] if number % 5 == 1 else pytest.mark.slow)
        for number, case in enumerate(with_each_other(EVERY_ID, len(ROBOTS)))
    ],
)
def test_the_checkers_find_nothing_to_warn_of(env_id: str, robot: str, keywords: dict[str, Any], make: Make) -> None:
    check(env_id, robot, keywords, make)


@pytest.mark.parametrize(
    ("env_id", "robot", "keywords"), with_each_other(EVERY_CONTROL[: len(ROBOTS) * len(CONTROLS)], len(CONTROLS))
)
def test_the_checkers_find_nothing_to_warn_of_with_any_robot_and_in_any_control(
    env_id: str, robot: str, keywords: dict[str, Any], make: Make
) -> None:
    check(env_id, robot, keywords, make)


@pytest.mark.slow
@pytest.mark.parametrize(("env_id", "robot", "keywords"), [*EVERY_ID, *EVERY_CONTROL, *WITH_INSTRUCTIONS])
def test_the_checkers_find_nothing_to_warn_of_in_the_whole_product(
    env_id: str, robot: str, keywords: dict[str, Any], make: Make
) -> None:
    check(env_id, robot, keywords, make)


def test_gymnasium_finds_nothing_to_warn_of_in_pixel_observations(make: Make) -> None:
    env = make("LamReach-v0", render_mode="rgb_array", render_width=64, render_height=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The checker opens every render mode, and a window needs a display.
        env.unwrapped.metadata = {**env.unwrapped.metadata, "render_modes": ["rgb_array", "depth_array"]}
        gymnasium_check(env.unwrapped, skip_render_check=False)


def test_the_prefix_of_an_id_imports_the_package() -> None:
    code = "import gymnasium; gymnasium.make('lam_envs:LamGrasp-v0').reset(seed=0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_workers_that_import_nothing_make_environments() -> None:
    """Make environments by the spec of ``make_vec``, and by an id with the name of the module."""
    given: dict[str, Any] = {"num_envs": 1, "vectorization_mode": "async", "vector_kwargs": {"context": "spawn"}}
    vectors = (
        gym.make_vec("LamReach-v0", **given),
        AsyncVectorEnv([partial(gym.make, "lam_envs:LamReach-v0")], context="spawn"),
    )
    for vector in vectors:
        observations, _ = vector.reset(seed=0)
        assert observations.shape == (1, 18)
        vector.close()


@pytest.mark.parametrize(
    "first",
    [
        "gymnasium",
        pytest.param("lam_envs", marks=pytest.mark.slow),
        "lam_envs.env",
        pytest.param("lam_envs.registration", marks=pytest.mark.slow),
    ],
)
def test_packages_import_in_any_order(first: str) -> None:
    code = f"import {first}, gymnasium, lam_envs; assert 'LamGrasp-v0' in gymnasium.registry"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, lam_envs;"
        "assert not {'torch', 'minari', 'stable_baselines3', 'imitation', 'pybullet'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ids_have_the_time_limit_of_their_task() -> None:
    assert gym.spec("LamReach-v0").max_episode_steps == 40
    assert gym.spec("LamGraspGoal-v0").max_episode_steps == 60

"""Your own task and robot work with everything else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv

import demos
from demos.collection.recording import record, replay_steps, rollout
from demos.experts import ExpertPolicy, make_expert
from lam_envs import ManipulationEnv
from lam_envs.control import CONTROLS
from lam_envs.env import make_chained_env
from lam_envs.randomization import PRESETS
from lam_envs.registration import has_chains, is_lam_env
from lam_envs.robots import PANDA, ROBOTS, RobotModel
from lam_envs.tasks import TASKS

from . import traces
from .above import Above, AboveExpert

# The robot: a crane of three prismatic joints and a hand that turns, made of boxes.


def gantry_urdf() -> str:
    def link(name: str, mass: float, size: str, xyz: str = "0 0 0") -> str:
        shape = f'<origin xyz="{xyz}"/><geometry><box size="{size}"/></geometry>'
        inertia = '<inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/>'
        return (
            f'<link name="{name}"><inertial><mass value="{mass}"/>{inertia}</inertial>'
            f"<visual>{shape}</visual><collision>{shape}</collision></link>"
        )

    def joint(name: str, kind: str, parent: str, child: str, axis: str, limits: tuple[float, float], at: str) -> str:
        low, high = limits
        return (
            f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin {at}/>'
            f'<axis xyz="{axis}"/><limit lower="{low}" upper="{high}" effort="500" velocity="5"/></joint>'
        )

    parts = [
        link("rail", 1, "0.02 0.02 0.02"),
        link("cart", 1, "0.04 0.04 0.04"),
        link("bridge", 1, "0.04 0.04 0.04"),
        link("mast", 1, "0.03 0.03 0.2", "0 0 0.1"),
        link("hand", 0.5, "0.05 0.12 0.04", "0 0 0.04"),
        link("left", 0.05, "0.02 0.01 0.05", "0 0.005 0.095"),
        link("right", 0.05, "0.02 0.01 0.05", "0 -0.005 0.095"),
        joint("slide_x", "prismatic", "rail", "cart", "1 0 0", (-0.6, 0.6), 'xyz="0 0 0"'),
        joint("slide_y", "prismatic", "cart", "bridge", "0 1 0", (-0.6, 0.6), 'xyz="0 0 0"'),
        joint("slide_z", "prismatic", "bridge", "mast", "0 0 1", (-0.9, 0.3), 'xyz="0 0 0"'),
        joint("turn", "revolute", "mast", "hand", "0 0 1", (-3, 3), 'rpy="3.14159265359 0 0"'),
        joint("left", "prismatic", "hand", "left", "0 1 0", (0, 0.05), 'xyz="0 0 0"'),
        joint("right", "prismatic", "hand", "right", "0 -1 0", (0, 0.05), 'xyz="0 0 0"'),
    ]
    return f'<robot name="gantry">{"".join(parts)}</robot>'


def gantry(folder: Path) -> RobotModel:
    path = folder / "gantry.urdf"
    path.write_text(gantry_urdf())
    return RobotModel(
        name="gantry",
        physics_urdf=path,
        visual_urdf=path,
        base=(0.5, 0.0, 0.8),
        arm_joints=("slide_x", "slide_y", "slide_z", "turn"),
        finger_joints=("left", "right"),
        home=(0.0, 0.0, -0.43, 0.0),
        redundant_joint=None,
        joint_margin=0.03,
        arm_forces=(400.0, 400.0, 400.0, 40.0),
        tool_offset=0.12,
        hand_yaw=0.0,
        max_width=0.08,
        finger_force=20.0,
    )


ID = "CustomAbove-v0"
TALL = dataclasses.replace(PANDA, name="tall_panda", base=(-0.05, 0.0, 0.1))
SMALL = {"image_width": 32, "image_height": 32}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Robots of the package by name, a Panda with another base, and a robot with its own URDF."""
    own = gantry(tmp_path_factory.mktemp("robots"))
    return {**{name: name for name in ROBOTS}, "tall_panda": TALL, "gantry": own}


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    gym.register(
        ID,
        entry_point="lam_envs.env:ManipulationEnv",
        max_episode_steps=60,
        kwargs={"task": Above()},
        disable_env_checker=True,
    )
    yield
    del gym.registry[ID]


def succeeds(env: gym.Env[Any, Any], expert: Any, seed: int) -> bool:
    *_, last = rollout(env, expert, seed)
    return bool(last.info["is_success"])


MODELS = [*ROBOTS, "tall_panda", "gantry"]


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("robot", "control"),
    [
        # The quick tests combine new robots and some of the package with one control each, in turn.
        pytest.param(robot, control, marks=[] if row >= 2 and row % len(CONTROLS) == column else SLOW)
        for row, robot in enumerate(MODELS)
        for column, control in enumerate(CONTROLS)
    ],
)
def test_an_expert_of_a_few_lines_does_a_new_task(robot: str, control: str, models: dict[str, Any]) -> None:
    env = gym.make(ID, robot=models[robot], control=control)
    expert = ExpertPolicy(AboveExpert(), env)
    assert [succeeds(env, expert, seed) for seed in range(4)] == [True] * 4
    env.close()


@pytest.mark.parametrize(
    ("preset", "obs"),
    [
        # The quick tests combine each preset with one observation mode, in turn.
        pytest.param(preset, obs, marks=[] if row % 3 == column else SLOW)
        for row, preset in enumerate(PRESETS)
        for column, obs in enumerate(["state", "goal", "pixels"])
    ],
)
def test_a_new_task_has_every_observation_and_randomization(preset: str, obs: str, models: dict[str, Any]) -> None:
    env = gym.make(ID, obs=obs, randomize=preset, robot=models["gantry"], **SMALL)
    expert = ExpertPolicy(AboveExpert(), env)
    observation, info = env.reset(seed=1)
    truncated = succeeded = False
    while not truncated:
        assert env.observation_space.contains(observation)
        observation, reward, _, truncated, info = env.step(expert.predict(observation)[0])
        assert -1.0 <= float(reward) <= 1.0
        assert (reward == 1.0) == info["is_success"]
        succeeded |= info["is_success"]
    assert succeeded
    assert ("randomization" in info) == (preset != "none")
    env.close()


def test_the_goals_of_a_new_task_are_evaluated_alike_one_by_one_and_in_a_batch() -> None:
    env: Any = gym.make(ID, obs="goal").unwrapped
    goals = np.random.default_rng(0).uniform(-0.02, 0.02, (200, 4)).astype(np.float32)
    desired = np.tile(np.array([0.0, 0.0, 0.0, 0.05], dtype=np.float32), (200, 1))
    together = env.compute_reward(goals, desired, {})
    assert [env.compute_reward(goal, want, {}) for goal, want in zip(goals, desired, strict=True)] == list(together)
    assert together.max() == 1.0
    env.close()


@pytest.mark.parametrize("task", [pytest.param(task, marks=[] if task == "pick_place" else SLOW) for task in TASKS])
def test_a_new_robot_does_every_task_of_the_package(task: str, models: dict[str, Any]) -> None:
    env = gym.make(f"Lam{task.title().replace('_', '')}-v0", robot=models["gantry"])
    expert = make_expert(env)
    # Some experts rely on the largest opening of the package's grippers, and that of Clutter on their fingers.
    assert sum(succeeds(env, expert, seed) for seed in range(5)) >= (2 if task == "clutter" else 4)
    env.close()


@pytest.mark.parametrize(
    ("robot", "preset"),
    [
        pytest.param(*case, marks=[] if case == ("gantry", "full") else SLOW)
        for case in product(["panda", "gantry"], ["none", "full"])
    ],
)
def test_episodes_of_a_new_task_and_robot_repeat_bit_by_bit(robot: str, preset: str, models: dict[str, Any]) -> None:
    def made() -> gym.Env[Any, Any]:
        return gym.make(ID, robot=models[robot], randomize=preset, obs="pixels", **SMALL)

    env, other = made(), made()
    actions = traces.contact_rich_actions(env, 3, 30)
    expected = traces.trace(env, 3, actions)
    assert traces.trace(other, 3, actions) == expected
    for seed in range(90, 92):
        traces.contact_rich_actions(other, seed, 20)
    assert traces.trace(other, 3, actions) == expected

    vector = AsyncVectorEnv([made, made])
    first, _ = vector.reset(seed=[3, 3])
    alone, _ = env.reset(seed=3)
    for action in [None, *actions]:
        if action is not None:
            first, *_ = vector.step(np.stack([action, action]))
            alone, *_ = env.step(action)
        for row in range(2):
            assert traces.fingerprint([{name: part[row] for name, part in first.items()}]) == traces.fingerprint(
                [alone]
            )
    vector.close()

    inner: Any = env.unwrapped
    env.reset(seed=3)
    for action in actions[:15]:
        env.step(action)
    twins = [copy.deepcopy(inner), pickle.loads(pickle.dumps(inner)), other.unwrapped]
    twins[2].set_state(inner.get_state())
    onwards = [traces.fingerprint(list(inner.step(action))) for action in actions[15:]]
    for twin in twins:
        assert [traces.fingerprint(list(twin.step(action))) for action in actions[15:]] == onwards
        twin.close()
    env.close()


@pytest.mark.parametrize("obs", ["state", "goal", "pixels"])
def test_gymnasium_finds_nothing_to_warn_of_in_an_environment_with_a_new_task(
    obs: str, models: dict[str, Any]
) -> None:
    env = gym.make(ID, robot=models["gantry"], obs=obs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_images_show_a_new_task(models: dict[str, Any]) -> None:
    env = gym.make(ID, robot=models["gantry"], render_mode="rgb_array", render_width=320, render_height=320)
    env.reset(seed=0)
    image: Any = env.render()
    red, green, blue = (image[..., channel].astype(int) for channel in range(3))
    marker = (red > green + 80) & (blue > green + 80)
    cube = (red > blue + 80) & (green > blue + 80)
    assert marker.sum() > 20
    assert cube.sum() > 20
    # The marker is over the cube.
    assert np.argwhere(marker)[:, 0].mean() < np.argwhere(cube)[:, 0].mean()
    env.close()


def test_an_episode_of_a_new_task_is_recorded_and_replayed() -> None:
    env = gym.make(ID, randomize="full")
    expert = ExpertPolicy(AboveExpert(), env)
    episode = record(env, rollout(env, expert, 5), 5)
    again = record(env, replay_steps(env, episode.actions, 5), 5)
    assert episode.differs_from(again) is None
    env.close()


@pytest.mark.parametrize(
    "keywords",
    [
        pytest.param({}, marks=SLOW),
        {"robot": "xarm6", "obs": "goal"},
        pytest.param({"randomize": "physics"}, marks=SLOW),
    ],
    ids=str,
)
def test_demonstrations_of_a_new_task_are_collected_and_replayed(
    keywords: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(demos.experts.EXPERTS, "above", AboveExpert())
    dataset = demos.collect(ID, episodes=3, env_kwargs=keywords, root=tmp_path)
    report = demos.replay(demos.load(dataset.id, tmp_path))
    assert report.episodes == report.successes == report.identical == 3


def test_an_id_of_the_class_itself_is_one_of_lam_envs() -> None:
    for entry_point, chains in ((ManipulationEnv, False), (make_chained_env, True)):
        gym.register("Above-v7", entry_point=entry_point, kwargs={"task": Above()})
        assert is_lam_env("Above-v7")
        assert has_chains("Above-v7") == chains
        del gym.registry["Above-v7"]
    gym.register("Above-v7", entry_point=lambda: None)
    assert not is_lam_env("Above-v7")
    del gym.registry["Above-v7"]


def test_a_new_task_needs_no_id() -> None:
    env = ManipulationEnv(task=Above(), robot=TALL)
    assert env.task_name == "above"
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()


def test_a_robot_whose_description_lacks_a_joint_is_refused_by_name(models: dict[str, Any]) -> None:
    wrong = dataclasses.replace(models["gantry"], arm_joints=("slide_x", "slide_y", "lift", "turn"))
    with pytest.raises(ValueError, match=r"no joint 'lift' of the robot 'gantry'; it has slide_x, slide_y, slide_z"):
        ManipulationEnv(task="reach", robot=wrong).reset(seed=0)

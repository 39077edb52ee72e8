"""A longer tool: the fingers are really longer, and neither controller nor observations know it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pybullet
import pytest

import demos
from demos.experts import make_expert
from lam_envs.bullet.simulation import Detail, Simulation
from lam_envs.registration import TASKS, env_id
from lam_envs.robots import PANDA, ROBOTS, Robot, RobotModel
from lam_envs.tasks import make_task

from ..conftest import Make
from .test_extension import gantry
from .traces import contact_rich_actions, fingerprint, play

OFFSET = 0.03
LONGEST = 0.05
POSITION = (0.5, 0.1, 0.2)
EVERY_ROBOT = pytest.mark.parametrize("robot", ROBOTS)


@pytest.fixture
def simulation(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    made = Simulation(getattr(request, "param", "physics"))
    yield made
    made.close()


def fingers(robot: Robot) -> np.ndarray[Any, Any]:
    """Return lowest and highest corner of each finger's bounding box, shape (2, 2, 3)."""
    return np.array([pybullet.getAABB(robot.id, finger, robot._client) for finger in robot._fingers])


def at_rest(model: RobotModel, simulation: Simulation, width: float = 0.02) -> Robot:
    robot = Robot(model, simulation)
    robot.set_joint_states((*robot.initial_joint_angles(POSITION), width / 2, width / 2))
    simulation.refresh_contacts()
    return robot


@EVERY_ROBOT
@pytest.mark.parametrize("simulation", ["physics", "full"], indirect=True)
def test_the_fingers_reach_further_by_the_offset_and_leave_no_gap(robot: str, simulation: Simulation) -> None:
    model = ROBOTS[robot]
    nominal, longer = at_rest(model, simulation), at_rest(model.with_tool_length_offset(OFFSET), simulation)
    (low, high), (longer_low, longer_high) = (fingers(one).transpose(1, 0, 2) for one in (nominal, longer))
    np.testing.assert_allclose(low[:, 2] - longer_low[:, 2], OFFSET, atol=1e-4)
    # The hand is where it was, and the fingers still begin there.
    np.testing.assert_allclose(longer_high[:, 2], high[:, 2], atol=0.005)
    assert nominal.tool_state().position == longer.tool_state().position
    x, y, z = nominal.tool_state().position
    assert longer.fingertip_state().position == pytest.approx((x, y, z - OFFSET), abs=1e-5)
    assert nominal.fingertip_state() == nominal.tool_state()


@EVERY_ROBOT
def test_longer_fingers_touch_what_nominal_ones_pass(robot: str, simulation: Simulation) -> None:
    # The top of the box is 1 cm below the nominal fingertips, and inside the longer ones.
    box = simulation.add_box("box", size=(0.1, 0.1, 0.02), position=(0.5, 0.1, 0.2 - 0.01 - 0.02))
    gaps = []
    for offset in (0.0, OFFSET):
        arm = at_rest(ROBOTS[robot].with_tool_length_offset(offset), simulation)
        near = pybullet.getClosestPoints(arm.id, box.id, 0.1, physicsClientId=simulation.client)
        gaps.append(min(point[8] for point in near if point[3] in arm._fingers))
    assert gaps[0] == pytest.approx(0.01, abs=0.003)
    assert gaps[1] < -0.01


@EVERY_ROBOT
def test_at_the_lowest_height_the_real_fingertips_stay_off_the_table(robot: str, make: Make) -> None:
    env: Any = make("LamReach-v0", robot=robot, tool_length_offset=LONGEST).unwrapped
    env.reset(seed=0)
    table = env.simulation.bodies["table"].id
    for _ in range(30):
        env.step(np.array([0.0, 0.0, -1.0, 1.0], np.float32))
        near = pybullet.getClosestPoints(
            env._world.scene().robot.id, table, 0.01, physicsClientId=env.simulation.client
        )
        assert all(point[8] > 0.001 for point in near if point[3] >= env._world.scene().robot._hand)
    assert env.features()["tool/position"][2] == pytest.approx(0.012, abs=0.002)


@EVERY_ROBOT
def test_the_arm_reaches_every_initial_pose_of_every_task(robot: str, simulation: Simulation) -> None:
    arm = Robot(ROBOTS[robot].with_tool_length_offset(LONGEST), simulation)
    for task in map(make_task, TASKS):
        for x, y, z in itertools.product(*zip(task.tool_low, task.tool_high, strict=True)):
            arm.set_joint_states((*arm.initial_joint_angles((x, y, z + LONGEST)), 0.0, 0.0))
            assert arm.fingertip_state().position == pytest.approx((x, y, z), abs=0.001), task.name


@pytest.mark.parametrize("task", TASKS)
def test_episodes_begin_with_fingertips_where_the_task_puts_them(task: str, make: Make) -> None:
    envs: list[Any] = [make(env_id(task), tool_length_offset=offset).unwrapped for offset in (0.0, LONGEST)]
    for env in envs:
        env.reset(seed=3)
    nominal, longer = (env.features()["tool/position"] for env in envs)
    np.testing.assert_allclose(longer, nominal, atol=1e-4)


@pytest.mark.parametrize("variant", ["", "Goal", "Pixels"])
def test_observations_have_the_nominal_tool_and_exact_features_the_fingertips(variant: str, make: Make) -> None:
    small = {"image_width": 32, "image_height": 32} if variant == "Pixels" else {}
    env: Any = make(env_id("grasp", variant), tool_length_offset=OFFSET, **small).unwrapped
    observation, _ = env.reset(seed=1)
    vector = observation if variant == "" else observation["robot" if variant == "Pixels" else "observation"]
    observed, exact = env.layout.decode(vector), env.features()
    up = (0.0, 0.0, OFFSET)
    np.testing.assert_allclose(observed["tool/position"] - exact["tool/position"], up, atol=1e-5)
    np.testing.assert_allclose(observed["tool/lag"], exact["tool/lag"], atol=1e-5)
    if variant != "Pixels":
        np.testing.assert_allclose(exact["object/relative"] - observed["object/relative"], up, atol=1e-5)
        np.testing.assert_allclose(exact["object/position"], observed["object/position"], atol=1e-5)


def test_success_refers_to_the_fingertips(make: Make) -> None:
    longer = make("LamReach-v0", tool_length_offset=OFFSET)
    inner: Any = longer.unwrapped
    expert = make_expert(make("LamReach-v0"))
    # An expert for the nominal tool, which acts on observations as agents do, misses by the offset.
    observation, info = longer.reset(seed=0)
    truncated = False
    while not truncated:
        observation, _, _, truncated, info = longer.step(expert.predict(observation)[0])
    assert not info["is_success"]
    assert not inner.evaluate_command(())["is_success"]
    np.testing.assert_allclose(inner.features()["goal/relative"], (0.0, 0.0, OFFSET), atol=0.003)
    np.testing.assert_allclose(inner.features(observation)["goal/relative"], 0.0, atol=0.003)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("LamReachDiscrete-v0", {}),
        ("LamGrasp-v0", {"robot": "xarm6"}),
        ("LamGrasp-v0", {"control": "joint", "robot": "ur5e"}),
        ("LamPush-v0", {"robot": "iiwa"}),
    ],
)
def test_the_expert_knows_the_real_tool(name: str, keywords: dict[str, Any], make: Make) -> None:
    env = make(name, tool_length_offset=OFFSET, **keywords)
    expert = make_expert(env)
    observation, info = env.reset(seed=4)
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(expert.predict(observation)[0])
        over = terminated or truncated
    assert info["is_success"]


def test_the_expert_refuses_a_batch_that_may_not_be_of_its_episode(make: Make) -> None:
    env = make("LamReach-v0", tool_length_offset=OFFSET)
    observation, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match="expected one observation of the current episode"):
        make_expert(env).predict(np.stack([observation, observation]))


def trace(env: gym.Env[Any, Any], seed: int, actions: list[Any]) -> list[str]:
    inner: Any = env.unwrapped
    results = [fingerprint(list(result)) for result in play(env, seed, actions)]
    return [*results, fingerprint([inner.get_state(), inner.physical_state()])]


def test_an_offset_of_zero_changes_no_bit(make: Make) -> None:
    plain, zero = make("LamGrasp-v0"), make("LamGrasp-v0", tool_length_offset=0)
    actions = contact_rich_actions(plain, 5, 30)
    assert trace(plain, 5, actions) == trace(zero, 5, actions)
    assert PANDA.with_tool_length_offset(0.0) is PANDA


@pytest.mark.parametrize("name", ["LamGrasp-v0", "LamDrawer-v0"])
def test_episodes_with_a_longer_tool_repeat_bit_by_bit(name: str, make: Make) -> None:
    env, other = (make(name, tool_length_offset=OFFSET, randomize="physics") for _ in range(2))
    actions = contact_rich_actions(env, 6, 30)
    first = trace(env, 6, actions)
    contact_rich_actions(other, 7, 15)
    assert trace(other, 6, actions) == first
    assert trace(env, 6, actions) == first


def test_a_state_continues_exactly_and_only_with_the_same_tool(make: Make) -> None:
    env, other = (make("LamGrasp-v0", tool_length_offset=OFFSET) for _ in range(2))
    here, there = (any_env.unwrapped for any_env in (env, other))
    actions = contact_rich_actions(env, 8, 30)
    results = [fingerprint(list(result)) for result in play(env, 8, actions[:20])]
    there.set_state(here.get_state())  # type: ignore[attr-defined]
    for action in actions[20:]:
        results = [fingerprint(list(one.step(action))) for one in (here, there)]
        assert results[0] == results[1]
    state = here.get_state()  # type: ignore[attr-defined]
    for offset in (0.0, 0.02):
        inner: Any = make("LamGrasp-v0", tool_length_offset=offset).unwrapped
        with pytest.raises(ValueError, match="with another tool_length_offset"):
            inner.set_state(state)


def test_a_dataset_records_the_offset_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    given = {"tool_length_offset": OFFSET}
    dataset = demos.collect("LamReach-v0", episodes=2, seed=0, env_kwargs=given)
    assert dataset.spec.env_spec.kwargs["tool_length_offset"] == OFFSET
    assert demos.replay(dataset).identical == 2


def test_images_show_the_longer_fingers_from_a_camera_that_stays(make: Make) -> None:
    envs: list[Any] = [
        make("LamReachPixels-v0", tool_length_offset=offset, image_width=64, image_height=64).unwrapped
        for offset in (0.0, LONGEST)
    ]
    for env in envs:
        env.reset(seed=0, options={"goal": [0.6, 0.2, 0.1, 0.05]})
    nominal, longer = (env.camera_images(["wrist"])["wrist"].astype(int) for env in envs)
    assert np.abs(nominal - longer).max() > 50
    hand = [env._world.scene().robot.tool_frame().position[2] for env in envs]
    assert hand[1] - hand[0] == pytest.approx(LONGEST, abs=1e-4)


@pytest.mark.parametrize("detail", ["physics", "full"])
def test_your_own_robot_gets_longer_fingers(detail: Detail, tmp_path: Path) -> None:
    simulation = Simulation(detail)
    model = gantry(tmp_path)
    low = [fingers(at_rest(one, simulation))[:, 0, 2].min() for one in (model, model.with_tool_length_offset(OFFSET))]
    assert low[0] - low[1] == pytest.approx(OFFSET, abs=1e-4)
    simulation.close()


def test_fingers_that_point_elsewhere_are_refused(simulation: Simulation, tmp_path: Path) -> None:
    model = gantry(tmp_path)
    text = model.physics_urdf.read_text()
    turned = tmp_path / "turned.urdf"
    turned.write_text(
        text.replace('<origin xyz="0 0 0"/><axis xyz="0 1 0"/>', '<origin rpy="1 0 0"/><axis xyz="0 1 0"/>')
    )
    assert turned.read_text() != text
    crooked = dataclasses.replace(model, physics_urdf=turned)
    Robot(crooked, simulation)
    with pytest.raises(ValueError, match=r"turned\.urdf describes in another direction"):
        Robot(crooked.with_tool_length_offset(OFFSET), simulation)


def test_a_description_without_the_fingers_is_refused(simulation: Simulation, tmp_path: Path) -> None:
    model = dataclasses.replace(gantry(tmp_path), finger_joints=("thumb", "right"), tool_length_offset=OFFSET)
    with pytest.raises(ValueError, match=r"gantry\.urdf has no joint 'thumb'"):
        Robot(model, simulation)
    model.physics_urdf.write_text("<robot")
    with pytest.raises(ValueError, match=r"gantry\.urdf is no robot description"):
        Robot(model, simulation)

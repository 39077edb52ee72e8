"""Bodies with joints: physics, states, randomization, rendering, reset options, checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pybullet
import pytest

from lam_envs import ManipulationEnv, Randomization
from lam_envs.bullet.articulated import Articulation, Joint, JointState, articulation_size
from lam_envs.bullet.bodies import Part
from lam_envs.bullet.geometry import IDENTITY
from lam_envs.bullet.simulation import Simulation
from lam_envs.scene.state import HEADER
from lam_envs.tasks import InitialState

from .hinges import SWING, TRAVEL, Hinges
from .traces import contact_rich_actions, fingerprint, trace

STEPS = 30
BOX = (Part((0.1, 0.1, 0.1), (0.0, 0.0, 0.0)),)
SMALL = {"cameras": ("front",), "image_width": 48, "image_height": 48}


@pytest.fixture
def env() -> Iterator[Any]:
    made = ManipulationEnv(task=Hinges())
    yield made
    made.close()


def moved(state: JointState, seconds: float, *, mass: float = 1.0, parts: int = 1, scale: float = 1.0) -> JointState:
    """Return the state of a sliding box after some time."""
    simulation = Simulation()
    joint = Joint("slide", "prismatic", (1.0, 0.0, 0.0), -0.2, 0.2, BOX, mass)
    body = simulation.add_articulated("box", BOX, [joint])
    body.friction_scale = scale
    simulation.set_substeps(parts)
    body.set_state(Articulation((0.0, 0.0, 1.0), IDENTITY, (state,)))
    simulation.step(round(seconds * 240) * parts)
    found = body.state().joints[0]
    simulation.close()
    return found


# Physics


@pytest.mark.parametrize("parts", [1, 4])
def test_friction_brakes_a_joint_and_then_holds_it(parts: int) -> None:
    found = moved(JointState(0.0, 0.5, friction=2.0), 1.0, parts=parts)
    assert found.position == pytest.approx(0.5**2 / (2 * 2.0), abs=2e-3)
    assert abs(found.velocity) < 1e-9


def test_the_scale_of_friction_is_a_factor_on_it() -> None:
    assert moved(JointState(0.0, 0.5, friction=2.0), 1.0, scale=2.0).position == pytest.approx(0.03125, abs=2e-3)


def test_damping_brakes_a_joint_in_proportion_to_its_velocity() -> None:
    assert moved(JointState(0.0, 0.5, damping=5.0), 0.2).velocity == pytest.approx(0.5 * np.exp(-1.0), rel=0.05)


@pytest.mark.parametrize("parts", [1, 4])
def test_a_spring_swings_a_joint_about_its_rest(parts: int) -> None:
    # The period is 2 pi / sqrt(stiffness / mass): half of it is 0.63 s.
    found = moved(JointState(0.1, stiffness=25.0), np.pi / 5.0, parts=parts)
    assert found.position == pytest.approx(-0.1, abs=0.01)


def test_friction_holds_a_joint_against_a_weaker_spring() -> None:
    assert moved(JointState(0.1, friction=2.0, stiffness=15.0), 1.0).position == pytest.approx(0.1, abs=1e-6)
    assert abs(moved(JointState(0.1, friction=1.0, stiffness=15.0), 1.0).position) < 0.09


def test_limits_stop_a_joint_that_hardly_rebounds_against_friction() -> None:
    assert moved(JointState(0.1, 0.8, friction=1.0, damping=2.0), 1.0).position == pytest.approx(0.19, abs=0.012)


def test_a_moved_base_moves_the_links(env: Any) -> None:
    env.reset(seed=0, options={"poses": {"drawer": [0.7, 0.1, 0.05, 0, 0, 0, 1]}, "joints": {"drawer": [0.1]}})
    np.testing.assert_allclose(env.features()["object/position"], [0.7 - 0.1 - 0.12, 0.1, 0.18], atol=1e-9)


def test_links_are_where_the_joints_place_them(env: Any) -> None:
    place = {"door": [0.6, 0.3, 0.1, 0, 0, 0, 1], "drawer": [0.7, -0.1, 0.05, 0, 0, 0, 1]}
    env.reset(seed=0, options={"poses": place, "joints": {"door": [np.pi / 3, 0.5], "drawer": [0.05]}})
    drawer, door = env.simulation.bodies["drawer"], env.simulation.bodies["door"]
    turn = np.array([[0.5, -np.sqrt(0.75)], [np.sqrt(0.75), 0.5]])
    lever = np.array([0.6, 0.3]) + turn @ [-0.01, -0.12]
    np.testing.assert_allclose(door.link_frame("lever").position, [*lever, 0.2], atol=1e-9)
    box = np.array(pybullet.getAABB(drawer.id, 0, env.simulation.client))
    np.testing.assert_allclose(box, [[0.52, -0.18, 0.075], [0.74, -0.02, 0.2]], atol=2e-3)


def test_the_links_do_not_collide_with_their_base_and_the_robot_collides_with_them(env: Any) -> None:
    env.reset(seed=0)
    body = env.simulation.bodies["drawer"]
    start = body.state().joints[0].position
    for _ in range(30):
        x, y, z = env.features()["object/position"]
        goal = (x + 0.05, y, z) if env._world.step_count > 15 else (x - 0.05, y, z - 0.04)
        tool = env.features()["tool/position"]
        env.step(np.array([*np.clip((np.subtract(goal, tool)) / 0.02, -1, 1), -1.0], np.float32))
    assert body.state().joints[0].position < start - 0.02


# Episodes and states


def test_the_same_seed_gives_the_same_bits_after_other_episodes(env: Any) -> None:
    actions = contact_rich_actions(env, 3, STEPS)
    fresh = ManipulationEnv(task=Hinges())
    expected = trace(fresh, 3, actions)
    fresh.close()
    contact_rich_actions(env, 11, STEPS)
    assert trace(env, 3, actions) == expected
    env.set_state(env.physical_state())
    env.step(actions[0])
    assert trace(env, 3, actions) == expected


@pytest.mark.parametrize("randomize", ["none", Randomization(friction=(0.5, 2.0), object_mass=(0.5, 2.0))])
def test_a_state_continues_bit_identically_in_another_environment(randomize: Any) -> None:
    env, other = (ManipulationEnv(task=Hinges(), randomize=randomize) for _ in range(2))
    actions = contact_rich_actions(env, 4, STEPS)
    env.reset(seed=4)
    for action in actions[:20]:
        env.step(action)
    state = env.get_state()
    contact_rich_actions(other, 5, 8)
    other.set_state(state)
    for action in actions[20:]:
        assert fingerprint(list(env.step(action))) == fingerprint(list(other.step(action)))
    env.close()
    other.close()


def test_a_physical_state_comes_back_exactly_with_the_resistance_of_joints(env: Any) -> None:
    actions = contact_rich_actions(env, 6, STEPS)
    env.reset(seed=6)
    for action in actions[:20]:
        env.step(action)
    state, joints = env.physical_state(), env.simulation.bodies["drawer"].state()
    follow = []
    for _ in range(2):
        contact_rich_actions(env, 7, 8)
        env.set_state(state)
        np.testing.assert_array_equal(env.physical_state(), state)
        assert env.simulation.bodies["drawer"].state() == joints
        follow.append(fingerprint([env.step(action)[0] for action in actions[20:]]))
    assert follow[0] == follow[1]


DOOR = articulation_size(2)
"""Length of the state of the door: the last part before the goal, which has one number."""


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (-DOOR - 1 + 6, 0.2, "the orientation of door is a quaternion of length 0.2; expected length 1"),
        (-DOOR - 1 + 7, 1.3, r"the position of the joint hinge of door is 1\.3; expected 0 to 1\.2"),
        (-DOOR - 1 + 12, -0.7, r"the position of the joint lever of door is -0\.7; expected -0\.6 to 0\.6"),
        (-DOOR - 1 + 9, -1.0, "the friction of the joint hinge of door is -1; expected 0 to 100"),
        (-DOOR - 1 + 15, 101.0, "the damping of the joint lever of door is 101; expected 0 to 100"),
        (-2, -0.1, r"the stiffness of the joint lever of door is -0\.1; expected 0 to 100"),
    ],
)
def test_a_state_that_no_joint_has_is_refused(index: int, value: float, message: str, env: Any) -> None:
    env.reset(seed=0)
    before = env.physical_state()
    spoiled = before.copy()
    spoiled[index] = value
    with pytest.raises(ValueError, match=message):
        env.set_state(spoiled)
    np.testing.assert_array_equal(env.physical_state(), before)


def test_the_state_has_the_numbers_of_all_joints(env: Any) -> None:
    env.reset(seed=0)
    size = env._world.scene().state_size
    numbers = env.physical_state()[HEADER : HEADER + size]
    door = env.simulation.bodies["door"].state()
    assert numbers[-DOOR:].tolist() == door.to_numbers()
    assert door.joints[1].stiffness == 0.2


# Randomization and images


def test_mass_and_friction_of_links_are_those_that_were_sampled() -> None:
    env: Any = ManipulationEnv(task=Hinges(), randomize={"object_mass": (0.5, 2.0), "friction": (0.5, 2.0)})
    for seed in range(2):
        _, info = env.reset(seed=seed)
        sample, body = info["randomization"], env.simulation.bodies["drawer"]
        mass, friction, *_ = pybullet.getDynamicsInfo(body.id, 0, env.simulation.client)
        assert mass == pytest.approx(0.5 * sample["object_mass"])
        assert friction == pytest.approx(0.8 * sample["friction"])
        assert body.friction_scale == pytest.approx(sample["friction"])
    env.close()


@pytest.mark.parametrize("renderer", ["tiny", pytest.param("egl", marks=pytest.mark.slow)])
def test_images_show_the_position_of_a_joint_and_the_pose_of_the_base(renderer: str) -> None:
    env = ManipulationEnv(
        task=Hinges(), obs="pixels", renderer=renderer, render_mode="rgb_array", render_width=64, **SMALL
    )
    pose = [0.64, -0.1, 0.0, 0, 0, 0.0, 1.0]
    images = []
    for options in (
        {"joints": {"drawer": [0.0]}},
        {"joints": {"drawer": [0.15]}},
        {"joints": {"drawer": [0.0]}, "poses": {"drawer": pose}},
        {"joints": {"drawer": [0.0]}},
    ):
        observation: Any = env.reset(seed=0, options=options)[0]
        images.append((observation["front"], env.render()))
    for image in range(2):
        assert len({shown[image].tobytes() for shown in images}) == 3
        np.testing.assert_array_equal(images[0][image], images[3][image])
    env.close()


@pytest.mark.slow
def test_rendering_changes_no_episode(env: Any) -> None:
    actions = contact_rich_actions(env, 8, 10)
    seen = ManipulationEnv(task=Hinges(), render_mode="rgb_array", render_width=16, render_height=16)
    env.reset(seed=8)
    seen.reset(seed=8)
    for action in actions:
        seen.render()
        assert fingerprint(list(env.step(action))) == fingerprint(list(seen.step(action)))
    seen.close()


def test_the_colors_of_base_and_links_are_randomized_by_the_same_offset() -> None:
    env: Any = ManipulationEnv(task=Hinges(), obs="pixels", randomize="visual", **SMALL)
    _, info = env.reset(seed=1)
    seen = env._observer._viewer._scene.simulation
    body = seen.bodies["drawer"]
    shapes = pybullet.getVisualShapeData(body.id, physicsClientId=seen.client)
    own = [(0.5, 0.4, 0.3)] * 2 + [(0.1, 0.1, 0.9)] * 3
    for shape, color in zip(shapes, own, strict=True):
        expected = np.clip(np.add(color, info["randomization"]["object_color"]), 0.0, 1.0)
        np.testing.assert_allclose(shape[7][:3], expected, atol=1 / 255)
    env.close()


# Reset options and checks


def test_the_option_joints_sets_positions_and_the_seed_samples_the_rest(env: Any) -> None:
    env.reset(seed=2)
    drawer, door = (env.simulation.bodies[name].state() for name in ("drawer", "door"))
    env.reset(seed=2, options={"joints": {"drawer": [0.07]}})
    given = env.simulation.bodies["drawer"].state()
    assert given == drawer._replace(joints=(drawer.joints[0]._replace(position=0.07),))
    assert env.simulation.bodies["door"].state() == door


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joints": [1]}, "expected a dict of joint positions by object. Objects: drawer, door"),
        ({"joints": {"doors": [0.1, 0.1]}}, "unknown object 'doors'"),
        ({"joints": {"door": [0.1]}}, "expected 2 numbers"),
        ({"joints": {"door": [0.1, 2.0]}}, r"expected 0 to 1\.2, -0\.6 to 0\.6"),
        ({"poses": {"drawer": [0.7, 0.1, 0.05, 0, 0, 0, 0]}}, "expected length 1"),
    ],
)
def test_an_impossible_option_is_refused(options: Any, message: str, env: Any) -> None:
    env.reset(seed=2)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.reset(seed=3, options=options)
    np.testing.assert_array_equal(env.get_state(), before)


class OtherLimits(Hinges):
    articulated_objects: ClassVar[Any] = {"drawer": (TRAVEL,), "door": (SWING, SWING)}


class NoDoor(Hinges):
    def build_scene(self, simulation: Any, scale: float) -> None:
        simulation.add_box("cube", size=(0.04, 0.04, 0.04), position=(0.4, 0.1, 0.02), mass=0.1)


class TooFewJoints(Hinges):
    def sample_initial_state(self, rng: Any, scale: float, command: Any) -> InitialState:
        start = super().sample_initial_state(rng, scale, command)
        return dataclasses.replace(start, joints={"drawer": start.joints["drawer"]})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (OtherLimits(), "articulated_objects of OtherLimits declares the joint limits"),
        (NoDoor(), "articulated_objects of NoDoor names door, drawer"),
        (TooFewJoints(), "TooFewJoints.sample_initial_state returns joints of articulated objects in the numbers"),
    ],
)
def test_a_task_that_contradicts_its_declarations_is_refused(task: Any, message: str) -> None:
    env = ManipulationEnv(task=task)
    with pytest.raises(ValueError, match=message):
        env.reset(seed=0)
    env.close()


def test_impossible_joints_are_refused() -> None:
    with pytest.raises(ValueError, match="expected low < high"):
        Joint("slide", "prismatic", (1.0, 0.0, 0.0), 0.2, 0.2, BOX, 1.0)
    with pytest.raises(ValueError, match="expected a unit vector"):
        Joint("slide", "prismatic", (1.0, 1.0, 0.0), 0.0, 0.2, BOX, 1.0)
    with pytest.raises(ValueError, match="the mass 0"):
        Joint("slide", "prismatic", (1.0, 0.0, 0.0), 0.0, 0.2, BOX, 0.0)
    simulation = Simulation()
    joint = Joint("slide", "prismatic", (1.0, 0.0, 0.0), 0.0, 0.2, BOX, 1.0)
    child = Joint("lid", "revolute", (1.0, 0.0, 0.0), 0.0, 0.2, BOX, 1.0, parent="slide")
    with pytest.raises(ValueError, match="with different names"):
        simulation.add_articulated("box", BOX, [joint, joint])
    with pytest.raises(ValueError, match="expected an earlier joint"):
        simulation.add_articulated("box", BOX, [child, joint])
    simulation.close()

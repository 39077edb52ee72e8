"""Objects that any link of the robot presses do not penetrate the ground, at any height."""

from __future__ import annotations

from typing import Any

import numpy as np
import pybullet
import pytest
from typing_extensions import override

from lam_envs import ManipulationEnv, ToolCommand
from lam_envs.bullet.geometry import Motion
from lam_envs.robots import ROBOTS
from lam_envs.tasks import InitialState, make_task
from lam_envs.tasks.grasp import Grasp
from lam_envs.tasks.objects import resting_at

DEEPEST = 0.005
"""Largest penetration of an object, meters."""


def depth(env: ManipulationEnv) -> float:
    """Return the penetration of the object, meters."""
    contacts = pybullet.getContactPoints(env.simulation.bodies["object"].id, physicsClientId=env.simulation.client)
    return max((-contact[8] for contact in contacts), default=0.0)


class Shelf(Grasp):
    """A cube on a shelf.

    Args:
        height: Height of the shelf, meters.
    """

    name = "shelf"
    tool_low = (0.4, -0.1, 0.30)
    tool_high = (0.6, 0.1, 0.33)

    def __init__(self, height: float) -> None:
        self.height = height

    @override
    def build_scene(self, simulation: Any, scale: float) -> None:
        super().build_scene(simulation, scale)
        simulation.add_box("shelf", size=(0.3, 0.4, self.height), position=(0.5, 0.0, self.height / 2))

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Any) -> InitialState:
        drawn = super().sample_initial_state(rng, scale, command)
        return InitialState(
            drawn.tool_position, drawn.desired_goal, {"object": resting_at(0.5, 0.0, self.height + 0.02, 0.3)}
        )


@pytest.mark.parametrize(
    ("robot", "control", "height"),
    [
        pytest.param("panda", "ee", 0.16, marks=pytest.mark.slow),
        pytest.param("iiwa", "ee", 0.11, marks=pytest.mark.slow),
        ("xarm6", "joint", 0.16),
        pytest.param("ur5e", "ee", 0.16, marks=pytest.mark.slow),
    ],
)
def test_a_cube_that_is_pressed_onto_a_shelf_stays_out_of_it(robot: str, control: str, height: float) -> None:
    env = ManipulationEnv(task=Shelf(height), robot=robot, control=control)
    pressed = 0
    for seed in range(3):
        env.reset(seed=seed)
        aside, off = np.random.default_rng(seed).uniform(-0.018, 0.018, 2).tolist()
        for step in range(50):
            features = env.features()
            z = height + (0.2 if step < 15 else -0.1)
            env.step(env.action_for(ToolCommand((0.5 + aside, off, z), 0.0), features))
            assert depth(env) <= DEEPEST
            pressed += env._world.scene().robot.max_contact_force() > 20.0
    env.close()
    assert pressed > 20, "nothing was pressed"


@pytest.mark.parametrize(
    ("robot", "seeds"),
    [("panda", 3), *(pytest.param(robot, 9, marks=pytest.mark.slow) for robot in ROBOTS)],
)
def test_a_cube_under_any_link_of_the_arm_stays_out_of_the_table(robot: str, seeds: int) -> None:
    env = ManipulationEnv(task=make_task("grasp"), robot=robot, control="joint")
    pressed = 0
    for seed in range(seeds):
        env.reset(seed=seed)
        rng = np.random.default_rng(seed)
        inner: Any = env._world.scene()
        body = env.simulation.bodies["object"]
        # The cube lies under one of the last links while the arm goes down, each joint by a speed of its own.
        link = inner.robot._arm[-1 - seed % 3]
        speeds = rng.uniform(-1.0, 1.0, env.action_space.shape)
        speeds[1] = 1.0
        for step in range(60):
            if step < 10:
                x, y, _ = pybullet.getLinkState(inner.robot.id, link, physicsClientId=env.simulation.client)[0]
                body.set_motion(Motion((x, y, 0.02), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
            env.step(speeds)
            if step >= 10:
                assert depth(env) <= DEEPEST
                pressed += inner.robot.max_contact_force() > 20.0
    env.close()
    assert pressed > 20, "nothing was pressed"

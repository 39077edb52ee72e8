"""The fingers stay off the table while the hand slides at the lowest height, on every arm and at every speed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pybullet
import pytest

from lam_envs import ManipulationEnv, ToolCommand
from lam_envs.control.end_effector import MAX_STEP
from lam_envs.robots import PANDA, ROBOTS, RobotModel

LENGTH = 0.1
"""Length of a slide along its direction, meters."""
STARTS = ((0.42, -0.15), (0.42, 0.15), (0.58, -0.15), (0.58, 0.15))
DIRECTIONS = tuple((math.cos(turn), math.sin(turn)) for turn in np.arange(8) * math.pi / 4)
OUTWARD = (DIRECTIONS[0], DIRECTIONS[1])
STRAIGHT_PANDA = replace(PANDA, name="straight_panda", interpolate_targets=True)
# The Panda does not interpolate its targets and is tested without its fastest diagonals.
EVERY_ARM = pytest.mark.parametrize(
    ("robot", "fastest_diagonal"),
    [pytest.param(arm, arm is not PANDA, id=arm.name) for arm in (*ROBOTS.values(), STRAIGHT_PANDA)],
)


class Slide(NamedTuple):
    """The worst of one slide, over its control steps."""

    gap: float
    """Smallest distance between the hand and the table, meters."""
    forced: float
    """Largest difference between the opening of the gripper and the commanded one, meters."""
    missed: float
    """Horizontal distance to the commanded position at the end, meters."""


def slide(env: ManipulationEnv, start: tuple[float, float], step: tuple[float, float], opening: float) -> Slide:
    """Move the hand down to the lowest height, then slide it.

    Args:
        env: An environment with end-effector control.
        start: Horizontal position at which the slide starts, meters.
        step: Horizontal displacement of one action, meters.
        opening: Opening of the gripper, -1 (closed) to 1.
    """
    env.reset(seed=0)
    scene: Any = env._world.scene()
    table = env.simulation.bodies["table"].id
    turn = [0.0] * (env.action_space.shape[0] - 4)  # type: ignore[index]
    gaps, forced = [], []

    def act(x: float, y: float, z: float) -> None:
        env.step(np.array([x / MAX_STEP, y / MAX_STEP, z / MAX_STEP, *turn, opening], np.float32))
        near = pybullet.getClosestPoints(scene.robot.id, table, 0.1, physicsClientId=env.simulation.client)
        gaps.append(min((point[8] for point in near if point[3] >= scene.robot._hand), default=0.1))
        forced.append(abs(scene.gripper.width - scene.target.width))

    for _ in range(25):
        env.step(env.action_for(ToolCommand((*start, 0.08), (opening + 1) / 2 * env.max_width), env.features()))
    for _ in range(8):
        act(0.0, 0.0, -MAX_STEP)
    forced.clear()
    for _ in range(math.ceil(LENGTH / math.hypot(*step))):
        act(*step, 0.0)
    for _ in range(15):
        act(0.0, 0.0, 0.0)
    return Slide(min(gaps), max(forced), math.dist(scene.tool.position[:2], scene.target.position[:2]))


def check_slides(
    robot: RobotModel,
    control: str,
    starts: Iterable[tuple[float, float]],
    directions: Iterable[tuple[float, float]],
    speeds: Iterable[float],
    openings: Iterable[float],
    *,
    fastest_diagonal: bool,
) -> None:
    """Check that no slide comes within 1 mm of the table, pushes the fingers open or sticks.

    Args:
        robot: The arm.
        control: ``ee`` or ``ee_yaw``.
        starts: Horizontal positions, meters.
        directions: Unit vectors.
        speeds: Shares of 2 cm an action, in (0, 1].
        openings: -1 (closed) to 1.
        fastest_diagonal: Whether a diagonal moves at the full speed of both axes, 0.57 m/s, or at 0.4 m/s.
    """
    env = ManipulationEnv(task="reach", robot=robot, control=control)
    for start, (x, y), speed, opening in product(starts, directions, speeds, openings):
        length = speed * MAX_STEP / (max(abs(x), abs(y)) if fastest_diagonal else 1.0)
        worst = slide(env, start, (x * length, y * length), opening)
        case = f"{robot.name}, {control}, from {start} along ({x:.1f}, {y:.1f}), speed {speed}, opening {opening}"
        assert worst.gap > 0.001, case
        assert worst.forced < 0.001, case
        assert worst.missed < 0.002, case
    env.close()


@EVERY_ARM
def test_the_fingers_stay_off_the_table_in_the_fastest_slides(robot: RobotModel, fastest_diagonal: bool) -> None:
    # Outward the arms dip most, as their elbows turn most.
    check_slides(robot, "ee", STARTS[1::2], OUTWARD, [1.0], [1.0], fastest_diagonal=fastest_diagonal)


@pytest.mark.slow
@pytest.mark.parametrize("control", ["ee", "ee_yaw"])
@EVERY_ARM
def test_the_fingers_stay_off_the_table_at_every_speed(
    robot: RobotModel, fastest_diagonal: bool, control: str
) -> None:
    check_slides(robot, control, STARTS, DIRECTIONS, [1.0, 0.5, 0.25], [-1.0, 1.0], fastest_diagonal=fastest_diagonal)

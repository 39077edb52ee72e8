"""Conveyor: grasp a cube that moves on a belt, and lift it off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.bodies import Part
from lam_envs.bullet.shapes.surfaces import add_moving_surface
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import (
    FAR,
    TOUCH,
    clip,
    distance,
    lift_flags,
    lift_progress,
    moves_with_hand,
    object_features,
    object_values,
    resting_at,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

EDGE = 0.04
"""Edge of the cube, meters."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
"""Rubber on rubber."""
BELT_SIZE = (0.5, 1.4, 0.02)
"""Edge lengths of the belt, meters. It is as long as the table: beyond its ends the cube falls to the floor."""
BELT_CENTER = (0.5, 0.0, 0.01)
BELT_TOP = BELT_CENTER[2] + BELT_SIZE[2] / 2
RAIL_SIZE = (0.02, 1.4, 0.05)
"""Edge lengths of the rails on both sides, meters, 3 cm above the belt: the cube leaves it only at its ends."""
MIN_SPEED, MAX_SPEED = 0.05, 0.2
"""Range of the belt's speed, meters per second."""
NEAREST_START, FARTHEST_START = 0.05, 0.35
"""Range of the cube's initial distance from the middle of the belt, upstream, meters."""
START_LOW, START_HIGH = 0.4, 0.6
"""Range of the cube's initial x, meters."""
LIFT = 0.10
"""Height of the cube above its height on the belt that counts as lifted, meters."""
LOST = -0.015
"""Height, relative to that on the belt, below which the cube has left the belt, meters."""
MAX_YAW = 0.5
"""Largest yaw of the cube relative to the gripper, radians: ``ee`` control does not turn the hand."""


class Conveyor(Task):
    """Grasp a cube that moves on a belt, and lift it off.

    **Task.** A belt as wide as the workspace carries a cube (edge 4 cm, 0.1 kg) past the arm. Grasp the cube, lift it
    by 10 cm and hold it, before the belt takes it out of reach: at the highest speed the fingers reach it for 2 to
    3.5 seconds. At the end of the belt the cube falls to the floor. Rails keep it from leaving the belt sideways.

    **Randomization.** Sampled at each reset:

    - belt: speed from 5 to 20 cm/s along the y axis, in either direction with equal probability
    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - cube: 5 to 35 cm upstream of the middle of the belt, across 20 cm, yaw up to 29 degrees in either direction; it
      moves with the belt

    The speed of the belt is not a feature: as long as the cube lies on the belt, it is the cube's velocity.

    **Success.** The cube is 10 cm above its height on the belt, both fingers press it with the inside of their pads,
    and it neither slides nor turns in the hand (3 cm/s, 1 rad/s). Throwing it, scooping it up or stopping it on the
    belt is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.4 for the distance from the
    tool to the cube, 0.2 for holding it, and 0.4 for the fraction of the height while holding it; -1 after the cube
    has left the belt. `sparse`: 0 on success, else -1.

    **Goal.** Distance from tool to cube (m), height of the cube above its height on the belt (m), and 1 while it is
    held. The desired height and hold are lower limits; the distance does not count.

    **Version history.** v0: first version.
    """

    name = "conveyor"
    version = 1
    features = (TOUCH, *object_features("cube"))
    instructions = Instructions(
        train=(
            "pick the red cube off the belt",
            "take the red cube from the moving belt",
            "lift the red cube off the conveyor",
            "catch the cube on the belt and lift it",
            "grasp the moving cube and raise it",
            "pick up the cube before the belt carries it away",
        ),
        held_out=(
            "grab the scarlet block as it rides past",
            "snatch the little red box from the running track",
            "intercept the red dice on the assembly line and hoist it",
        ),
    )
    goal_low = (0.0, -2.0, 0.0)
    goal_high = (FAR, 2.0, 1.0)
    movable_objects = ("object",)
    moving_surfaces = ("belt",)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        add_moving_surface(
            simulation, "belt", size=BELT_SIZE, position=BELT_CENTER, friction=FRICTION, color=(0.25, 0.27, 0.30)
        )
        aside = (BELT_SIZE[0] + RAIL_SIZE[0]) / 2
        simulation.add_boxes(
            "rails",
            [Part(RAIL_SIZE, (-aside, 0.0, 0.0)), Part(RAIL_SIZE, (aside, 0.0, 0.0))],
            position=(BELT_CENTER[0], BELT_CENTER[1], RAIL_SIZE[2] / 2),
            color=(0.62, 0.64, 0.68),
        )
        edge = EDGE * scale
        simulation.add_box(
            "object",
            size=(edge, edge, edge),
            position=(0.5, 0.0, BELT_TOP + edge / 2),
            mass=MASS,
            friction=FRICTION,
            color=(0.85, 0.2, 0.15),
        )

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        downstream = 1.0 if rng.uniform() < 0.5 else -1.0
        velocity = (0.0, downstream * rng.uniform(MIN_SPEED, MAX_SPEED), 0.0)
        x, upstream = rng.uniform((START_LOW, NEAREST_START), (START_HIGH, FARTHEST_START)).tolist()
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        cube = resting_at(x, -downstream * upstream, BELT_TOP + EDGE * scale / 2, yaw)._replace(velocity=velocity)
        return InitialState(
            tool_position=tool,
            desired_goal=(0.0, LIFT, 1.0),
            objects={"object": cube},
            surfaces={"belt": velocity},
        )

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right, _ = robot.touch(body)
        held = left and right and moves_with_hand(cube, tool)
        height = cube.position[2] - body.size[2] / 2 - BELT_TOP
        achieved = (distance(cube.position, tool.position), height, float(held))
        values = (float(left), float(right), *object_values(cube, tool))
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        return lift_flags(achieved, desired, LOST)

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        return lift_progress(achieved, LIFT, LOST)

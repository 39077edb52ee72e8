"""Grasp: take a cube from the table, lift it and hold it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

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
    sample_position,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

EDGE = 0.04
"""Edge of the cube, meters: half of the Panda's largest opening."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
"""Rubber on wood."""
LIFT = 0.10
"""Height of the cube above its height at rest that counts as lifted, meters."""
MAX_YAW = 0.5
"""Largest yaw of the cube relative to the gripper, radians: ``ee`` control does not turn the hand."""


class Grasp(Task):
    """Grasp a cube on the table, lift it by 10 cm and hold it.

    **Task.** Grasp a cube (edge 4 cm, 0.1 kg) on the table, lift it by 10 cm and hold it.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - cube: position in 20 x 40 cm on the table, yaw up to 29 degrees in either direction

    **Success.** The cube is 10 cm above its height at rest, both fingers press it with the inside of their pads, and
    it neither slides nor turns in the hand (3 cm/s, 1 rad/s). Throwing it, scooping it up or squeezing it out is not
    a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.4 for the distance from the
    tool to the cube, 0.2 for holding it, and 0.4 for the fraction of the height while holding it; -1 after the cube
    has left the table. `sparse`: 0 on success, else -1.

    **Goal.** Distance from tool to cube (m), height of the cube above its height at rest (m), and 1 while it is held.
    The desired height and hold are lower limits; the distance does not count.

    **Version history.** v0: first version.
    """

    name = "grasp"
    version = 1
    features = (TOUCH, *object_features("cube"))
    instructions = Instructions(
        train=(
            "pick up the red cube",
            "lift the red cube",
            "grasp the red cube and lift it",
            "take the cube and hold it up",
            "grasp the cube and raise it",
            "pick up the cube and hold it",
        ),
        held_out=(
            "grab the scarlet block",
            "hoist the little red box off the table",
            "clutch the red dice and keep it high",
        ),
    )
    goal_low = (0.0, -2.0, 0.0)
    goal_high = (FAR, 2.0, 1.0)
    movable_objects = ("object",)
    spawn_low = (0.4, -0.2)
    spawn_high = (0.6, 0.2)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        edge = EDGE * scale
        simulation.add_box(
            "object",
            size=(edge, edge, edge),
            position=(0.5, 0.0, edge / 2),
            mass=MASS,
            friction=FRICTION,
            color=(0.85, 0.2, 0.15),
        )

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        position = sample_position(rng, self.spawn_low, self.spawn_high)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        cube = resting_at(*position, EDGE * scale / 2, yaw)
        return InitialState(tool_position=tool, desired_goal=(0.0, LIFT, 1.0), objects={"object": cube})

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right, _ = robot.touch(body)
        held = left and right and moves_with_hand(cube, tool)
        achieved = (distance(cube.position, tool.position), cube.position[2] - body.size[2] / 2, float(held))
        values = (float(left), float(right), *object_values(cube, tool))
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        return lift_flags(achieved, desired)

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        return lift_progress(achieved, LIFT)

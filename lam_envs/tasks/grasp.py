"""Grasp: take a cube from the table, lift it and hold it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.observation import Feature
from lam_envs.robots import Robot
from lam_envs.robots.robot import ToolState
from lam_envs.simulation import Motion, Simulation, Vector3, rotation_6d
from lam_envs.tasks.task import Draw, Flags, Goals, Reading, Task

EDGE = 0.04
"""Edge of the cube, metres: half the Panda's opening."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
"""Rubber on wood."""
LIFT = 0.10
"""How far the cube must be above where it rested, metres."""
SLIP_SPEED = 0.03
"""Fastest motion of the cube relative to the hand that counts as not moving in it, metres a second."""
SLIP_TURN = 1.0
"""The same for turning, radians a second."""
LOST = -0.05
"""Below this height above its rest the cube has left the table, metres."""
MAX_YAW = 0.5
"""Largest turn of the cube against the gripper, radians: this arm does not turn its hand."""
HALFWAY = 0.1
"""Distance from tool to cube at which the approach is half done, metres."""
FAR = 2.0
"""Distances are cut off here, metres."""


class Grasp(Task):
    """Take a cube from the table, lift it by 10 cm and hold it.

    **Scene.** The arm beside a table with one cube: edge 4 cm, 0.1 kg.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table, the gripper half open. The
    cube lies anywhere on 20 x 40 cm, turned by up to 29 degrees either way.

    **Success.** The cube is 10 cm above where it lay, both fingers press it with the inside of their pads, and
    it neither slides nor turns in the hand (3 cm/s, 1 rad/s). Throwing it, scooping it up or squeezing it out
    is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.4 for being near, 0.2 for
    holding, 0.4 for the share of the height while holding; -1 once the cube has left the table. ``sparse``: 0 on
    success, else -1.

    **Goal.** Distance from tool to cube (m), height of the cube above its rest (m), and 1 while it is held. The
    desired height and hold are lower limits; the distance is not judged.

    **Version history.** v0: first version.
    """

    name = "grasp"
    features = (
        Feature(
            "gripper/touch", 2, "1", "1 where a finger presses the object, left and right", 0.5, 0.5, 0.5, noisy=False
        ),
        Feature("object/position", 3, "m", "centre of the cube", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature("object/relative", 3, "m", "cube minus tool position", 0.0, 0.1, 2.0),
        Feature("object/rotation", 6, "1", "first two columns of its rotation matrix", 0.0, 1.0, 1.0),
        Feature("object/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
        Feature("object/angular_velocity", 3, "rad/s", "its rate of turn", 0.0, 4.0, 40.0),
    )
    goal_low = (0.0, -2.0, 0.0)
    goal_high = (FAR, 2.0, 1.0)
    movable = ("object",)
    tool_low = (0.4, -0.15, 0.17)
    tool_high = (0.6, 0.15, 0.33)
    place_low = (0.4, -0.2)
    place_high = (0.6, 0.2)

    @override
    def build(self, simulation: Simulation, scale: float) -> None:
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
    def sample(self, rng: np.random.Generator, scale: float) -> Draw:
        tool = self.sample_tool(rng)
        x, y = rng.uniform(self.place_low, self.place_high).tolist()
        half = rng.uniform(-MAX_YAW, MAX_YAW) / 2
        still = (0.0, 0.0, 0.0)
        cube = Motion((x, y, EDGE * scale / 2), (0.0, 0.0, math.sin(half), math.cos(half)), still, still)
        return Draw(tool=tool, desired=(0.0, LIFT, 1.0), objects={"object": cube})

    @override
    def read(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> Reading:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right = robot.touches(body)
        x, y, z = cube.position
        relative = (x - tool.position[0], y - tool.position[1], z - tool.position[2])
        distance = math.hypot(*relative)
        held = left and right and _rests_in_hand(cube, tool, relative)
        values = (
            float(left),
            float(right),
            x,
            y,
            z,
            *relative,
            *rotation_6d(cube.orientation),
            *cube.velocity,
            *cube.angular_velocity,
        )
        rise = min(max(z - body.size[2] / 2, self.goal_low[1]), self.goal_high[1])
        return Reading(values, (min(distance, FAR), rise, float(held)))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_lifted = achieved[..., 1] >= desired[..., 1]
        is_held = achieved[..., 2] >= desired[..., 2]
        return {
            "is_success": is_lifted & is_held,
            "is_lifted": is_lifted,
            "is_held": is_held,
            "is_lost": achieved[..., 1] < LOST,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        distance, rise, held = achieved[..., 0], achieved[..., 1], achieved[..., 2]
        near = HALFWAY / (HALFWAY + distance)
        height = np.minimum(np.maximum(rise / LIFT, 0.0), 1.0)
        is_on_table = rise >= LOST
        progress: npt.NDArray[np.float64] | np.float64 = is_on_table * (0.4 * near + 0.2 * held + 0.4 * held * height)
        return progress


def _rests_in_hand(cube: Motion, tool: ToolState, relative: Vector3) -> bool:
    """Whether the cube moves as if it were one body with the hand."""
    wx, wy, wz = tool.angular_velocity
    rx, ry, rz = relative
    hand = (
        tool.velocity[0] + wy * rz - wz * ry,
        tool.velocity[1] + wz * rx - wx * rz,
        tool.velocity[2] + wx * ry - wy * rx,
    )
    return (
        math.dist(cube.velocity, hand) <= SLIP_SPEED
        and math.dist(cube.angular_velocity, tool.angular_velocity) <= SLIP_TURN
    )

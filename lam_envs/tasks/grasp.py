"""Grasp: take a cube from the table, lift it and hold it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.simulation import Simulation
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import (
    FAR,
    LOST,
    TOUCH,
    clipped,
    distance,
    moves_with_hand,
    nearness,
    object_features,
    object_values,
    resting_at,
    sample_position,
    share,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

EDGE = 0.04
"""Edge of the cube, meters: half the Panda's opening."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
"""Rubber on wood."""
LIFT = 0.10
"""How far the cube must be above where it rested, meters."""
MAX_YAW = 0.5
"""Largest turn of the cube against the gripper, radians: this arm does not turn its hand."""


class Grasp(Task):
    """Take a cube from the table, lift it by 10 cm and hold it.

    **Scene.** The arm beside a table with one cube: edge 4 cm, 0.1 kg.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table, the gripper half open. The
    cube lies anywhere on 20 x 40 cm, turned by up to 29 degrees either way.

    **Actions.** `control="ee"`, `Box(-1, 1, (4,))`:

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    **Observations.** `obs="state"`, `robot="panda"`, `Box((32,))`; each number is (value - center) / scale:

    | feature | slice | unit | center | scale | observed range | meaning |
    |---|---|---|---|---|---|---|
    | `tool/position` | 0:3 | m | 0.5, 0, 0.2 | 0.2 | -5 to 5 | point between the fingertips |
    | `tool/velocity` | 3:6 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `tool/lag` | 6:9 | m | 0 | 0.02 | -10 to 10 | commanded position minus position |
    | `gripper/width` | 9:10 | m | 0.04 | 0.04 | -4 to 4 | opening between the fingers |
    | `gripper/target` | 10:11 | m | 0.04 | 0.04 | -2 to 2 | commanded opening |
    | `gripper/velocity` | 11:12 | m/s | 0 | 0.2 | -10 to 10 | speed of the opening |
    | `gripper/touch` | 12:14 | 1 | 0.5 | 0.5 | -1 to 1 | 1 where a finger presses it, left and right |
    | `object/position` | 14:17 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | center of the cube |
    | `object/relative` | 17:20 | m | 0 | 0.1 | -20 to 20 | cube minus tool position |
    | `object/rotation` | 20:26 | 1 | 0 | 1 | -1 to 1 | first two columns of its rotation |
    | `object/velocity` | 26:29 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `object/angular_velocity` | 29:32 | rad/s | 0 | 4 | -10 to 10 | its rate of turn |

    **Success.** The cube is 10 cm above where it lay, both fingers press it with the inside of their pads, and
    it neither slides nor turns in the hand (3 cm/s, 1 rad/s). Throwing it, scooping it up or squeezing it out
    is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.4 for being near, 0.2 for
    holding, 0.4 for the share of the height while holding; -1 once the cube has left the table. ``sparse``: 0 on
    success, else -1.

    **Goal.** Distance from tool to cube (m), height of the cube above its rest (m), and 1 while it is held. The
    desired height and hold are lower limits; the distance is not judged.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "grasp"
    version = 1
    features = (TOUCH, *object_features("cube"))
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        place = sample_position(rng, self.spawn_low, self.spawn_high)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        cube = resting_at(*place, EDGE * scale / 2, yaw)
        return InitialState(tool_position=tool, desired_goal=(0.0, LIFT, 1.0), objects={"object": cube})

    @override
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right, _ = robot.touch(body)
        held = left and right and moves_with_hand(cube, tool)
        achieved = (distance(cube.position, tool.position), cube.position[2] - body.size[2] / 2, float(held))
        values = (float(left), float(right), *object_values(cube, tool))
        return TaskObservation(values, clipped(achieved, self.goal_low, self.goal_high))

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
        rise, held = achieved[..., 1], achieved[..., 2]
        near = nearness(achieved[..., 0])
        height = share(rise / LIFT)
        is_on_table = rise >= LOST
        progress: npt.NDArray[np.float64] | np.float64 = is_on_table * (0.4 * near + 0.2 * held + 0.4 * held * height)
        return progress

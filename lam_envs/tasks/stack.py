"""Stack: put one cube on another and let go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import (
    FAR,
    FAST,
    LOST,
    STILL_SPEED,
    TOUCH,
    clipped,
    difference,
    distance,
    length,
    nearness,
    object_features,
    object_values,
    resting_at,
    sample_position,
    speed,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

EDGE = 0.04
"""Edge of both cubes, meters."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
ALIGNED = 0.015
"""Largest sideways distance between the cubes' centers that counts, meters: well on the lower cube."""
RESTING = 0.005
"""Largest distance of the upper cube's height from lying flat on the lower one that counts, meters."""
MIN_DISTANCE = 0.10
"""The cubes start at least this far from each other, meters: room for the open fingers."""
MAX_YAW = 0.5
"""Largest turn of a cube against the gripper, radians."""


class Stack(Task):
    """Put the red cube on the blue one and let go.

    **Scene.** The arm beside a table with two cubes: edge 4 cm, 0.1 kg each.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table, the gripper half open. The
    cubes lie anywhere on 20 x 40 cm, at least 10 cm apart, turned by up to 29 degrees either way.

    **Actions.** `control="ee"`, `Box(-1, 1, (4,))`:

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    **Observations.** `obs="state"`, `robot="panda"`, `Box((53,))`; each number is (value - center) / scale:

    | feature | slice | unit | center | scale | observed range | meaning |
    |---|---|---|---|---|---|---|
    | `tool/position` | 0:3 | m | 0.5, 0, 0.2 | 0.2 | -5 to 5 | point between the fingertips |
    | `tool/velocity` | 3:6 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `tool/lag` | 6:9 | m | 0 | 0.02 | -10 to 10 | commanded position minus position |
    | `gripper/width` | 9:10 | m | 0.04 | 0.04 | -4 to 4 | opening between the fingers |
    | `gripper/target` | 10:11 | m | 0.04 | 0.04 | -2 to 2 | commanded opening |
    | `gripper/velocity` | 11:12 | m/s | 0 | 0.2 | -10 to 10 | speed of the opening |
    | `gripper/touch` | 12:14 | 1 | 0.5 | 0.5 | -1 to 1 | 1 where a finger presses it, left and right |
    | `object/position` | 14:17 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | center of the red cube |
    | `object/relative` | 17:20 | m | 0 | 0.1 | -20 to 20 | red cube minus tool position |
    | `object/rotation` | 20:26 | 1 | 0 | 1 | -1 to 1 | first two columns of its rotation |
    | `object/velocity` | 26:29 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `object/angular_velocity` | 29:32 | rad/s | 0 | 4 | -10 to 10 | its rate of turn |
    | `base/position` | 32:35 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | center of the blue cube |
    | `base/relative` | 35:38 | m | 0 | 0.1 | -20 to 20 | blue cube minus tool position |
    | `base/rotation` | 38:44 | 1 | 0 | 1 | -1 to 1 | first two columns of its rotation |
    | `base/velocity` | 44:47 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `base/angular_velocity` | 47:50 | rad/s | 0 | 4 | -10 to 10 | its rate of turn |
    | `goal/relative` | 50:53 | m | 0 | 0.1 | -20 to 20 | place on the blue cube minus red cube |

    **Success.** The red cube lies on the blue one: its center at most 1.5 cm to the side and within 5 mm of the
    height of lying flat on it, the robot touches neither, and both are slower than 3 cm/s. Holding it there, dropping
    it there in passing, or a tower that falls again is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.3 for the tool being near the red
    cube and 0.6 for that being near its place on the blue one, 0.1 for having let go there; -1 once a cube has left
    the table. ``sparse``: 0 on success, else -1.

    **Goal.** Center of the red cube minus that of the blue one (3, m), the speed of the faster of them (m/s), 1 while
    the robot touches neither, 1 while neither has left the table, and the distance from the tool to the red one (m).
    The desired speed is an upper limit, the flags are lower limits; the distance is not judged.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "stack"
    version = 1
    features = (
        TOUCH,
        *object_features("red cube"),
        *object_features("blue cube", "base"),
        Feature("goal/relative", 3, "m", "place on the blue cube minus red cube", 0.0, 0.1, 2.0),
    )
    goal_low = (-FAR, -FAR, -FAR, 0.0, 0.0, 0.0, 0.0)
    goal_high = (FAR, FAR, FAR, FAST, 1.0, 1.0, FAR)
    movable_objects = ("object", "base")
    spawn_low = (0.4, -0.2)
    spawn_high = (0.6, 0.2)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        edge = EDGE * scale
        for name, y, color in (("object", -0.1, (0.85, 0.2, 0.15)), ("base", 0.1, (0.15, 0.35, 0.85))):
            simulation.add_box(
                name,
                size=(edge, edge, edge),
                position=(0.5, y, edge / 2),
                mass=MASS,
                friction=FRICTION,
                color=color,
            )

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        red = sample_position(rng, self.spawn_low, self.spawn_high)
        blue = sample_position(rng, self.spawn_low, self.spawn_high, [red], MIN_DISTANCE)
        yaws = rng.uniform(-MAX_YAW, MAX_YAW, size=2).tolist()
        edge = EDGE * scale
        return InitialState(
            tool_position=tool,
            desired_goal=(0.0, 0.0, edge, STILL_SPEED, 1.0, 1.0, 0.0),
            objects={"object": resting_at(*red, edge / 2, yaws[0]), "base": resting_at(*blue, edge / 2, yaws[1])},
        )

    @override
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        body, under = simulation.bodies["object"], simulation.bodies["base"]
        red, blue = body.motion(), under.motion()
        left, right, anywhere = robot.touch(body)
        x, y, z = difference(red.position, blue.position)
        dx, dy, dz = desired[:3].tolist()
        values = (
            float(left),
            float(right),
            *object_values(red, tool),
            *object_values(blue, tool),
            dx - x,
            dy - y,
            dz - z,
        )
        achieved = (
            x,
            y,
            z,
            max(speed(red), speed(blue)),
            float(not anywhere and not robot.touch(under).anywhere),
            float(min(red.position[2], blue.position[2]) >= LOST),
            distance(red.position, tool.position),
        )
        return TaskObservation(values, clipped(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        way = achieved - desired
        is_aligned = length(way, 0, 1) <= ALIGNED
        is_on_top = abs(way[..., 2]) <= RESTING
        is_still = achieved[..., 3] <= desired[..., 3]
        is_released = achieved[..., 4] >= desired[..., 4]
        is_kept = achieved[..., 5] >= desired[..., 5]
        return {
            "is_success": is_aligned & is_on_top & is_still & is_released & is_kept,
            "is_aligned": is_aligned,
            "is_on_top": is_on_top,
            "is_still": is_still,
            "is_released": is_released,
            "is_lost": achieved[..., 5] < desired[..., 5],
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        way = achieved - desired
        is_there = (length(way, 0, 1) <= ALIGNED) & (abs(way[..., 2]) <= RESTING)
        let_go = is_there & (achieved[..., 4] >= desired[..., 4])
        near: Any = 0.3 * nearness(achieved[..., 6]) + 0.6 * nearness(length(way, 0, 1, 2)) + 0.1 * let_go
        progress: npt.NDArray[np.float64] | np.float64 = (achieved[..., 5] >= desired[..., 5]) * near
        return progress

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        place = features["base/position"] + np.asarray(desired[:3], dtype=np.float64)
        return {"goal/relative": place - features["object/position"]}

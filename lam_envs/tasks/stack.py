"""Stack: put one cube on another and let go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Features, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import (
    FAR,
    FAST,
    LOST,
    STILL_SPEED,
    TOUCH,
    clip,
    difference,
    distance,
    nearness,
    norm,
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
"""Largest horizontal distance between the centers of the cubes that counts as aligned, meters."""
RESTING = 0.005
"""Largest difference of the upper cube's height from that of lying flat on the lower one, meters."""
MIN_DISTANCE = 0.10
"""Smallest initial distance between the cubes, meters: the open fingers fit between them."""
MAX_YAW = 0.5
"""Largest yaw of a cube relative to the gripper, radians."""


class Stack(Task):
    """Place the red cube on the blue one and release it.

    **Task.** Place the red cube on the blue one and release it. Both cubes have an edge of 4 cm and 0.1 kg.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - cubes: positions in 20 x 40 cm on the table, at least 10 cm from each other, yaw up to 29 degrees in either
      direction

    **Success.** The red cube lies on the blue one: its center is at most 1.5 cm to the side and within 5 mm of the
    height of lying flat on it, the robot touches neither of them, and both are slower than 3 cm/s. Holding it there,
    dropping it there in passing, or a stack that falls afterwards is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.3 for the distance from the
    tool to the red cube, 0.6 for the distance from the red cube to its position on the blue one, and 0.1 for
    releasing it there; -1 after a cube has left the table. `sparse`: 0 on success, else -1.

    **Goal.** Center of the red cube minus that of the blue one (3, m), the speed of the faster one (m/s), 1 while the
    robot touches neither, 1 while neither has left the table, and the distance from the tool to the red cube (m). The
    desired speed is an upper limit, the flags are lower limits; the distance does not count.

    **Version history.** v0: first version.
    """

    name = "stack"
    version = 1
    features = (
        TOUCH,
        *object_features("red cube"),
        *object_features("blue cube", "base"),
        Feature("goal/relative", 3, "m", "position on the blue cube minus red cube", 0.0, 0.1, 2.0),
    )
    instructions = Instructions(
        train=(
            "stack the red cube on the blue cube",
            "put the red cube on the blue cube",
            "place the red cube on top of the blue cube",
            "pick up the red cube and place it on the blue one",
            "set the red cube on the blue cube and release it",
            "put the red one on top of the blue one",
        ),
        held_out=(
            "build a tower with scarlet above azure",
            "pile the red block onto the navy block",
            "balance the crimson box atop the blue box",
        ),
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
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
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body, base = simulation.bodies["object"], simulation.bodies["base"]
        red, blue = body.motion(), base.motion()
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
            float(not anywhere and not robot.touch(base).anywhere),
            float(min(red.position[2], blue.position[2]) >= LOST),
            distance(red.position, tool.position),
        )
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        offset = achieved - desired
        is_aligned = norm(offset, 0, 1) <= ALIGNED
        is_on_top = abs(offset[..., 2]) <= RESTING
        is_still = achieved[..., 3] <= desired[..., 3]
        is_released = achieved[..., 4] >= desired[..., 4]
        is_on_table = achieved[..., 5] >= desired[..., 5]
        return {
            "is_success": is_aligned & is_on_top & is_still & is_released & is_on_table,
            "is_aligned": is_aligned,
            "is_on_top": is_on_top,
            "is_still": is_still,
            "is_released": is_released,
            "is_lost": achieved[..., 5] < desired[..., 5],
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        offset = achieved - desired
        is_at_goal = (norm(offset, 0, 1) <= ALIGNED) & (abs(offset[..., 2]) <= RESTING)
        is_released = is_at_goal & (achieved[..., 4] >= desired[..., 4])
        near: Any = 0.3 * nearness(achieved[..., 6]) + 0.6 * nearness(norm(offset, 0, 1, 2)) + 0.1 * is_released
        progress: npt.NDArray[np.float64] | np.float64 = (achieved[..., 5] >= desired[..., 5]) * near
        return progress

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = features["base/position"] + np.asarray(desired[:3], dtype=np.float64)
        return {"goal/relative": position - features["object/position"]}

"""Push: push a slab along the table to a goal."""

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
    clip,
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

EDGE = 0.09
"""Edge of the square slab, meters: wider than all grippers, so it can only be pushed. With
``randomize="physics"`` the smallest slabs are 8.1 cm wide, and the widest grippers open to 8.4 cm."""
HEIGHT = 0.04
"""Height of the slab, meters."""
MASS = 0.2
"""Kilograms."""
FRICTION = 1.0
MAX_YAW = 0.785
"""Largest yaw of the slab, radians: all orientations of a square."""
TOLERANCE = 0.02
"""Largest horizontal distance from the goal that counts as success, meters."""
FLAT = 0.005
"""Largest distance of the slab's height from its height at rest that counts as lying on the table, meters."""
MIN_GOAL_DISTANCE = 0.1
"""Smallest distance of the goal from the initial position of the slab, meters."""


class Push(Task):
    """Push a slab along the table to a goal, where it stops.

    **Task.** Push a square slab (9 x 9 x 4 cm, 0.2 kg), which is wider than the gripper, to a goal on the table. A
    green disk marks the goal.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - slab: position in 16 x 34 cm on the table, any orientation
    - goal: position in 24 x 44 cm on the table, at least 10 cm from the slab

    **Success.** The slab lies flat on the table, its center is within 2 cm of the goal, and it is slower than 3 cm/s.
    Sliding across the goal is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.2 for the distance from the
    tool to the slab, and 0.8 for the distance from the slab to the goal; -1 after the slab has left the table.
    `sparse`: 0 on success, else -1.

    **Goal.** Position of the slab (3, m), its speed (m/s), and the distance from the tool to the slab (m). The
    desired speed is an upper limit; the distance does not count.

    **Version history.** v0: first version.
    """

    name = "push"
    version = 1
    features = (
        *object_features("slab"),
        Feature("goal/position", 3, "m", "desired position of the slab", (0.5, 0.0, 0.1), 0.2, 2.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus slab", 0.0, 0.1, 2.0),
    )
    instructions = Instructions(
        train=(
            "push the red slab to the green disk",
            "push the red slab onto the green spot",
            "move the red slab to the green disk by pushing it",
            "slide the red slab to the green disk",
            "push the slab until it is on the green disk",
            "bring the red slab to the green spot",
        ),
        held_out=(
            "drive the crimson tile over the green circle",
            "nudge the big red plate onto its target",
            "get the red square to cover the green mark",
        ),
    )
    goal_low = (-FAR, -FAR, -FAR, 0.0, 0.0)
    goal_high = (FAR, FAR, FAR, FAST, FAR)
    movable_objects = ("object",)
    spawn_low = (0.42, -0.17)
    spawn_high = (0.58, 0.17)
    goal_spawn_low = (0.38, -0.22)
    goal_spawn_high = (0.62, 0.22)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        edge, height = EDGE * scale, HEIGHT * scale
        simulation.add_box(
            "object",
            size=(edge, edge, height),
            position=(0.5, 0.0, height / 2),
            mass=MASS,
            friction=FRICTION,
            color=(0.85, 0.2, 0.15),
        )
        simulation.add_marker("goal", size=(0.04, 0.04, 0.002), color=(0.1, 0.75, 0.3, 1.0), shape="cylinder")

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        slab = sample_position(rng, self.spawn_low, self.spawn_high)
        x, y = sample_position(rng, self.goal_spawn_low, self.goal_spawn_high, [slab], MIN_GOAL_DISTANCE)
        z = HEIGHT * scale / 2
        return InitialState(
            tool_position=tool,
            desired_goal=(x, y, z, STILL_SPEED, 0.0),
            objects={"object": resting_at(*slab, z, rng.uniform(-MAX_YAW, MAX_YAW))},
        )

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        slab = simulation.bodies["object"].motion()
        gx, gy, gz = desired[:3].tolist()
        x, y, z = slab.position
        values = (*object_values(slab, tool), gx, gy, gz, gx - x, gy - y, gz - z)
        achieved = (x, y, z, speed(slab), distance(slab.position, tool.position))
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        offset = achieved - desired
        is_close = norm(offset, 0, 1) <= TOLERANCE
        is_flat = abs(offset[..., 2]) <= FLAT
        is_still = achieved[..., 3] <= desired[..., 3]
        return {
            "is_success": is_close & is_flat & is_still,
            "is_close": is_close,
            "is_flat": is_flat,
            "is_still": is_still,
            "is_lost": offset[..., 2] < LOST,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        offset = achieved - desired
        near: Any = 0.2 * nearness(achieved[..., 4]) + 0.8 * nearness(norm(offset, 0, 1, 2))
        progress: npt.NDArray[np.float64] | np.float64 = (offset[..., 2] >= LOST) * near
        return progress

    @override
    def update_markers(self, simulation: Simulation, desired: Goals) -> None:
        x, y = desired[:2].tolist()
        simulation.bodies["goal"].marker_position = (x, y, 0.001)

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = np.asarray(desired[:3], dtype=np.float64)
        return {"goal/position": position, "goal/relative": position - features["object/position"]}

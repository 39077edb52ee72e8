"""Push: shove a slab along the table to a goal."""

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
    clipped,
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

EDGE = 0.09
"""Of the square slab, meters: more than any of the grippers opens, so it can only be pushed."""
HEIGHT = 0.04
"""Of the slab, meters."""
MASS = 0.2
"""Kilograms."""
FRICTION = 1.0
MAX_YAW = 0.785
"""Largest turn of the slab, radians: every way that a square can lie."""
TOLERANCE = 0.02
"""Largest distance from the goal that counts, meters."""
FLAT = 0.005
"""Largest distance of the slab's height from its height at rest that counts as lying on the table, meters."""
MIN_GOAL_DISTANCE = 0.1
"""The goal is at least this far from the slab's start, meters."""


class Push(Task):
    """Push a slab along the table to a goal, where it stays.

    **Scene.** The arm beside a table with one square slab: 9 x 9 x 4 cm, 0.2 kg, too wide for the gripper. A green
    disk shows the goal.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table, the gripper half open. The
    slab lies anywhere on 16 x 34 cm, turned in any way; the goal is anywhere on 24 x 44 cm, at least 10 cm from it.

    **Actions.** `control="ee"`, `Box(-1, 1, (4,))`:

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    **Observations.** `obs="state"`, `robot="panda"`, `Box((36,))`; each number is (value - center) / scale:

    | feature | slice | unit | center | scale | observed range | meaning |
    |---|---|---|---|---|---|---|
    | `tool/position` | 0:3 | m | 0.5, 0, 0.2 | 0.2 | -5 to 5 | point between the fingertips |
    | `tool/velocity` | 3:6 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `tool/lag` | 6:9 | m | 0 | 0.02 | -10 to 10 | commanded position minus position |
    | `gripper/width` | 9:10 | m | 0.04 | 0.04 | -4 to 4 | opening between the fingers |
    | `gripper/target` | 10:11 | m | 0.04 | 0.04 | -2 to 2 | commanded opening |
    | `gripper/velocity` | 11:12 | m/s | 0 | 0.2 | -10 to 10 | speed of the opening |
    | `object/position` | 12:15 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | center of the slab |
    | `object/relative` | 15:18 | m | 0 | 0.1 | -20 to 20 | slab minus tool position |
    | `object/rotation` | 18:24 | 1 | 0 | 1 | -1 to 1 | first two columns of its rotation |
    | `object/velocity` | 24:27 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `object/angular_velocity` | 27:30 | rad/s | 0 | 4 | -10 to 10 | its rate of turn |
    | `goal/position` | 30:33 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | where the slab should be |
    | `goal/relative` | 33:36 | m | 0 | 0.1 | -20 to 20 | goal minus slab |

    **Success.** The slab lies flat on the table, its center within 2 cm of the goal, slower than 3 cm/s. Sliding
    across the goal is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.2 for the tool being near the slab
    and 0.8 for the slab being near the goal; -1 once the slab has left the table. ``sparse``: 0 on success, else -1.

    **Goal.** Position of the slab (3, m), its speed (m/s), and the distance from the tool to it (m). The desired
    speed is an upper limit; the distance is not judged.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "push"
    version = 1
    features = (
        *object_features("slab"),
        Feature("goal/position", 3, "m", "where the slab should be", (0.5, 0.0, 0.1), 0.2, 2.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus slab", 0.0, 0.1, 2.0),
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
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
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        slab = simulation.bodies["object"].motion()
        gx, gy, gz = desired[:3].tolist()
        x, y, z = slab.position
        values = (*object_values(slab, tool), gx, gy, gz, gx - x, gy - y, gz - z)
        achieved = (x, y, z, speed(slab), distance(slab.position, tool.position))
        return TaskObservation(values, clipped(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        way = achieved - desired
        is_close = length(way, 0, 1) <= TOLERANCE
        is_flat = abs(way[..., 2]) <= FLAT
        is_still = achieved[..., 3] <= desired[..., 3]
        return {
            "is_success": is_close & is_flat & is_still,
            "is_close": is_close,
            "is_flat": is_flat,
            "is_still": is_still,
            "is_lost": way[..., 2] < LOST,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        way = achieved - desired
        near: Any = 0.2 * nearness(achieved[..., 4]) + 0.8 * nearness(length(way, 0, 1, 2))
        progress: npt.NDArray[np.float64] | np.float64 = (way[..., 2] >= LOST) * near
        return progress

    @override
    def update_markers(self, simulation: Simulation, desired: Goals) -> None:
        x, y = desired[:2].tolist()
        simulation.bodies["goal"].marker_position = (x, y, 0.001)

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = np.asarray(desired[:3], dtype=np.float64)
        return {"goal/position": position, "goal/relative": position - features["object/position"]}

"""Reach: bring the tool to a point and hold it there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import length, nearness
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

TOLERANCE = 0.02
"""Largest distance from the goal that counts, meters."""
STILL_SPEED = 0.08
"""Largest tool speed that counts as being there and not passing through, meters per second."""
MIN_GOAL_DISTANCE = 0.1
"""The goal is at least this far from the tool's start, meters."""


class Reach(Task):
    """Bring the point between the fingertips to a goal in the air, and stay.

    **Scene.** The arm beside a table; a green ball shows the goal.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table. The goal is anywhere in a
    box of 30 x 50 x 35 cm, at least 10 cm from the tool.

    **Actions.** `control="ee"`, `Box(-1, 1, (4,))`:

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    **Observations.** `obs="state"`, `robot="panda"`, `Box((18,))`; each number is (value - center) / scale:

    | feature | slice | unit | center | scale | observed range | meaning |
    |---|---|---|---|---|---|---|
    | `tool/position` | 0:3 | m | 0.5, 0, 0.2 | 0.2 | -5 to 5 | point between the fingertips |
    | `tool/velocity` | 3:6 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `tool/lag` | 6:9 | m | 0 | 0.02 | -10 to 10 | commanded position minus position |
    | `gripper/width` | 9:10 | m | 0.04 | 0.04 | -4 to 4 | opening between the fingers |
    | `gripper/target` | 10:11 | m | 0.04 | 0.04 | -2 to 2 | commanded opening |
    | `gripper/velocity` | 11:12 | m/s | 0 | 0.2 | -10 to 10 | speed of the opening |
    | `goal/position` | 12:15 | m | 0.5, 0, 0.2 | 0.2 | -5 to 5 | where the tool should be |
    | `goal/relative` | 15:18 | m | 0 | 0.1 | -10 to 10 | goal minus tool position |

    **Success.** The tool is within 2 cm of the goal and slower than 8 cm/s. Flying through is no success.

    **Reward.** ``dense``: 1 on success, else ``0.1 / (0.1 + d) - 1`` with d the distance in meters, so between
    -1 and 0. ``sparse``: 0 on success, else -1.

    **Goal.** Tool position (3, m) and its speed (m/s); the desired speed is an upper limit.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "reach"
    version = 1
    features = (
        Feature("goal/position", 3, "m", "where the tool should be", (0.5, 0.0, 0.2), 0.2, 1.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus tool position", 0.0, 0.1, 1.0),
    )
    goal_low = (-1.0, -1.5, -1.0, 0.0)
    goal_high = (2.0, 1.5, 2.0, 10.0)
    goal_spawn_low = (0.35, -0.25, 0.03)
    goal_spawn_high = (0.65, 0.25, 0.38)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        size = (2 * TOLERANCE, 2 * TOLERANCE, 2 * TOLERANCE)
        simulation.add_marker("goal", size=size, color=(0.1, 0.75, 0.3, 0.7), shape="ball")

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        while True:
            x, y, z = rng.uniform(self.goal_spawn_low, self.goal_spawn_high).tolist()
            if math.dist((x, y, z), tool) >= MIN_GOAL_DISTANCE:
                return InitialState(tool_position=tool, desired_goal=(x, y, z, STILL_SPEED))

    @override
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        x, y, z = tool.position
        vx, vy, vz = tool.velocity
        gx, gy, gz, _ = desired.tolist()
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        return TaskObservation((gx, gy, gz, gx - x, gy - y, gz - z), (x, y, z, min(speed, self.goal_high[3])))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_close = length(achieved - desired, 0, 1, 2) <= TOLERANCE
        is_still = achieved[..., 3] <= desired[..., 3]
        return {"is_success": is_close & is_still, "is_close": is_close, "is_still": is_still}

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        near: npt.NDArray[np.float64] | np.float64 = nearness(length(achieved - desired, 0, 1, 2))
        return near

    @override
    def update_markers(self, simulation: Simulation, desired: Goals) -> None:
        x, y, z, _ = desired.tolist()
        simulation.bodies["goal"].marker_position = (x, y, z)

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = np.asarray(desired[:3], dtype=np.float64)
        return {"goal/position": position, "goal/relative": position - features["tool/position"]}

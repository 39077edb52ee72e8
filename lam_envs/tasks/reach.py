"""Reach: bring the tool to a point and hold it there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Features, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import clip, nearness, norm
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

TOLERANCE = 0.02
"""Largest distance from the goal that counts as success, meters."""
STILL_SPEED = 0.08
"""Largest speed of the tool that counts as being at the goal instead of passing through it, meters per second."""
MIN_GOAL_DISTANCE = 0.1
"""Smallest distance of the goal from the initial position of the tool, meters."""


class Reach(Task):
    """Move the tool, the point between the fingertips, to a goal in the air, and hold it there.

    **Task.** Move the tool to a goal in the air and stop there. A green ball marks the goal.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table
    - goal: in a box of 30 x 50 x 35 cm, at least 10 cm from the tool

    **Success.** The tool is within 2 cm of the goal and slower than 8 cm/s. Passing through the goal is not a
    success.

    **Reward.** `dense`: 1 on success, else `0.1 / (0.1 + d) - 1` with the distance d in meters, which is between -1
    and 0. `sparse`: 0 on success, else -1.

    **Goal.** Position of the tool (3, m) and its speed (m/s). The desired speed is an upper limit.

    **Version history.** v0: first version.
    """

    name = "reach"
    version = 1
    features = (
        Feature("goal/position", 3, "m", "desired position of the tool", (0.5, 0.0, 0.2), 0.2, 1.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus tool position", 0.0, 0.1, 1.0),
    )
    instructions = Instructions(
        train=(
            "reach the green ball",
            "move the gripper to the green ball",
            "go to the green ball and stop there",
            "bring the fingertips to the green ball",
            "move to the green ball",
            "put the tool at the green ball",
        ),
        held_out=(
            "touch the lime sphere",
            "drive your hand up to the green dot",
            "hover where the glowing marble is",
        ),
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        while True:
            x, y, z = rng.uniform(self.goal_spawn_low, self.goal_spawn_high).tolist()
            if math.dist((x, y, z), tool) >= MIN_GOAL_DISTANCE:
                return InitialState(tool_position=tool, desired_goal=(x, y, z, STILL_SPEED))

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        x, y, z = tool.position
        vx, vy, vz = tool.velocity
        gx, gy, gz, _ = desired.tolist()
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        return TaskObservation(
            (gx, gy, gz, gx - x, gy - y, gz - z), clip((x, y, z, speed), self.goal_low, self.goal_high)
        )

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_close = norm(achieved - desired, 0, 1, 2) <= TOLERANCE
        is_still = achieved[..., 3] <= desired[..., 3]
        return {"is_success": is_close & is_still, "is_close": is_close, "is_still": is_still}

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        near: npt.NDArray[np.float64] | np.float64 = nearness(norm(achieved - desired, 0, 1, 2))
        return near

    @override
    def update_markers(self, simulation: Simulation, desired: Goals) -> None:
        x, y, z, _ = desired.tolist()
        simulation.bodies["goal"].marker_position = (x, y, z)

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = np.asarray(desired[:3], dtype=np.float64)
        return {"goal/position": position, "goal/relative": position - features["tool/position"]}

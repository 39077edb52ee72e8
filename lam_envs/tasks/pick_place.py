"""PickPlace: carry a cube to a goal on the table or in the air."""

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
    TOUCH,
    clip,
    distance,
    moves_with_hand,
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
"""Edge of the cube, meters."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
TOLERANCE = 0.02
"""Largest distance from the goal that counts as success, meters."""
FLAT = 0.005
"""Largest distance of the cube's height from its height at rest that counts as lying on the table, meters."""
STILL_SPEED = 0.08
"""Largest speed of the cube that counts as being at the goal instead of passing through it, meters per second."""
AIR_GOAL_FRACTION = 0.5
"""Fraction of goals in the air."""
AIR_LOW, AIR_HIGH = 0.06, 0.22
"""Range of the height of goals in the air above the cube's height at rest, meters."""
MIN_GOAL_DISTANCE = 0.1
"""Smallest horizontal distance of the goal from the initial position of the cube, meters."""
MAX_YAW = 0.5
"""Largest yaw of the cube relative to the gripper, radians."""


class PickPlace(Task):
    """Move a cube to a goal on the table or in the air.

    **Task.** Pick a cube (edge 4 cm, 0.1 kg) and place it at a goal on the table, or hold it at a goal in the air. A
    translucent green cube marks the goal.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - cube: position in 20 x 40 cm on the table, yaw up to 29 degrees in either direction
    - goal: position in 24 x 44 cm, at least 10 cm to the side of the cube; on the table, or 6 to 22 cm above it, with
      equal probability

    **Success.** The center of the cube is within 2 cm of the goal, slower than 8 cm/s, and secure: it lies flat on
    the table, or both fingers press it with the inside of their pads and it neither slides nor turns in the hand (3
    cm/s, 1 rad/s). Throwing it or dropping it through the goal is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.3 for the distance from the
    tool to the cube, and 0.7 for the distance from the cube to the goal; -1 after the cube has left the table.
    `sparse`: 0 on success, else -1.

    **Goal.** Position of the cube (3, m), its speed (m/s), 1 while it is secure, and the distance from the tool to
    the cube (m). The desired speed is an upper limit, and the flag a lower limit; the distance does not count.

    **Version history.** v0: first version.
    """

    name = "pick_place"
    version = 1
    features = (
        TOUCH,
        *object_features("cube"),
        Feature("goal/position", 3, "m", "desired position of the cube", (0.5, 0.0, 0.1), 0.2, 2.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus cube", 0.0, 0.1, 2.0),
    )
    instructions = Instructions(
        train=(
            "move the red cube to the green cube",
            "put the red cube at the green goal",
            "pick up the red cube and bring it to the green cube",
            "carry the red cube to the green goal",
            "take the red cube to the green marker",
            "pick the cube and place it at the green cube",
        ),
        held_out=(
            "transport the scarlet block to the see-through box",
            "deliver the red dice where the green shadow is",
            "shift the red box until it fills the green ghost",
        ),
    )
    goal_low = (-FAR, -FAR, -FAR, 0.0, 0.0, 0.0)
    goal_high = (FAR, FAR, FAR, FAST, 1.0, FAR)
    movable_objects = ("object",)
    spawn_low = (0.4, -0.2)
    spawn_high = (0.6, 0.2)
    goal_spawn_low = (0.38, -0.22)
    goal_spawn_high = (0.62, 0.22)

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
        simulation.add_marker("goal", size=(edge, edge, edge), color=(0.1, 0.75, 0.3, 0.5))

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        position = sample_position(rng, self.spawn_low, self.spawn_high)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        x, y = sample_position(rng, self.goal_spawn_low, self.goal_spawn_high, [position], MIN_GOAL_DISTANCE)
        above, rise = rng.uniform() < AIR_GOAL_FRACTION, rng.uniform(AIR_LOW, AIR_HIGH)
        rest = EDGE * scale / 2
        desired = (x, y, rest + above * rise, STILL_SPEED, 1.0, 0.0)
        return InitialState(
            tool_position=tool, desired_goal=desired, objects={"object": resting_at(*position, rest, yaw)}
        )

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right, _ = robot.touch(body)
        gx, gy, gz = desired[:3].tolist()
        x, y, z = cube.position
        values = (float(left), float(right), *object_values(cube, tool), gx, gy, gz, gx - x, gy - y, gz - z)
        lies_flat = abs(z - body.size[2] / 2) <= FLAT
        secure = lies_flat or (left and right and moves_with_hand(cube, tool))
        achieved = (x, y, z, speed(cube), float(secure), distance(cube.position, tool.position))
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_close = norm(achieved - desired, 0, 1, 2) <= TOLERANCE
        is_still = achieved[..., 3] <= desired[..., 3]
        is_secure = achieved[..., 4] >= desired[..., 4]
        return {
            "is_success": is_close & is_still & is_secure,
            "is_close": is_close,
            "is_still": is_still,
            "is_secure": is_secure,
            "is_lost": achieved[..., 2] < LOST,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        near: Any = 0.3 * nearness(achieved[..., 5]) + 0.7 * nearness(norm(achieved - desired, 0, 1, 2))
        progress: npt.NDArray[np.float64] | np.float64 = (achieved[..., 2] >= LOST) * near
        return progress

    @override
    def update_markers(self, simulation: Simulation, desired: Goals) -> None:
        x, y, z = desired[:3].tolist()
        simulation.bodies["goal"].marker_position = (x, y, z)

    @override
    def goal_features(self, features: Features, desired: Goals) -> Features:
        position = np.asarray(desired[:3], dtype=np.float64)
        return {"goal/position": position, "goal/relative": position - features["object/position"]}

"""PickPlace: carry a cube to a goal on the table or in the air."""

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
    TOUCH,
    clipped,
    distance,
    length,
    moves_with_hand,
    nearness,
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
"""Largest distance from the goal that counts, meters."""
FLAT = 0.005
"""Largest distance of the cube's height from its height at rest that counts as lying on the table, meters."""
STILL_SPEED = 0.08
"""Fastest motion of the cube that counts as being there and not passing through, meters per second."""
IN_THE_AIR = 0.5
"""Share of the goals that are above the table."""
AIR_LOW, AIR_HIGH = 0.06, 0.22
"""How high those are above the cube's rest, meters."""
MIN_GOAL_DISTANCE = 0.1
"""The goal is at least this far from the cube's start, meters on the table's plane."""
MAX_YAW = 0.5
"""Largest turn of the cube against the gripper, radians."""


class PickPlace(Task):
    """Carry a cube to a goal on the table or in the air.

    **Scene.** The arm beside a table with one cube: edge 4 cm, 0.1 kg. A translucent green cube shows the goal.

    **Start.** The tool is anywhere in a box of 20 x 30 x 16 cm, 25 cm above the table, the gripper half open. The
    cube lies anywhere on 20 x 40 cm, turned by up to 29 degrees either way. The goal is on the table (one half) or 6
    to 22 cm above it, anywhere on 24 x 44 cm and at least 10 cm to the side of the cube.

    **Actions.** `control="ee"`, `Box(-1, 1, (4,))`:

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |

    **Observations.** `obs="state"`, `robot="panda"`, `Box((38,))`; each number is (value - center) / scale:

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
    | `goal/position` | 32:35 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | where the cube should be |
    | `goal/relative` | 35:38 | m | 0 | 0.1 | -20 to 20 | goal minus cube |

    **Success.** The cube's center is within 2 cm of the goal, slower than 8 cm/s, and secure: it lies flat on the
    table, or both fingers press it with the inside of their pads and it neither slides nor turns in the hand (3 cm/s,
    1 rad/s). Throwing it or dropping it through the goal is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.3 for the tool being near the cube
    and 0.7 for the cube being near the goal; -1 once the cube has left the table. ``sparse``: 0 on success, else -1.

    **Goal.** Position of the cube (3, m), its speed (m/s), 1 while it is secure, and the distance from the tool to it
    (m). The desired speed is an upper and security a lower limit; the distance is not judged.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "pick_place"
    version = 1
    features = (
        TOUCH,
        *object_features("cube"),
        Feature("goal/position", 3, "m", "where the cube should be", (0.5, 0.0, 0.1), 0.2, 2.0, noisy=False),
        Feature("goal/relative", 3, "m", "goal minus cube", 0.0, 0.1, 2.0),
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        place = sample_position(rng, self.spawn_low, self.spawn_high)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        x, y = sample_position(rng, self.goal_spawn_low, self.goal_spawn_high, [place], MIN_GOAL_DISTANCE)
        above, rise = rng.uniform() < IN_THE_AIR, rng.uniform(AIR_LOW, AIR_HIGH)
        rest = EDGE * scale / 2
        desired = (x, y, rest + above * rise, STILL_SPEED, 1.0, 0.0)
        return InitialState(
            tool_position=tool, desired_goal=desired, objects={"object": resting_at(*place, rest, yaw)}
        )

    @override
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        body = simulation.bodies["object"]
        cube = body.motion()
        left, right, _ = robot.touch(body)
        gx, gy, gz = desired[:3].tolist()
        x, y, z = cube.position
        values = (float(left), float(right), *object_values(cube, tool), gx, gy, gz, gx - x, gy - y, gz - z)
        lies = abs(z - body.size[2] / 2) <= FLAT
        secure = lies or (left and right and moves_with_hand(cube, tool))
        achieved = (x, y, z, speed(cube), float(secure), distance(cube.position, tool.position))
        return TaskObservation(values, clipped(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_close = length(achieved - desired, 0, 1, 2) <= TOLERANCE
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
        near: Any = 0.3 * nearness(achieved[..., 5]) + 0.7 * nearness(length(achieved - desired, 0, 1, 2))
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

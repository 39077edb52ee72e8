"""Insert: put a square peg into a block with a square hole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.bodies import Part
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Feature
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
    share,
    speed,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

WIDTH, HEIGHT = 0.03, 0.08
"""Of the peg, meters; it stands upright."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
CLEARANCE = 0.002
"""The hole is this much wider than the peg, meters: 1 mm on each side."""
MOUTH = 0.042
"""Height of the hole's mouth, meters: how thick the block is."""
FUNNEL = 0.008
"""Width and height of the lead-in around the mouth, meters."""
PLATE = 0.004
"""Thickness of the plates that form it, meters."""
BLOCK = 0.12
"""Edge of the block, meters."""
BLOCK_FRICTION = 0.3
"""Smooth plastic."""
DEPTH = 0.03
"""How deep the peg must be in the hole, meters."""
OFF_AXIS = 0.004
"""Largest distance of the peg's axis from the hole's that counts as inside, meters: it cannot be more in there."""
UPRIGHT = 0.99
"""Smallest cosine of the peg's tilt that counts as upright: 8 degrees."""
MIN_DISTANCE = 0.14
"""Peg and block start at least this far from each other, center to center, meters."""
MAX_YAW = 0.4
"""Largest turn of the peg against the gripper, radians."""


class Insert(Task):
    """Put a square peg into a square hole with 1 mm of clearance on each side.

    **Scene.** The arm beside a table with a peg that stands upright (3 x 3 x 8 cm, 0.1 kg) and a fixed block with a
    vertical hole, 2 mm wider than the peg. The block is built of boxes: four walls, and four slanted plates that lead
    in from 8 mm around.

    **Start.** The tool is anywhere in a box of 20 x 30 x 10 cm, 28 cm above the table, the gripper half open. Peg and
    block are anywhere on 16 x 40 cm, at least 14 cm apart, the peg turned by up to 23 degrees either way; the block
    is not turned.

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
    | `object/position` | 14:17 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | center of the peg |
    | `object/relative` | 17:20 | m | 0 | 0.1 | -20 to 20 | peg minus tool position |
    | `object/rotation` | 20:26 | 1 | 0 | 1 | -1 to 1 | first two columns of its rotation |
    | `object/velocity` | 26:29 | m/s | 0 | 0.4 | -10 to 10 | its velocity |
    | `object/angular_velocity` | 29:32 | rad/s | 0 | 4 | -10 to 10 | its rate of turn |
    | `hole/position` | 32:35 | m | 0.5, 0, 0.1 | 0.2 | -10 to 10 | middle of the hole's mouth |
    | `hole/relative` | 35:38 | m | 0 | 0.1 | -20 to 20 | mouth minus the middle of the peg's foot |

    **Success.** The peg is upright in the hole, at least 3 cm deep, and slower than 3 cm/s. Standing on the block,
    leaning on it or passing by is no success.

    **Reward.** ``dense``: 1 on success, else progress - 1, so between -1 and 0: 0.3 for the tool being near the peg,
    0.4 for the peg's foot being near the mouth of the hole or in it, 0.3 for the share of the depth; -1 once the peg
    has left the table. ``sparse``: 0 on success, else -1.

    **Goal.** The peg's axis minus the hole's (x, y, m), how deep its foot is below the mouth (m), its speed (m/s),
    the cosine of its tilt, and the distance from the tool to it (m). The desired depth and cosine are lower limits,
    the desired speed is an upper one; the distance is not judged.

    **Randomization.** `randomize="none"`; besides there are `physics`, `visual`, `full` and ranges of one's own.

    **Version history.** v0: first version.
    """

    name = "insert"
    version = 1
    features = (
        TOUCH,
        *object_features("peg"),
        Feature("hole/position", 3, "m", "middle of the hole's mouth", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature("hole/relative", 3, "m", "mouth minus the middle of the peg's foot", 0.0, 0.1, 2.0),
    )
    goal_low = (-FAR, -FAR, -FAR, 0.0, -1.0, 0.0)
    goal_high = (FAR, FAR, FAR, FAST, 1.0, FAR)
    movable_objects = ("object", "block")
    tool_low = (0.4, -0.15, 0.23)
    spawn_low = (0.42, -0.2)
    spawn_high = (0.58, 0.2)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        simulation.add_box(
            "object",
            size=(WIDTH * scale, WIDTH * scale, HEIGHT * scale),
            position=(0.5, -0.1, HEIGHT * scale / 2),
            mass=MASS,
            friction=FRICTION,
            color=(0.85, 0.2, 0.15),
        )
        simulation.add_boxes(
            "block",
            block_parts((WIDTH * scale + CLEARANCE) / 2),
            position=(0.5, 0.1, 0.0),
            friction=BLOCK_FRICTION,
            color=(0.25, 0.45, 0.75),
        )

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        tool = self.sample_tool(rng)
        block = sample_position(rng, self.spawn_low, self.spawn_high)
        peg = sample_position(rng, self.spawn_low, self.spawn_high, [block], MIN_DISTANCE)
        yaw = rng.uniform(-MAX_YAW, MAX_YAW)
        return InitialState(
            tool_position=tool,
            desired_goal=(0.0, 0.0, DEPTH, STILL_SPEED, UPRIGHT, 0.0),
            objects={"object": resting_at(*peg, HEIGHT * scale / 2, yaw), "block": resting_at(*block, 0.0)},
        )

    @override
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        body = simulation.bodies["object"]
        peg, block = body.motion(), simulation.bodies["block"].motion()
        left, right, _ = robot.touch(body)
        bx, by, bz = block.position
        mouth = (bx, by, bz + MOUTH)
        qx, qy, qz, qw = peg.orientation
        axis = (2.0 * (qx * qz + qw * qy), 2.0 * (qy * qz - qw * qx), 1.0 - 2.0 * (qx * qx + qy * qy))
        half = body.size[2] / 2
        x, y, z = peg.position
        foot = (x - axis[0] * half, y - axis[1] * half, z - axis[2] * half)
        values = (float(left), float(right), *object_values(peg, tool), *mouth, *difference(mouth, foot))
        achieved = (
            x - bx,
            y - by,
            mouth[2] - foot[2],
            speed(peg),
            axis[2],
            distance(peg.position, tool.position),
        )
        return TaskObservation(values, clipped(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_inside = length(achieved - desired, 0, 1) <= OFF_AXIS
        is_deep = achieved[..., 2] >= desired[..., 2]
        is_still = achieved[..., 3] <= desired[..., 3]
        is_upright = achieved[..., 4] >= desired[..., 4]
        return {
            "is_success": is_inside & is_deep & is_still & is_upright,
            "is_inside": is_inside,
            "is_deep": is_deep,
            "is_still": is_still,
            "is_upright": is_upright,
            "is_lost": achieved[..., 2] > MOUTH - LOST,
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        way = achieved - desired
        aside, depth = length(way, 0, 1), achieved[..., 2]
        is_in: Any = (aside <= OFF_AXIS) & (depth > 0.0)
        # Outside the hole the way leads over its mouth; inside, downwards.
        away = (1.0 - is_in * 1.0) * (aside + abs(depth))
        near: Any = 0.3 * nearness(achieved[..., 5]) + 0.4 * nearness(away) + 0.3 * is_in * share(depth / DEPTH)
        progress: npt.NDArray[np.float64] | np.float64 = (depth <= MOUTH - LOST) * near
        return progress


def block_parts(half: float) -> list[Part]:
    """The block's boxes in the frame of the middle of its foot.

    Args:
        half: Half the width of the hole, meters.
    """
    thick = BLOCK / 2 - half
    middle = half + thick / 2
    parts = [
        Part((thick, BLOCK, MOUTH), (side * middle, 0.0, MOUTH / 2)) for side in (1.0, -1.0)
    ] + [
        Part((2 * half, thick, MOUTH), (0.0, side * middle, MOUTH / 2)) for side in (1.0, -1.0)
    ]  # fmt: skip
    # A plate's upper face rises from the edge of the mouth outwards, at 45 degrees.
    sine = math.sin(math.pi / 4)
    aside = half + FUNNEL / 2 + sine * PLATE / 2
    height = MOUTH + FUNNEL / 2 - sine * PLATE / 2
    size = (FUNNEL / sine, 2 * (half + FUNNEL), PLATE)
    turn, still = math.sin(math.pi / 8), math.cos(math.pi / 8)
    for side in (1.0, -1.0):
        parts.append(Part(size, (side * aside, 0.0, height), (0.0, -side * turn, 0.0, still)))
        parts.append(Part((size[1], size[0], PLATE), (0.0, side * aside, height), (side * turn, 0.0, 0.0, still)))
    return parts

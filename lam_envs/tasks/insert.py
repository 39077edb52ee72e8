"""Insert: put a square peg into a block with a square hole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.bodies import Part
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.objects import (
    FAR,
    FAST,
    LOST,
    STILL_SPEED,
    TOUCH,
    clip,
    clip_unit,
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

WIDTH, HEIGHT = 0.03, 0.08
"""Width and height of the upright peg, meters."""
MASS = 0.1
"""Kilograms."""
FRICTION = 1.0
CLEARANCE = 0.002
"""Difference of the widths of hole and peg, meters: 1 mm on each side."""
MOUTH = 0.042
"""Height of the mouth of the hole, which is the height of the block, meters."""
LEAD_IN = 0.008
"""Width and height of the lead-in around the mouth, meters."""
PLATE = 0.004
"""Thickness of the plates that form the lead-in, meters."""
BLOCK = 0.12
"""Edge of the block, meters."""
BLOCK_FRICTION = 0.3
"""Smooth plastic."""
DEPTH = 0.03
"""Depth of the peg in the hole that counts as success, meters."""
OFF_AXIS = 0.004
"""Largest distance between the axes of peg and hole that counts as inside, meters; inside it cannot be larger."""
UPRIGHT = 0.99
"""Smallest cosine of the peg's tilt that counts as upright: 8 degrees."""
MIN_DISTANCE = 0.14
"""Smallest initial distance between the centers of peg and block, meters."""
MAX_YAW = 0.4
"""Largest yaw of the peg relative to the gripper, radians."""


class Insert(Task):
    """Insert a square peg into a square hole with a clearance of 1 mm on each side.

    **Task.** Insert an upright peg (3 x 3 x 8 cm, 0.1 kg) into the vertical hole of a fixed block, which is 2 mm
    wider than the peg. The block consists of boxes: four walls, and four slanted plates that form a lead-in of 8 mm.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 10 cm, centered 28 cm above the table, with a half-open gripper
    - peg and block: positions in 16 x 40 cm on the table, at least 14 cm from each other
    - yaw of the peg up to 23 degrees in either direction; the block has a fixed orientation

    **Success.** The peg is upright in the hole, at least 3 cm deep, and slower than 3 cm/s. Standing on the block,
    leaning on it or passing by is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.3 for the distance from the
    tool to the peg, 0.4 for the distance from the peg's foot to the mouth of the hole, and 0.3 for the fraction of
    the depth; -1 after the peg has left the table. `sparse`: 0 on success, else -1.

    **Goal.** Axis of the peg minus that of the hole (x, y, m), depth of its foot below the mouth (m), its speed
    (m/s), cosine of its tilt, and the distance from the tool to the peg (m). The desired depth and cosine are lower
    limits, the desired speed is an upper limit; the distance does not count.

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
    instructions = Instructions(
        train=(
            "insert the red peg into the hole",
            "put the red peg into the hole",
            "put the peg in the hole of the blue block",
            "push the red peg down into the hole",
            "place the red peg inside the hole",
            "pick up the peg and insert it into the block",
        ),
        held_out=(
            "plug the scarlet stick into the socket",
            "slot the red pin into the opening",
            "fit the crimson rod into the cavity",
        ),
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
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
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
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
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
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_inside = norm(achieved - desired, 0, 1) <= OFF_AXIS
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
        offset = achieved - desired
        sideways, depth = norm(offset, 0, 1), achieved[..., 2]
        is_in: Any = (sideways <= OFF_AXIS) & (depth > 0.0)
        # Outside of the hole the peg has to go to its mouth; inside, down.
        distance_to_mouth = (1.0 - is_in * 1.0) * (sideways + abs(depth))
        near: Any = (
            0.3 * nearness(achieved[..., 5])
            + 0.4 * nearness(distance_to_mouth)
            + 0.3 * is_in * clip_unit(depth / DEPTH)
        )
        progress: npt.NDArray[np.float64] | np.float64 = (depth <= MOUTH - LOST) * near
        return progress


def block_parts(half: float) -> list[Part]:
    """Return the boxes of the block, relative to the middle of its foot.

    Args:
        half: Half of the width of the hole, meters.
    """
    thick = BLOCK / 2 - half
    middle = half + thick / 2
    parts = [
        Part((thick, BLOCK, MOUTH), (side * middle, 0.0, MOUTH / 2)) for side in (1.0, -1.0)
    ] + [
        Part((2 * half, thick, MOUTH), (0.0, side * middle, MOUTH / 2)) for side in (1.0, -1.0)
    ]  # fmt: skip
    # The upper face of a plate rises outward from the edge of the mouth, at 45 degrees.
    sine = math.sin(math.pi / 4)
    aside = half + LEAD_IN / 2 + sine * PLATE / 2
    height = MOUTH + LEAD_IN / 2 - sine * PLATE / 2
    size = (LEAD_IN / sine, 2 * (half + LEAD_IN), PLATE)
    half_sine, half_cosine = math.sin(math.pi / 8), math.cos(math.pi / 8)
    for side in (1.0, -1.0):
        parts.append(Part(size, (side * aside, 0.0, height), (0.0, -side * half_sine, 0.0, half_cosine)))
        parts.append(
            Part((size[1], size[0], PLATE), (0.0, side * aside, height), (side * half_sine, 0.0, 0.0, half_cosine))
        )
    return parts

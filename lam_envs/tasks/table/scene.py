"""Bodies of Table in a simulation, and where they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

from lam_envs.bullet.articulated import ArticulatedBody
from lam_envs.bullet.bodies import Part
from lam_envs.bullet.simulation import Simulation
from lam_envs.tasks.drawer import OBJECT, add_drawer, upright_yaw
from lam_envs.tasks.objects import LOST
from lam_envs.tasks.table.commands import COLORS, OBJECTS, SLAB, SQUARE
from lam_envs.tasks.table.goals import SQUARE_POSITION
from lam_envs.tasks.table.layout import BIN_FLOOR, BIN_INSIDE, BIN_WALL, EDGE, HEIGHT, SLAB_EDGE, Layout, Thing

MASS, SLAB_MASS, FRICTION = 0.1, 0.2, 1.0
"""Kilograms, and friction coefficient."""
ABSENT_X = 1.5
"""Position along x from which on a cube is parked on the floor, meters."""
BIN_NAME = "bin"


def add_objects(simulation: Simulation, scale: float) -> None:
    """Add cubes, slab, bin, drawer and the white square.

    Args:
        simulation: The simulation.
        scale: Factor on the edges of cubes and slab.
    """
    height = HEIGHT * scale
    for number, name in enumerate(OBJECTS):
        edge = (SLAB_EDGE if name == SLAB else EDGE) * scale
        simulation.add_box(
            name,
            size=(edge, edge, height),
            position=(0.4, 0.1 * number - 0.3, height / 2),
            mass=SLAB_MASS if name == SLAB else MASS,
            friction=FRICTION,
            color=(0.9, 0.5, 0.15) if name == SLAB else COLORS[name.removesuffix("_cube")],
        )
    simulation.add_boxes(BIN_NAME, bin_parts(), position=(0.62, -0.25, 0.0), color=(0.35, 0.38, 0.42))
    add_drawer(simulation, scale)
    mark = simulation.add_marker(SQUARE, size=(0.08, 0.08, 0.001), color=(0.95, 0.95, 0.95, 1.0))
    mark.marker_position = (*SQUARE_POSITION, 0.0005)


def layout_of(simulation: Simulation, names: Iterable[str]) -> Layout:
    """Return where some objects are in a simulation, and bin and drawer."""
    things = {}
    for name in names:
        body = simulation.bodies[name]
        position, (qx, qy, qz, qw), *_ = body.motion()
        if position[0] <= ABSENT_X and position[2] >= LOST:
            yaw = math.atan2(2.0 * (qx * qy + qw * qz), 1.0 - 2.0 * (qy * qy + qz * qz))
            things[name] = Thing(position, yaw, body.size[0] / 2, body.size[2] / 2)
    bx, by, _ = simulation.bodies[BIN_NAME].motion().position
    state = cast(ArticulatedBody, simulation.bodies[OBJECT]).state()
    return Layout(things, (bx, by), (*state.position, upright_yaw(state.orientation)), state.joints[0].position)


def bin_parts() -> list[Part]:
    """Return the floor and the walls of the bin, relative to the middle of its foot."""
    length, width, height = BIN_INSIDE
    wall, floor = BIN_WALL, BIN_FLOOR
    parts = [Part((length + 2 * wall, width + 2 * wall, floor), (0.0, 0.0, floor / 2))]
    for side in (1.0, -1.0):
        parts.append(Part((wall, width + 2 * wall, height), (side * (length + wall) / 2, 0.0, height / 2)))
        parts.append(Part((length, wall, height), (0.0, side * (width + wall) / 2, height / 2)))
    return parts

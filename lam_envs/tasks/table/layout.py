"""Positions of the objects of Table, and their sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lam_envs.bullet.geometry import Vector3
from lam_envs.tasks.drawer import START
from lam_envs.tasks.table.commands import CUBES, SLAB

EDGE, SLAB_EDGE, HEIGHT = 0.04, 0.09, 0.04
"""Edges of a cube and of the slab, and height of both, meters."""
MIN_CUBES = 3
"""Smallest number of cubes of an episode."""
PARKED: Vector3 = (3.2, 1.0, -0.4)
"""Position on the floor, behind the cameras, of the cubes that an episode lacks, meters."""
SPACING, SLAB_SPACING = (0.07, 0.095), (0.095, 0.125)
"""Smallest initial distances along x and y between two cubes, and from the slab, meters: the open fingers fit between
them along y."""
MAX_YAW, SLAB_YAW = 0.5, 0.785
"""Largest initial yaw of cubes and slab, radians."""
SPAWN_LOW, SPAWN_HIGH = (0.34, -0.28), (0.58, 0.05)
"""Initial positions of cubes and slab, meters."""
BIN_LOW, BIN_HIGH = (0.61, -0.27), (0.64, -0.23)
"""Positions of the bin, meters."""
DRAWER_LOW, DRAWER_HIGH = (0.62, 0.27, 0.09, -0.15), (0.66, 0.3, 0.15, 0.15)
"""Bounds of the cabinet: x, y, height of the handle (m), yaw (rad). The open drawer is beside the objects."""
BIN_INSIDE = (0.12, 0.14, 0.042)
"""Length, width and height of the inside of the bin, meters."""
BIN_WALL = 0.005
"""Thickness of its walls, meters."""
BIN_FLOOR = 0.003
"""Thickness of its floor, meters."""


FLAT = 0.01
"""Largest distance from the height at rest of an object that lies on something, meters."""


class Thing(NamedTuple):
    """Cube or slab."""

    position: Vector3
    """Its center, meters."""
    yaw: float
    """Radians; cubes and slab look the same after a quarter turn."""
    half: float
    """Half of its edge, meters."""
    rise: float
    """Half of its height, meters."""

    @property
    def reach(self) -> float:
        """Half of its size along the axes of the world, meters."""
        return self.half * (abs(math.cos(self.yaw)) + abs(math.sin(self.yaw)))

    @property
    def top(self) -> float:
        """Height of its upper face, meters."""
        return self.position[2] + self.rise


@dataclass(frozen=True)
class Layout:
    """Positions of all objects.

    Attributes:
        things: Cubes and slab that the episode has, by name.
        bin: Center of the bin on the table, meters.
        cabinet: Position of the cabinet, meters, and its yaw, radians.
        opening: Opening of the drawer, meters.
    """

    things: Mapping[str, Thing]
    bin: tuple[float, float]
    cabinet: tuple[float, float, float, float]
    opening: float

    def in_drawer(self, position: Vector3) -> Vector3:
        """Return a position in the frame of the drawer, meters."""
        x, y, z, yaw = self.cabinet
        dx, dy = position[0] - x, position[1] - y
        cosine, sine = math.cos(yaw), math.sin(yaw)
        return (cosine * dx + sine * dy + self.opening, cosine * dy - sine * dx, position[2] - z)

    def from_drawer(self, position: Vector3) -> Vector3:
        """Return the position of a point in the frame of the drawer, meters."""
        x, y, z, yaw = self.cabinet
        along, across = position[0] - self.opening, position[1]
        cosine, sine = math.cos(yaw), math.sin(yaw)
        return (x + cosine * along - sine * across, y + sine * along + cosine * across, z + position[2])

    def in_bin(self) -> list[str]:
        """Return the names of the objects in the bin."""
        return [
            name
            for name, thing in self.things.items()
            if abs(thing.position[0] - self.bin[0]) < BIN_INSIDE[0] / 2
            and abs(thing.position[1] - self.bin[1]) < BIN_INSIDE[1] / 2
        ]

    def contents(self) -> list[str]:
        """Return the names of the objects in the drawer."""
        found = []
        for name, thing in self.things.items():
            x, y, z = self.in_drawer(thing.position)
            if 0.0 < x < 0.17 and abs(y) < 0.08 and -0.08 < z < 0.06:
                found.append(name)
        return found

    def support(self, name: str) -> float:
        """Return the height of what is under an object: table or another object, meters."""
        thing = self.things[name]
        x, y, z = thing.position
        return max(
            (
                other.top
                for key, other in self.things.items()
                if key != name
                and other.position[2] < z
                and max(abs(other.position[0] - x), abs(other.position[1] - y)) < other.half
            ),
            default=0.0,
        )

    def settled(self) -> Layout:
        """Return the layout after a held object was put down where it is."""
        things = dict(self.things)
        for name, thing in things.items():
            x, y, z = thing.position
            support = self.support(name) + thing.rise
            if z > support + FLAT and name not in (*self.in_bin(), *self.contents()):
                things[name] = thing._replace(position=(x, y, support))
        return replace(self, things=things)


def sample_layout(rng: np.random.Generator, scale: float, cubes: int | None = None) -> Layout:
    """Sample number, colors and positions of the objects, at rest.

    Args:
        rng: Random number generator.
        scale: Factor on the edges of cubes and slab.
        cubes: Number of cubes; by default sampled.
    """
    while True:
        count = int(rng.integers(MIN_CUBES, len(CUBES) + 1)) if cubes is None else cubes
        chosen = [SLAB, *(CUBES[number] for number in rng.permutation(len(CUBES))[:count].tolist())]
        basket = tuple(rng.uniform(BIN_LOW, BIN_HIGH).tolist())
        cabinet = tuple(rng.uniform(DRAWER_LOW, DRAWER_HIGH).tolist())
        opening = float(rng.uniform(*START))
        layout = Layout({}, basket, cabinet, opening)
        for name in chosen:
            if (thing := _sample_thing(rng, layout, name, scale)) is None:
                break
            layout = replace(layout, things={**layout.things, name: thing})
        else:
            order = [name for name in (*CUBES, SLAB) if name in layout.things]
            return replace(layout, things={name: layout.things[name] for name in order})


def _sample_thing(rng: np.random.Generator, layout: Layout, name: str, scale: float) -> Thing | None:
    """Sample the pose of one more object; None if there seems to be no room for it."""
    turn, edge = (SLAB_YAW, SLAB_EDGE) if name == SLAB else (MAX_YAW, EDGE)
    for _ in range(30):
        x, y = rng.uniform(SPAWN_LOW, SPAWN_HIGH).tolist()
        yaw = float(rng.uniform(-turn, turn))
        thing = Thing((x, y, HEIGHT * scale / 2), yaw, edge * scale / 2, HEIGHT * scale / 2)
        if _is_spaced(layout, name, x, y) and not is_near_bin(layout, x, y, thing.reach + 0.02, thing.reach + 0.06):
            return thing
    return None


def _is_spaced(layout: Layout, name: str, x: float, y: float) -> bool:
    for other, thing in layout.things.items():
        along, across = SLAB_SPACING if SLAB in (name, other) else SPACING
        if math.hypot((x - thing.position[0]) / along, (y - thing.position[1]) / across) < 1.0:
            return False
    return True


def is_near_bin(layout: Layout, x: float, y: float, margin_x: float, margin_y: float) -> bool:
    """Return True if a point is within margins of the outside of the bin."""
    return (
        abs(x - layout.bin[0]) < BIN_INSIDE[0] / 2 + BIN_WALL + margin_x
        and abs(y - layout.bin[1]) < BIN_INSIDE[1] / 2 + BIN_WALL + margin_y
    )

"""Where the objects of Table lie: sampling, distances that commands refer to, and commands that are feasible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from lam_envs.bullet.geometry import Vector3
from lam_envs.observation import Command
from lam_envs.tasks.drawer import START, TRAVEL
from lam_envs.tasks.table.commands import (
    BIN,
    CUBES,
    DRAWER,
    LEFT,
    LIFT,
    PUSH,
    SLAB,
    SQUARE,
    STACK,
    names_of,
)

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
SQUARE_POSITION = (0.46, -0.12)
"""Center of the white square, meters."""

BESIDE, SLAB_BESIDE = 0.1, 0.13
"""Distance along y of a cube that is put to the left or right of another one, or of the slab, meters."""
SIDEWAYS, ALONG = 0.04, 0.04
"""Largest distances from that position along x and y, meters."""
GAP = 0.035
"""Largest gap between objects that are next to each other, for parallel faces, meters."""
SHORT = 0.012
"""Distance before the largest gap to which the expert pushes, meters."""
ON_SQUARE = 0.03
"""Largest distance of an object from the center of the white square, meters."""
MAX_IN_BIN, MAX_IN_DRAWER = 3, 2
"""Largest numbers of cubes in bin and drawer: no command adds more."""
INSIDE: Vector3 = (0.087, 0.0, -0.033)
"""Center of a cube in the middle of the drawer, in its frame, meters."""

FINGERS = (0.02, 0.058)
"""Half of the size of the open fingers along x and y, with a margin, meters."""
PALM = (0.045, 0.118)
"""Half of the size of the hand above them, with a margin, meters."""
FINGERTIP, PALM_HEIGHT = 0.012, 0.032
"""Depth of the fingertips below the tool, and height of the hand above it, meters."""
CLOSED_FINGERS = 0.03
"""Radius of the closed fingers, with a margin, meters."""
BEHIND = 0.055
"""Distance behind an object's side at which the closed fingers descend to push it, meters."""
MAX_TURN = 0.65
"""Largest yaw of a cube between two open fingers, radians."""
REACH_LOW, REACH_HIGH = (0.32, -0.31), (0.62, 0.06)
"""Bounds of the positions where the hand can work without touching the open drawer, meters."""
FLAT = 0.01
"""Largest distance from the height at rest of an object that lies on something, meters."""
MIN_PUSH = 0.05
"""Smallest distance that an object has to be pushed, meters."""


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
    """Where everything is.

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


def sample_layout(rng: np.random.Generator, scale: float) -> Layout:
    """Sample number, colors and positions of the objects, at rest.

    Args:
        rng: Random number generator.
        scale: Factor on the edges of cubes and slab.
    """
    while True:
        count = int(rng.integers(MIN_CUBES, len(CUBES) + 1))
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
        if _is_spaced(layout, name, x, y) and not _near_bin(layout, x, y, thing.reach + 0.02, thing.reach + 0.06):
            return thing
    return None


def _is_spaced(layout: Layout, name: str, x: float, y: float) -> bool:
    for other, thing in layout.things.items():
        along, across = SLAB_SPACING if SLAB in (name, other) else SPACING
        if math.hypot((x - thing.position[0]) / along, (y - thing.position[1]) / across) < 1.0:
            return False
    return True


def _near_bin(layout: Layout, x: float, y: float, margin_x: float, margin_y: float) -> bool:
    """Return True if a point is within margins of the outside of the bin."""
    return (
        abs(x - layout.bin[0]) < BIN_INSIDE[0] / 2 + BIN_WALL + margin_x
        and abs(y - layout.bin[1]) < BIN_INSIDE[1] / 2 + BIN_WALL + margin_y
    )


# Positions that commands ask for


def offset(layout: Layout, command: Command) -> Vector3:
    """Return the numbers that the goal of a command refers to, meters.

    They are the height above the height at rest (lift), the position relative to the target (left, right, stack), to
    the bin or to the drawer, the horizontal distance from the target and the height (push), or the opening.
    """
    verb = command[0]
    one, other = names_of(command)
    if one is None:
        return (layout.opening, 0.0, 0.0)
    thing = layout.things[one]
    x, y, z = thing.position
    height = z - thing.rise
    if verb == LIFT:
        return (0.0, 0.0, height)
    if verb == BIN:
        return (x - layout.bin[0], y - layout.bin[1], z)
    if verb == DRAWER:
        return layout.in_drawer(thing.position)
    tx, ty, tz = (*SQUARE_POSITION, 0.0) if other == SQUARE else layout.things[str(other)].position
    if verb == PUSH:
        return (math.hypot(x - tx, y - ty), 0.0, height)
    return (x - tx, y - ty, z - tz if verb == STACK else height)


def push_distance(one: float, other: float) -> float:
    """Return the largest distance between two objects that are next to each other, from halves of edges, meters."""
    return one + other + GAP


def beside(command: Command) -> float:
    """Return the position along y, relative to the target, that ``left`` and ``right`` ask for, meters."""
    distance = SLAB_BESIDE if names_of(command)[1] == SLAB else BESIDE
    return distance if command[0] == LEFT else -distance


def destination(layout: Layout, command: Command) -> Vector3:
    """Return the position to which the expert moves the object of a command, meters."""
    verb = command[0]
    one, other = names_of(command)
    thing = layout.things[str(one)]
    if verb == BIN:
        spots = [(layout.bin[0], layout.bin[1] + shift) for shift in (0.0, 0.04, -0.04)]
        x, y = _freest(spots, [layout.things[name].position for name in layout.in_bin() if name != one])
        return (x, y, BIN_INSIDE[2] + thing.rise)
    if verb == DRAWER:
        inner = [(INSIDE[0], shift) for shift in (0.0, 0.04, -0.04)]
        inside = [layout.in_drawer(layout.things[name].position) for name in layout.contents() if name != one]
        along, across = _freest(inner, inside)
        return layout.from_drawer((along, across, 0.0))
    if verb == PUSH:
        return _push_end(layout, thing, str(other))
    x, y, z = layout.things[str(other)].position
    if verb == STACK:
        return (x, y, layout.things[str(other)].top + thing.rise)
    return (x, y + beside(command), thing.rise)


def _push_end(layout: Layout, thing: Thing, other: str) -> Vector3:
    if other == SQUARE:
        return (*SQUARE_POSITION, thing.rise)
    target = layout.things[other]
    dx, dy = (thing.position[axis] - target.position[axis] for axis in (0, 1))
    away = math.hypot(dx, dy)
    near = min(push_distance(thing.half, target.half) - SHORT, away) / max(away, 1e-6)
    return (target.position[0] + near * dx, target.position[1] + near * dy, thing.rise)


def _freest(spots: list[tuple[float, float]], others: Iterable[Vector3]) -> tuple[float, float]:
    """Return the spot with the largest distance from the nearest other position; the first one if all are free."""
    taken = [other[:2] for other in others]
    return max(spots, key=lambda spot: min((min(math.dist(spot, one), 0.05) for one in taken), default=0.05))


# Feasible commands


def is_feasible(layout: Layout, command: Command) -> bool:
    """Return True if a command can be executed without moving other objects aside."""
    one, other = names_of(command)
    if any(name is not None and name != SQUARE and name not in layout.things for name in (one, other)):
        return False
    layout = layout.settled()
    verb = command[0]
    if one is None:
        return _is_sweep_free(layout)
    if verb == PUSH:
        return _can_push(layout, one, str(other))
    if not _can_grasp(layout, one):
        return False
    if verb == LIFT:
        return True
    if verb == BIN:
        return len(layout.in_bin()) < MAX_IN_BIN
    if verb == DRAWER:
        return len(layout.contents()) < MAX_IN_DRAWER and _is_sweep_free(layout)
    target = layout.things[str(other)]
    if not _lies_free(layout, str(other), ignored=one):
        return False
    end = destination(layout, command)
    if verb == STACK:
        return _hand_fits(layout, end, (one, str(other)))
    room = layout.things[one].reach + 0.005
    return (
        _is_in_reach(end)
        and not _near_bin(layout, end[0], end[1], room + 0.01, room + 0.04)
        and all(
            max(abs(thing.position[0] - end[0]), abs(thing.position[1] - end[1])) >= thing.reach + room
            for name, thing in layout.things.items()
            if name != one
        )
        and _hand_fits(layout, end, (one,))
        and target.position[2] < target.rise + FLAT
    )


def _is_in_reach(position: Vector3, margin: float = 0.0) -> bool:
    return all(
        low - margin <= number <= high + margin
        for number, low, high in zip(position[:2], REACH_LOW, REACH_HIGH, strict=True)
    )


def _is_sweep_free(layout: Layout) -> bool:
    """Return True if no object is in the way of the drawer."""
    inside = layout.contents()
    for name, thing in layout.things.items():
        x, y, _ = layout.in_drawer(thing.position)
        if name not in inside and x > layout.opening - TRAVEL - 0.1 and abs(y) < 0.12 + thing.reach:
            return False
    return True


def _lies_free(layout: Layout, name: str, ignored: str = "") -> bool:
    """Return True if an object lies flat on the table, within reach, and nothing lies on it."""
    thing = layout.things[name]
    return (
        abs(thing.position[2] - thing.rise) <= FLAT
        and _is_in_reach(thing.position)
        and not _is_covered(layout, name, ignored)
        and name not in layout.in_bin()
    )


def _is_covered(layout: Layout, name: str, ignored: str = "") -> bool:
    thing = layout.things[name]
    return any(
        other.position[2] > thing.position[2] + FLAT
        and math.dist(other.position[:2], thing.position[:2]) < thing.half + other.half
        for key, other in layout.things.items()
        if key not in (name, ignored)
    )


def _can_grasp(layout: Layout, name: str) -> bool:
    thing = layout.things[name]
    quarter = math.pi / 2
    yaw = thing.yaw - quarter * round(thing.yaw / quarter)
    lies = thing.position[2] - layout.support(name) - thing.rise
    return (
        abs(yaw) <= MAX_TURN
        and abs(lies) <= FLAT
        and _is_in_reach(thing.position)
        and name not in layout.in_bin()
        and not _is_covered(layout, name)
        and _hand_fits(layout, thing.position, (name,))
    )


def _hand_fits(layout: Layout, position: Vector3, ignored: tuple[str, ...]) -> bool:
    """Return True if the open hand can be at a position without touching objects."""
    x, y, z = position
    for name, thing in layout.things.items():
        if name in ignored or thing.top <= z - FINGERTIP:
            continue
        half_x, half_y = FINGERS if thing.top < z + PALM_HEIGHT else PALM
        dx, dy = abs(thing.position[0] - x), abs(thing.position[1] - y)
        if dx < half_x + thing.reach and dy < half_y + thing.reach:
            return False
    return not _near_bin(layout, x, y, *FINGERS)


def _can_push(layout: Layout, name: str, other: str) -> bool:
    if not _lies_free(layout, name) or (other != SQUARE and not _lies_free(layout, other)):
        return False
    thing = layout.things[name]
    end = _push_end(layout, thing, other)
    x, y, _ = thing.position
    length = math.dist((x, y), end[:2])
    if length < MIN_PUSH or not _is_in_reach(end):
        return False
    ux, uy = (end[0] - x) / length, (end[1] - y) / length
    back = thing.half + BEHIND
    start = (x - back * ux, y - back * uy, 0.0)
    if not _is_in_reach(start, 0.02) or _near_bin(layout, start[0], start[1], CLOSED_FINGERS, CLOSED_FINGERS):
        return False
    others = {key: one for key, one in layout.things.items() if key != name}
    if any(math.dist(one.position[:2], start[:2]) < one.reach + CLOSED_FINGERS for one in others.values()):
        return False
    # The object along its path, and the hand above it.
    for step in range(11):
        px, py = x + step / 10 * length * ux, y + step / 10 * length * uy
        if _near_bin(layout, px, py, thing.reach + 0.01, thing.reach + 0.01):
            return False
        for key, one in others.items():
            dx, dy = abs(one.position[0] - px), abs(one.position[1] - py)
            if key != other and max(dx, dy) < one.reach + thing.reach + 0.01:
                return False
            hand_x, hand_y = abs(one.position[0] - px + back * ux), abs(one.position[1] - py + back * uy)
            if one.top > 0.055 and hand_x < PALM[0] + one.reach and hand_y < PALM[1] + one.reach:
                return False
    return True

"""Positions that the commands of Table ask for."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lam_envs.bullet.geometry import Vector3
from lam_envs.observation import Command
from lam_envs.tasks.drawer import TOLERANCE, TRAVEL
from lam_envs.tasks.table.commands import BIN, DRAWER, LEFT, LIFT, OPEN, PUSH, SLAB, SQUARE, STACK, names_of
from lam_envs.tasks.table.layout import BIN_INSIDE, Layout, Thing

LIFTED = 0.1
"""Height of a cube above its height at rest that counts as lifted, meters."""
FLAT = 0.008
"""Largest distance from the height at rest that counts as lying on the table, meters."""
ALIGNED, RESTING = 0.015, 0.005
"""Largest horizontal and vertical distances of a cube from its place on another one, meters."""
ANY = 1.0
"""Tolerance where a number does not count, meters."""
SQUARE_POSITION = (0.46, -0.12)
"""Center of the white square, meters."""
BESIDE, SLAB_BESIDE = 0.1, 0.13
"""Distance along y of a cube that is put to the left or right of another one, or of the slab, meters."""
SIDEWAYS, ALONG = 0.04, 0.04
"""Largest distances from that position along x and y, meters."""
GAP = 0.035
"""Largest gap between objects that are next to each other, for parallel faces, meters."""
SHORT = 0.012
"""Distance within the largest gap at which a push is assumed to end, meters."""
ON_SQUARE = 0.03
"""Largest distance of an object from the center of the white square, meters."""
INSIDE: Vector3 = (0.087, 0.0, -0.033)
"""Center of a cube in the middle of the drawer, in its frame, meters."""


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
        return push_end(layout, thing, str(other))
    x, y, _ = layout.things[str(other)].position
    if verb == STACK:
        return (x, y, layout.things[str(other)].top + thing.rise)
    return (x, y + beside(command), thing.rise)


def push_end(layout: Layout, thing: Thing, other: str) -> Vector3:
    """Return the position at which a push of an object is assumed to end, meters.

    Args:
        layout: Positions of all objects.
        thing: The pushed object.
        other: Name of the target.
    """
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


def box_of(layout: Layout, command: Command) -> tuple[Vector3, Vector3]:
    """Return center and half of the size of the box in which ``offset`` has to be, meters."""
    verb = command[0]
    one, other = names_of(command)
    if one is None:
        return (TRAVEL if verb == OPEN else 0.0, 0.0, 0.0), (TOLERANCE, ANY, ANY)
    thing = layout.things[one]
    if verb == LIFT:
        return (0.0, 0.0, LIFTED + ANY), (ANY, ANY, ANY)
    if verb == BIN:
        length, width, height = BIN_INSIDE
        return (0.0, 0.0, 0.75 * height), (length / 2 - 0.01, width / 2 - 0.01, 0.75 * height)
    if verb == DRAWER:
        return INSIDE, (0.065, 0.065, 0.03)
    if verb == PUSH:
        target = None if other == SQUARE else layout.things[str(other)]
        most = ON_SQUARE if target is None else push_distance(thing.half, target.half)
        return (0.0, 0.0, 0.0), (most, ANY, FLAT)
    if verb == STACK:
        return (0.0, 0.0, thing.rise + layout.things[str(other)].rise), (ALIGNED, ALIGNED, RESTING)
    return (0.0, beside(command), 0.0), (SIDEWAYS, ALONG, FLAT)


def is_placed(layout: Layout, command: Command) -> bool:
    """Return True if the object of a command is already where the command wants it."""
    center, tolerance = box_of(layout, command)
    numbers = offset(layout, command)
    return all(abs(n - c) <= t for n, c, t in zip(numbers, center, tolerance, strict=True))

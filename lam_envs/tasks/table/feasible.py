"""Commands of Table that can be executed without moving other objects aside."""

from __future__ import annotations

import math

from lam_envs.bullet.geometry import Vector3
from lam_envs.observation import Command
from lam_envs.tasks.drawer import TRAVEL
from lam_envs.tasks.table.commands import BIN, DRAWER, LIFT, PUSH, SQUARE, STACK, names_of
from lam_envs.tasks.table.goals import destination, push_end
from lam_envs.tasks.table.layout import FLAT, Layout, is_near_bin

MAX_IN_BIN, MAX_IN_DRAWER = 3, 2
"""Largest numbers of cubes in bin and drawer: no command adds more."""
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
MIN_PUSH = 0.05
"""Smallest distance that an object has to be pushed, meters."""


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
        and not is_near_bin(layout, end[0], end[1], room + 0.01, room + 0.04)
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
    return not is_near_bin(layout, x, y, *FINGERS)


def _can_push(layout: Layout, name: str, other: str) -> bool:
    if not _lies_free(layout, name) or (other != SQUARE and not _lies_free(layout, other)):
        return False
    thing = layout.things[name]
    end = push_end(layout, thing, other)
    x, y, _ = thing.position
    length = math.dist((x, y), end[:2])
    if length < MIN_PUSH or not _is_in_reach(end):
        return False
    ux, uy = (end[0] - x) / length, (end[1] - y) / length
    back = thing.half + BEHIND
    start = (x - back * ux, y - back * uy, 0.0)
    if not _is_in_reach(start, 0.02) or is_near_bin(layout, start[0], start[1], CLOSED_FINGERS, CLOSED_FINGERS):
        return False
    others = {key: one for key, one in layout.things.items() if key != name}
    if any(math.dist(one.position[:2], start[:2]) < one.reach + CLOSED_FINGERS for one in others.values()):
        return False
    # The object along its path, and the hand above it.
    for step in range(11):
        px, py = x + step / 10 * length * ux, y + step / 10 * length * uy
        if is_near_bin(layout, px, py, thing.reach + 0.01, thing.reach + 0.01):
            return False
        for key, one in others.items():
            dx, dy = abs(one.position[0] - px), abs(one.position[1] - py)
            if key != other and max(dx, dy) < one.reach + thing.reach + 0.01:
                return False
            hand_x, hand_y = abs(one.position[0] - px + back * ux), abs(one.position[1] - py + back * uy)
            if one.top > 0.055 and hand_x < PALM[0] + one.reach and hand_y < PALM[1] + one.reach:
                return False
    return True

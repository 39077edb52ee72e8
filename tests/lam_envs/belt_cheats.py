"""Cheats of Conveyor, see :mod:`tests.lam_envs.cheats`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from demos.experts.conveyor import LEAD_TIME, ConveyorExpert
from demos.experts.moves import CLOSED, OPEN, is_held
from lam_envs import ToolCommand

from .cheats import Look, Point, let_go, rush, stay, thing, tool


def follow(look: Look, off: Point, width: float, steps: int, least: float = 0.0) -> Iterator[ToolCommand]:
    """Move with the cube on the belt, at an offset from it.

    Args:
        look: Function that returns the features of the scene.
        off: Offset from the center of the cube: downstream first, then across, then up, meters.
        width: Opening of the gripper, meters.
        steps: Number of steps.
        least: Distance from the offset that ends it earlier, meters.
    """
    for _ in range(steps):
        features = look()
        x, y, z = thing(features)
        speed = features["object/velocity"][1].item()
        place = (x + off[1], y + math.copysign(off[0], speed), z + off[2])
        yield ToolCommand((place[0], place[1] + speed * LEAD_TIME, place[2]), width)
        if math.dist(tool(look()), place) < least:
            return


def catch(look: Look) -> Iterator[ToolCommand]:
    """Grasp the cube on the belt, as the expert does."""
    while not is_held(look()):
        yield ConveyorExpert().act(look())


def raise_to(look: Look, height: float) -> Iterator[ToolCommand]:
    """Raise the held cube until its center is at a height, meters."""
    while is_held(look()) and thing(look())[2] < height:
        yield from rush(look, (0.0, 0.0, 0.5), CLOSED, 1)


def throw_off(look: Look, height: float = 0.1) -> Iterator[ToolCommand]:
    """Catch it, swing it up, and open the gripper in motion."""
    yield from catch(look)
    while is_held(look()) and thing(look())[2] < height:
        yield from rush(look, (0.0, 0.0, 1.0), CLOSED, 1)
    yield from rush(look, (0.0, 0.0, 1.0), OPEN, 8)


def hold_low(look: Look) -> Iterator[ToolCommand]:
    """Catch it, and hold it 5 cm above the belt."""
    yield from catch(look)
    yield from raise_to(look, 0.09)
    place = tool(look())
    yield from stay(look, lambda _: place, CLOSED)


def drop_back(look: Look) -> Iterator[ToolCommand]:
    """Catch it, lift it by 8 cm, and drop it onto the belt."""
    yield from catch(look)
    yield from raise_to(look, 0.12)
    yield from let_go(look, 20)


def dam(look: Look) -> Iterator[ToolCommand]:
    """Hold the closed hand in its way, so that it stops."""
    yield from follow(look, (0.1, 0.0, 0.1), CLOSED, 40, 0.02)
    x, y, z = thing(look())
    y += math.copysign(0.09, look()["object/velocity"][1].item())
    yield from stay(look, lambda _: (x, y, z), CLOSED)


def ride(look: Look) -> Iterator[ToolCommand]:
    """Move with it, between the open fingers."""
    yield from follow(look, (0.0, 0.0, 0.1), OPEN, 40, 0.015)
    yield from follow(look, (0.0, 0.0, 0.005), OPEN, 100)


def ride_above(look: Look) -> Iterator[ToolCommand]:
    """Move with it at the height of a hand that holds it."""
    yield from follow(look, (0.0, 0.0, 0.1), CLOSED, 100)


def press_on_belt(look: Look) -> Iterator[ToolCommand]:
    """Move with it, and press it onto the belt with the closed hand."""
    yield from follow(look, (0.0, 0.0, 0.1), CLOSED, 40, 0.012)
    # Lower, it wedges the fingers open and holds it.
    yield from follow(look, (0.0, 0.0, 0.015), CLOSED, 100)


def lift_by_one_finger(look: Look) -> Iterator[ToolCommand]:
    """Press one finger against its front, and move up."""
    yield from follow(look, (0.0, 0.0, 0.1), OPEN, 40, 0.015)
    yield from follow(look, (0.0, 0.0, 0.0), OPEN, 12, 0.01)
    y = -math.copysign(1.0, look()["object/velocity"][1].item())
    yield from rush(look, (0.0, y, 0.0), OPEN, 3)
    yield from rush(look, (0.0, 0.5 * y, 1.0), OPEN, 10)

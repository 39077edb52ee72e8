"""Scripted cheats, which look like a success and are none. They use only ``env.step``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import pybullet

from demos.experts.moves import CLOSED, OPEN, is_held, reach_for
from lam_envs import ToolCommand
from lam_envs.observation import Features
from lam_envs.robots.state import UNTOUCHED, Touch

Look = Callable[[], Features]
Cheat = Callable[[Look], Iterator[ToolCommand]]
Point = tuple[float, float, float]

FULL_SPEED = 0.1
"""Distance of a commanded position from the tool at which the tool moves at full speed, meters."""


class Moment(NamedTuple):
    """Result of a step."""

    features: Features
    info: dict[str, Any]
    reward: float
    flies: bool
    """True if nothing touches the object."""
    touch: Touch
    """Contacts of the robot with the object."""


def play(env: gym.Env[Any, Any], seed: int, cheat: Cheat, options: dict[str, Any] | None = None) -> list[Moment]:
    """Run a cheat for an episode. When it ends earlier, the tool keeps its position."""
    inner: Any = env.unwrapped
    env.reset(seed=seed, options=options)
    commands = cheat(inner.features)
    moments: list[Moment] = []
    last: ToolCommand | None = None
    truncated = False
    while not truncated:
        command = next(commands, None)
        if command is None:
            assert last is not None
            command = last
        else:
            x, y, z = inner.features()["tool/position"].tolist()
            last = ToolCommand((x, y, z), command.width, command.yaw)
        action = inner.action_for(command, inner.features())
        _, reward, _, truncated, info = env.step(action)
        robot, body = inner._world.scene().robot, inner.simulation.bodies.get("object")
        if body is None or body.id < 0:
            moments.append(Moment(inner.features(), info, float(reward), False, UNTOUCHED))
            continue
        contacts = pybullet.getContactPoints(body.id, physicsClientId=inner.simulation.client)
        flies = not any(contact[8] <= 0.001 for contact in contacts)
        moments.append(Moment(inner.features(), info, float(reward), flies, robot.touch(body)))
    return moments


# Parts of cheats


def tool(features: Features) -> Point:
    x, y, z = features["tool/position"].tolist()
    return (x, y, z)


def thing(features: Features) -> Point:
    x, y, z = features["object/position"].tolist()
    return (x, y, z)


def goal(features: Features) -> Point:
    """Return the goal of the object; for Grasp, which has none, a point in front of the arm."""
    for name, height in (("goal/position", 0.0), ("hole/position", 0.04), ("base/position", 0.04)):
        if name in features:
            x, y, z = features[name].tolist()
            return (x, y, z + height)
    return (0.7, 0.0, 0.02)


def direction(start: Point, end: Point) -> tuple[float, float]:
    """Return the horizontal unit vector from one position to another."""
    x, y = end[0] - start[0], end[1] - start[1]
    length = math.hypot(x, y)
    return (x / length, y / length)


def go(look: Look, place: Callable[[Features], Point], width: float, steps: int = 40) -> Iterator[ToolCommand]:
    """Move to a position until the tool is there."""
    for _ in range(steps):
        command = ToolCommand(place(look()), width)
        yield command
        if math.dist(tool(look()), command.position) < 0.006:
            return


def stay(look: Look, place: Callable[[Features], Point], width: float) -> Iterator[ToolCommand]:
    """Hold the tool at a position to the end."""
    while True:
        yield ToolCommand(place(look()), width)


def rush(look: Look, direction: Point, width: float, steps: int) -> Iterator[ToolCommand]:
    """Move at full speed."""
    for _ in range(steps):
        x, y, z = tool(look())
        yield ToolCommand(
            (x + FULL_SPEED * direction[0], y + FULL_SPEED * direction[1], z + FULL_SPEED * direction[2]), width
        )


def grip(look: Look, above: float = 0.0) -> Iterator[ToolCommand]:
    """Grasp the object, as the experts do."""
    while not is_held(look()):
        yield reach_for(look(), above=above)


def let_go(look: Look, steps: int = 8) -> Iterator[ToolCommand]:
    """Open the gripper."""
    place = tool(look())
    for _ in range(steps):
        yield ToolCommand(place, OPEN)


def carry_over(look: Look, off: Point) -> Iterator[ToolCommand]:
    """Lift the held object, and move its center to a position relative to the goal, from above."""

    def command(away: Callable[[Features], Point]) -> Callable[[Features], Point]:
        def place(features: Features) -> Point:
            (tx, ty, tz), (x, y, z), (gx, gy, gz) = tool(features), thing(features), away(features)
            return (tx + gx - x, ty + gy - y, tz + gz - z)

        return place

    def end(features: Features) -> Point:
        x, y, z = goal(features)
        return (x + off[0], y + off[1], z + off[2])

    def up(features: Features) -> Point:
        x, y, _ = thing(features)
        return (x, y, end(features)[2] + 0.03)

    def over(features: Features) -> Point:
        x, y, z = end(features)
        return (x, y, z + 0.03)

    for place in (up, over, end):
        yield from go(look, command(place), CLOSED, 30)


def beside(away: Sequence[float], height: float | None = None, above: float = 0.0) -> Callable[[Features], Point]:
    """Return a position beside the object: offset along x and y, and height, or height above its center."""

    def place(features: Features) -> Point:
        x, y, z = thing(features)
        return (x + away[0], y + away[1], z + above if height is None else height)

    return place


# Cheats


def throw(look: Look, above: float = 0.0, height: float = 0.06) -> Iterator[ToolCommand]:
    """Grasp it, swing it up and toward the goal, and open the gripper in motion.

    Args:
        look: Function that returns the features of the scene.
        above: Height above its center at which the gripper holds it, meters.
        height: Height of the object above its initial position when the gripper opens, meters.
    """
    yield from grip(look, above)
    x, y = direction(thing(look()), goal(look()))
    rest = thing(look())[2]
    while is_held(look()) and thing(look())[2] < rest + height:
        yield from rush(look, (0.5 * x, 0.5 * y, 1.0), CLOSED, 1)
    yield from rush(look, (x, y, 0.5), OPEN, 3)
    yield from rush(look, (0.0, 0.0, 1.0), OPEN, 10)


def knock(look: Look) -> Iterator[ToolCommand]:
    """Go down behind it, and push it at full speed far past the goal."""
    x, y = direction(thing(look()), goal(look()))
    far = math.dist(thing(look())[:2], goal(look())[:2])
    yield from go(look, beside((-0.1 * x, -0.1 * y), 0.15), CLOSED, 25)
    yield from go(look, beside((-0.1 * x, -0.1 * y), 0.025), CLOSED, 15)
    yield from rush(look, (x, y, 0.0), CLOSED, int((far + 0.25) / 0.02))
    yield from rush(look, (0.0, 0.0, 1.0), CLOSED, 5)


def squeeze_out(look: Look, away: float = 0.03) -> Iterator[ToolCommand]:
    """Close on the last millimeters of its edge, so that it is ejected, then lift the hand."""
    yield from go(look, beside((-away, 0.0), above=0.1), OPEN, 25)
    yield from go(look, beside((-away, 0.0)), OPEN, 15)
    x, y, z = tool(look())
    for _ in range(6):
        yield ToolCommand((x, y, z), CLOSED)
    yield from stay(look, lambda _: (x, y, 0.16), CLOSED)


def press_down(look: Look) -> Iterator[ToolCommand]:
    """Press it onto the table with the closed hand."""
    yield from go(look, beside((0.0, 0.0), above=0.12), CLOSED, 25)
    yield from rush(look, (0.0, 0.0, -1.0), CLOSED, 100)


def hover(look: Look) -> Iterator[ToolCommand]:
    """Move the empty hand to the goal of the object."""

    def place(features: Features) -> Point:
        x, y, z = goal(features)
        return (x, y, max(z, 0.02))

    yield from go(look, lambda features: (*tool(features)[:2], 0.3), CLOSED, 12)
    yield from stay(look, place, CLOSED)


def hover_above(look: Look) -> Iterator[ToolCommand]:
    """Hold the closed empty hand over the object, at the position of a hand that holds it."""
    yield from stay(look, beside((0.0, 0.0), 0.14), CLOSED)


def outside(look: Look) -> Iterator[ToolCommand]:
    """Press the outside of one finger against its side, and move up."""
    yield from go(look, beside((0.0, 0.06), above=0.12), CLOSED, 25)
    yield from go(look, beside((0.0, 0.06)), CLOSED, 15)
    yield from rush(look, (0.0, -1.0, 0.0), CLOSED, 3)
    yield from rush(look, (0.0, -0.3, 1.0), CLOSED, 10)


def one_finger(look: Look) -> Iterator[ToolCommand]:
    """Press the pad of one finger against its side, and move up."""
    yield from go(look, beside((0.0, 0.0), above=0.12), OPEN, 25)
    yield from go(look, beside((0.0, 0.0)), OPEN, 15)
    yield from rush(look, (0.0, 1.0, 0.0), OPEN, 4)
    yield from rush(look, (0.0, 0.3, 1.0), OPEN, 10)


def scoop(look: Look) -> Iterator[ToolCommand]:
    """Push the closed fingers into its foot at full speed, and lift them, so that it lies on them."""
    yield from go(look, beside((-0.09, 0.0), 0.15), CLOSED, 25)
    yield from go(look, beside((-0.09, 0.0), 0.012), CLOSED, 15)
    yield from rush(look, (1.0, 0.0, 0.0), CLOSED, 4)
    yield from rush(look, (1.0, 0.0, 1.0), CLOSED, 8)


NEARER = 0.005
"""Offset from the middle at which the hand pushes the slab toward the arm, which has a larger reach there."""


def sweep_off(look: Look) -> Iterator[ToolCommand]:
    """Push it over the nearer edge of the table, which only joint control can reach."""
    side = math.copysign(1.0, thing(look())[1])
    height = thing(look())[2]
    yield from go(look, beside((0.0, -0.1 * side), 0.15), CLOSED, 25)
    yield from go(look, beside((0.0, -0.1 * side)), CLOSED, 15)
    yield from stay(
        look, lambda features: (thing(features)[0] + NEARER, tool(features)[1] + side * FULL_SPEED, height), CLOSED
    )


# Cheats of single tasks


def swing_through(look: Look) -> Iterator[ToolCommand]:
    """Move back and forth through the goal of Reach."""
    side = 1.0
    while True:
        x, y, z = goal(look())
        end = (x, min(max(y + side * 0.06, -0.35), 0.35), z)
        yield from go(look, lambda features, end=end: end, CLOSED, 12)  # type: ignore[misc]
        side = -side


def stop_short(look: Look) -> Iterator[ToolCommand]:
    """Hold the tool 3 cm above the goal of Reach."""

    def place(features: Features) -> Point:
        x, y, z = goal(features)
        return (x, y, z + 0.03)

    yield from stay(look, place, CLOSED)


def drop_through(look: Look) -> Iterator[ToolCommand]:
    """Lift the cube beside the goal, hold it 7 cm above, and drop it through the goal."""
    yield from grip(look)
    yield from carry_over(look, (0.0, 0.0, 0.07))
    yield from let_go(look, 20)


def hold_on_top(look: Look) -> Iterator[ToolCommand]:
    """Hold the red cube at its position on the blue one, without releasing it."""
    yield from grip(look)
    yield from carry_over(look, (0.0, 0.0, 0.0))
    yield from stay(look, tool, CLOSED)


def drop_beside(look: Look) -> Iterator[ToolCommand]:
    """Drop the red cube from 10 cm above the blue one, so far to the side that it cannot stay there."""
    yield from grip(look)
    yield from carry_over(look, (0.025, 0.0, 0.1))
    yield from let_go(look, 20)


def hold_over_hole(look: Look) -> Iterator[ToolCommand]:
    """Hold the peg over the mouth of the hole."""
    yield from grip(look, 0.025)
    yield from carry_over(look, (0.0, 0.0, 0.015))
    place = tool(look())
    yield from stay(look, lambda _: place, CLOSED)


def stand_on_block(look: Look) -> Iterator[ToolCommand]:
    """Place the peg on the rim of the block, and leave."""
    yield from grip(look, 0.025)
    yield from carry_over(look, (0.045, 0.0, 0.004))
    yield from let_go(look, 8)
    yield from rush(look, (0.0, 0.0, 1.0), OPEN, 8)


def drop_on_block(look: Look) -> Iterator[ToolCommand]:
    """Drop the peg from 10 cm above the mouth, 1.5 cm beside it."""
    yield from grip(look, 0.025)
    yield from carry_over(look, (0.015, 0.0, 0.1))
    yield from let_go(look, 20)

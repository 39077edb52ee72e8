"""Cheats of Table: each looks like what the command asks for, and is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from demos.experts import COMMAND
from demos.experts.moves import CLOSED, OPEN, is_held
from demos.experts.table import TableExpert
from lam_envs import ToolCommand
from lam_envs.observation import Command, Features
from lam_envs.tasks.table.commands import CUBES, OBJECTS, TARGETS, VERBS, names_of
from lam_envs.tasks.table.goals import SQUARE_POSITION
from tests.lam_envs import cheats
from tests.lam_envs.cheats import Look, Moment, stay, tool

Episode = list[Moment]
EXPERT = TableExpert()
QUANTITIES = ("position", "relative", "rotation", "velocity", "angular_velocity")


def numbers_of(name: str) -> Command:
    """Return the numbers of a command, such as ``"stack red_cube blue_cube"``."""
    verb, one, other = (*name.split(), "", "")[:3]
    return (VERBS.index(verb), OBJECTS.index(one) if one else 0, TARGETS.index(other) if other else 0)


def view(features: Features, command: Command) -> Features:
    """Return features with the command's objects in the roles of those of Grasp, Stack and PickPlace."""
    seen = dict(features)
    one, other = names_of(command)
    for role, name in (("object", one), ("base", other)):
        if name in OBJECTS:
            seen.update({f"{role}/{quantity}": features[f"{name}/{quantity}"] for quantity in QUANTITIES})
    seen["gripper/touch"] = features[f"{one or 'drawer'}/touch"]
    if other == "square":
        seen["goal/position"] = np.array([*SQUARE_POSITION, 0.02])
    elif VERBS[command[0]] == "bin":
        seen["goal/position"] = features["bin/position"] + (0.0, 0.0, 0.025)
    return seen


def as_expert(look: Look, command: Command) -> ToolCommand:
    return EXPERT.act({**look(), COMMAND: np.array(command)})


def grip(look: Look) -> Iterator[ToolCommand]:
    yield from cheats.grip(look)


def freeze(look: Look, width: float = CLOSED) -> Iterator[ToolCommand]:
    place = tool(look())
    yield from stay(look, lambda _: place, width)


def hold_low(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Hold the cube 7 cm above the table."""
    yield from grip(look)
    place = tool(look())
    yield from stay(look, lambda _: (place[0], place[1], 0.09), CLOSED)


def lift_another(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Lift a cube that the instruction does not name."""
    others = [
        number for number, name in enumerate(CUBES) if number != command[1] and look()[f"{name}/present"].item() > 0.5
    ]
    while True:
        yield as_expert(look, (command[0], others[0], 0))


def throw(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Swing the cube up, and open the gripper in motion."""
    yield from cheats.throw(look)


def hold_there(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Bring the cube to its place, and do not release it."""
    while not is_held(look()) or as_expert(look, command).width == CLOSED:
        yield as_expert(look, command)
    yield from freeze(look)


def drop_from_above(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Drop the cube from 10 cm above the other one, so far to the side that it cannot stay there."""
    yield from cheats.drop_beside(look)


def drop_beside_bin(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Put the cube down in front of the bin."""
    yield from grip(look)
    yield from cheats.carry_over(look, (-0.11, 0.0, 0.0))
    yield from cheats.let_go(look, 8)
    yield from cheats.rush(look, (0.0, 0.0, 1.0), OPEN, 5)


def push_past(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Push the object across the square at full speed, and go on."""
    yield from cheats.knock(look)


def hold_handle(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Move the drawer to its end, and keep the handle in the hand."""
    end = 0.155 if VERBS[command[0]] == "open" else 0.005
    while abs(look()["drawer/opening"].item() - end) > 0.02:
        yield as_expert(look, command)
    yield from freeze(look)


def other_side(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Put the cube to the other side."""
    while True:
        yield as_expert(look, (VERBS.index("left") + VERBS.index("right") - command[0], *command[1:]))


def hover(look: Look, command: Command) -> Iterator[ToolCommand]:
    """Hold the closed hand over the cube, at the position of a hand that holds it."""
    yield from cheats.hover_above(look)


# Conditions under which a cheat did what its name says; features are those of the roles


def lacks(condition: str) -> Callable[[Episode, list[Features]], bool]:
    """Return a function that is true if only one condition of success is missing at the end."""

    def shows(episode: Episode, seen: list[Features]) -> bool:
        info = episode[-1].info
        conditions = ("is_placed", "is_still", "is_held", "is_released")
        return [name for name in conditions if not info[name]] == [condition]

    return shows


def rose_alone(episode: Episode, seen: list[Features]) -> bool:
    return any(features[f"{name}/position"][2] > 0.1 for features in seen[-1:] for name in CUBES)


def flew(episode: Episode, seen: list[Features]) -> bool:
    rises = [features["object/position"][2] > 0.06 and features["gripper/touch"].max() < 0.5 for features in seen]
    return any(rises) and any(features["gripper/touch"].min() > 0.5 for features in seen)


def is_held_near(episode: Episode, seen: list[Features]) -> bool:
    features = seen[-1]
    above = features["object/position"] - features["base/position"]
    return bool(features["gripper/touch"].min() > 0.5 and math.dist(above, (0.0, 0.0, 0.04)) < 0.02)


def lies_elsewhere(episode: Episode, seen: list[Features]) -> bool:
    moved = math.dist(seen[0]["object/position"], seen[-1]["object/position"]) > 0.03
    return bool(episode[-1].info["is_still"] and not episode[-1].info["is_placed"] and moved)


def was_fast(episode: Episode, seen: list[Features]) -> bool:
    return max(math.hypot(*features["object/velocity"][:2]) for features in seen) > 0.2


def was_left_alone(episode: Episode, seen: list[Features]) -> bool:
    return math.dist(seen[0]["object/position"], seen[-1]["object/position"]) < 1e-3


class Cheat(NamedTuple):
    command: str
    play: Callable[[Look, Command], Iterator[ToolCommand]]
    shows: Callable[[Episode, list[Features]], bool]


CHEATS = {
    "hold_low": Cheat("lift red_cube", hold_low, lacks("is_placed")),
    "lift_another": Cheat("lift red_cube", lift_another, rose_alone),
    "throw": Cheat("lift red_cube", throw, flew),
    "hover": Cheat("lift red_cube", hover, was_left_alone),
    "hold_on_top": Cheat("stack red_cube blue_cube", hold_there, is_held_near),
    "drop_from_above": Cheat("stack red_cube blue_cube", drop_from_above, flew),
    "hold_beside": Cheat("left red_cube blue_cube", hold_there, lacks("is_released")),
    "other_side": Cheat("left red_cube blue_cube", other_side, lies_elsewhere),
    "drop_beside_bin": Cheat("bin red_cube", drop_beside_bin, lies_elsewhere),
    "push_past": Cheat("push slab square", push_past, was_fast),
    "push_cube_past": Cheat("push red_cube square", push_past, was_fast),
    "hold_open": Cheat("open", hold_handle, lacks("is_released")),
    "hold_closed": Cheat("close", hold_handle, lacks("is_released")),
}

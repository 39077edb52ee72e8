"""Messages of the page that drives the robot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demos.runtime.web.messages import camera_names, one_of, parse_object, shortened, whole_number

GRIPPER = ("toggle", "open", "close")
COMMANDS = (
    "start", "skip", "finish", "keep", "discard", "rewind", "undo", "pause", "resume", "take", "give"
)  # fmt: skip
"""Commands without an argument.

``rewind`` takes back the last second of an episode, ``undo`` the last decision between episodes. One key sends both.
As separate commands, a quick second press after an undo does not rewind the episode that it brought back.
"""


@dataclass(frozen=True)
class Motion:
    """Motion that the person asks for, until the next one.

    Attributes:
        right: Motion to the right in the image of the first camera, from -1 to 1.
        away: Horizontal motion away from the camera, from -1 to 1.
        up: Motion upward, from -1 to 1.
        turn: Counterclockwise turn of the hand, seen from above, from -1 to 1.
        speed: Fraction of the largest speed, from 0 to 1.
    """

    right: float = 0.0
    away: float = 0.0
    up: float = 0.0
    turn: float = 0.0
    speed: float = 1.0

    @property
    def is_still(self) -> bool:
        """True if no motion is asked for."""
        return not any((self.right, self.away, self.up, self.turn))


@dataclass(frozen=True)
class Command:
    """Command of the person.

    Attributes:
        name: One of :data:`COMMANDS`; ``gripper``, ``cameras`` or ``remove``.
        value: What to do with the gripper, names of cameras, or seed of the episode to remove.
    """

    name: str
    value: Any = None


@dataclass(frozen=True)
class Received:
    """Receipt of an image: the page is ready for the next one.

    Attributes:
        motion: Motion that the person asks for.
    """

    motion: Motion


def parse(text: object) -> Motion | Received | Command:
    """Read a message of the page, which need not be trusted.

    Raises:
        ValueError: It is not a JSON object, or has an unknown type or an invalid value.
    """
    message = parse_object(text)
    kind = message.get("type")
    if kind == "motion":
        right, away, up, turn = (_fraction(message, name) for name in ("right", "away", "up", "turn"))
        motion = Motion(right, away, up, turn, _speed(message))
        if message.get("frame") is None:
            return motion
        whole_number(message, "frame")
        return Received(motion)
    if kind == "gripper":
        return Command("gripper", one_of(message, "do", GRIPPER))
    if kind == "cameras":
        return Command("cameras", camera_names(message))
    if kind == "remove":
        return Command("remove", whole_number(message, "seed"))
    if isinstance(kind, str) and kind in COMMANDS:
        return Command(kind)
    raise ValueError(
        f"a message is of type {shortened(kind)}; expected one of motion, gripper, cameras, remove, "
        f"{', '.join(COMMANDS)}"
    )


def _fraction(message: Mapping[str, object], name: str) -> float:
    return min(max(_number(message, name), -1.0), 1.0)


def _speed(message: Mapping[str, object]) -> float:
    return min(max(_number(message, "speed", 1.0), 0.0), 1.0)


def _number(message: Mapping[str, object], name: str, default: float = 0.0) -> float:
    value = message.get(name, default)
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, (int, float)) else float(value)
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name!r} of a message is {shortened(value)}; expected a finite number")
    return number

"""Messages between the page and the server: JSON from the page, JSON and images to it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demos.runtime.types import JsonObject
from lam_envs.bullet.cameras import CAMERAS

MAX_MESSAGE_BYTES = 4096
"""Largest message of a page; the server closes the connection at a larger one."""
MAX_CAMERAS = 4
GRIPPER = ("toggle", "open", "close")
COMMANDS = (
    "start", "skip", "finish", "keep", "discard", "undo", "pause", "resume", "take", "give"
)  # fmt: skip
"""Commands without an argument."""


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
        frame: Number of the image.
        motion: Motion that the person asks for.
    """

    frame: int
    motion: Motion


def parse(text: str) -> Motion | Received | Command:
    """Read a message of the page, which need not be trusted.

    Raises:
        ValueError: It is no JSON object, or has an unknown type or an invalid value.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("a message is no JSON") from None
    if not isinstance(message, dict):
        raise ValueError("a message is no JSON object")
    kind = message.get("type")
    if kind == "motion":
        right, away, up, turn = (_fraction(message, name) for name in ("right", "away", "up", "turn"))
        motion = Motion(right, away, up, turn, _speed(message))
        frame = message.get("frame")
        return motion if frame is None else Received(_whole(message, "frame"), motion)
    if kind == "gripper":
        return Command("gripper", _one_of(message, "do", GRIPPER))
    if kind == "cameras":
        names = message.get("names")
        if (
            not isinstance(names, list)
            or not 1 <= len(names) <= MAX_CAMERAS
            or len(set(map(str, names))) < len(names)
        ):
            raise ValueError(f"'names' of a message is invalid; expected 1 to {MAX_CAMERAS} different cameras")
        return Command("cameras", tuple(_one_of({"names": name}, "names", CAMERAS) for name in names))
    if kind == "remove":
        return Command("remove", _whole(message, "seed"))
    if isinstance(kind, str) and kind in COMMANDS:
        return Command(kind)
    raise ValueError(
        f"a message is of type {shortened(kind)}; expected one of motion, gripper, cameras, remove, "
        f"{', '.join(COMMANDS)}"
    )


def shortened(value: object) -> str:
    """Return a value of a message for an error."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


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


def _whole(message: Mapping[str, object], name: str) -> int:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{name!r} of a message is {shortened(value)}; expected a whole number")
    return value


def _cameras(message: Mapping[str, object]) -> tuple[str, ...]:
    names = message.get("names")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CAMERAS or len(set(map(str, names))) < len(names):
        raise ValueError(f"'names' of a message is invalid; expected 1 to {MAX_CAMERAS} different cameras")
    return tuple(_one_of({"names": name}, "names", CAMERAS) for name in names)


def _one_of(message: Mapping[str, object], name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    value = message.get(name)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name!r} of a message is {shortened(value)}; expected one of {', '.join(known)}")
    return value


def pack(header: JsonObject, images: Sequence[bytes]) -> bytes:
    """Return a message to the page: length and JSON of a header, then length and JPEG of each image.

    Lengths are unsigned big-endian 32-bit integers.
    """
    parts = [json.dumps(header, separators=(",", ":"), allow_nan=False).encode(), *images]
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def unpack(message: bytes) -> tuple[JsonObject, list[bytes]]:
    """Invert :func:`pack`.

    Raises:
        ValueError: The message is incomplete.
    """
    parts = []
    while message:
        if len(message) < 4 or len(message) < 4 + struct.unpack(">I", message[:4])[0]:
            raise ValueError("a message of the server is incomplete")
        end = 4 + struct.unpack(">I", message[:4])[0]
        parts.append(message[4:end])
        message = message[end:]
    header: JsonObject = json.loads(parts[0])
    return header, parts[1:]

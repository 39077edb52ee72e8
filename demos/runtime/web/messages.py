"""Messages between a page and the server: JSON from the page, JSON and images to it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence

from demos.runtime.types import JsonObject
from lam_envs.bullet.cameras import CAMERAS

MAX_MESSAGE_BYTES = 4096
"""Largest message of a page; the server closes the connection at a larger one."""
MAX_CAMERAS = 2
"""Cameras whose images a page can show."""


def parse_object(text: object) -> JsonObject:
    """Read a message of a page, which need not be trusted.

    Raises:
        ValueError: It is not a JSON object.
    """
    if not isinstance(text, str):
        raise ValueError("a message is not text")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("a message is not valid JSON") from None
    if not isinstance(message, dict):
        raise ValueError("a message is not a JSON object")
    return message


def shortened(value: object) -> str:
    """Return a value of a message for an error."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def camera_names(message: Mapping[str, object]) -> tuple[str, ...]:
    """Return the cameras that a message names.

    Raises:
        ValueError: They are no cameras, too many, or not different.
    """
    names = message.get("names")
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CAMERAS or len(set(map(str, names))) < len(names):
        raise ValueError(f"'names' of a message is invalid; expected 1 to {MAX_CAMERAS} different cameras")
    return tuple(one_of({"names": name}, "names", CAMERAS) for name in names)


def one_of(message: Mapping[str, object], name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """Return a value of a message that has to be one of some names.

    Raises:
        ValueError: It is another one.
    """
    value = message.get(name)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name!r} of a message is {shortened(value)}; expected one of {', '.join(known)}")
    return value


def whole_number(message: Mapping[str, object], name: str) -> int:
    """Return a value of a message that has to be a whole number of at least 0.

    Raises:
        ValueError: It is something else.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{name!r} of a message is {shortened(value)}; expected a whole number")
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

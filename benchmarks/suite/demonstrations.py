"""Demonstrations that agents of a suite learn from."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field

from agents.types import JsonObject, Keywords


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations that agents learn from.

    Attributes:
        environment: An id.
        count: Number of episodes, all of which succeed.
        demonstrator: Name of a demonstrator of ``demos``.
        seed: Seed of their collection.
        env: Keywords for ``gym.make``.
        motion: Motion of a person, as JSON, which the demonstrator ``human`` imitates.
    """

    environment: str
    count: int
    demonstrator: str
    seed: int
    env: Keywords = field(default_factory=dict)
    motion: JsonObject | None = None

    @property
    def id(self) -> str:
        """Id of the dataset."""
        parts = [slug(self.environment.removesuffix("-v0"))]
        if self.env:
            parts.append(slug("-".join(f"{name}-{value}" for name, value in sorted(self.env.items()))))
        parts.append(self.demonstrator)
        if self.motion is not None:
            # Several motions may be imitated in one suite.
            parts.append(f"{zlib.crc32(json.dumps(self.motion, sort_keys=True).encode()):08x}")
        return "-".join([*parts, str(self.count), f"seed{self.seed}", "v0"])


def slug(text: str) -> str:
    """Return a text as part of a file name; a checksum stands for what a file name cannot hold."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", text):
        return text
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
    return f"{safe[:50]}-{zlib.crc32(text.encode(errors='backslashreplace')):08x}"

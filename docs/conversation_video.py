"""Record a conversation with an agent ``lam`` for the README. Run by ``make conversation``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from agents.__main__ import app
from docs.images import CONVERSATION

MODEL = "lam/generalist"
"""Pretrained agent of the video."""
ENVIRONMENT = "LamTable-v0"
SEED = 0
"""Seed of the scene, which has no purple cube."""
INSTRUCTIONS = (
    "open the drawer",
    "put the green cube in the bin",
    "lift the purple cube",
    "stack the yellow cube on the blue cube",
)
"""Instructions, one of which names a cube that is not there."""


def record(model: str | Path, out: Path, *more: str) -> None:
    """Write the video.

    Args:
        model: Folder of a saved agent ``lam``, or name of a pretrained one.
        out: File that ends in ``.webp``, ``.gif`` or ``.mp4``.
        more: Further arguments of ``agents talk``.
    """
    said = [part for text in INSTRUCTIONS for part in ("--instruction", text)]
    arguments = [str(model), "--env", ENVIRONMENT, "--seed", str(SEED), *said, "--video", str(out), *more]
    app(["talk", *arguments], standalone_mode=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=MODEL, help="Folder of a saved agent lam, or pretrained agent.")
    parser.add_argument("--out", type=Path, default=CONVERSATION, help="WebP, GIF or MP4 file.")
    given = parser.parse_args(arguments)
    record(given.model, given.out)


if __name__ == "__main__":
    main()

"""Messages of the page on which a person gives instructions."""

from __future__ import annotations

from typing import NamedTuple

from demos.runtime.web.messages import camera_names, parse_object, shortened, whole_number
from lam_envs.observation.instructions import check_instruction

COMMANDS = ("stop", "scene")
"""Commands without an argument: stop the robot, and start a new scene."""


class Command(NamedTuple):
    """Command of the person.

    Attributes:
        name: One of :data:`COMMANDS`; ``instruct``, ``cameras``, or ``received`` for a receipt of an image.
        text: Instruction; empty for other commands.
        cameras: Names of cameras; empty for other commands.
    """

    name: str
    text: str = ""
    cameras: tuple[str, ...] = ()


def parse(text: object) -> Command:
    """Read a message of the page, which need not be trusted.

    Raises:
        ValueError: It is not a JSON object, or has an unknown type or an invalid value.
    """
    message = parse_object(text)
    kind = message.get("type")
    if kind == "instruct":
        given = message.get("text")
        if not isinstance(given, str):
            raise ValueError(f"'text' of a message is {shortened(given)}; expected an instruction")
        return Command("instruct", check_instruction("the instruction", given.strip()))
    if kind == "cameras":
        return Command("cameras", cameras=camera_names(message))
    if kind == "received":
        whole_number(message, "frame")
        return Command("received")
    if isinstance(kind, str) and kind in COMMANDS:
        return Command(kind)
    raise ValueError(
        f"a message is of type {shortened(kind)}; expected one of instruct, cameras, received, {', '.join(COMMANDS)}"
    )

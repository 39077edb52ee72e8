"""Strategies: how a demonstrator approaches objects, such as from the side or from above."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lam_envs import ToolCommand
from lam_envs.observation import Features

NEAR = 0.05
"""Distance from the commanded position within which every strategy moves straight, meters."""


@dataclass(frozen=True)
class Strategy:
    """Path of the tool to the position that an expert commands.

    Near that position it is straight: a strategy changes how objects are approached and carried, not what is done.

    Attributes:
        sideways: Deviation to the left, as a fraction of the remaining distance.
        upward: Deviation upwards, as a fraction of the remaining distance.
        version: Increase it when the strategy changes: its datasets, and results from these, are then outdated.
    """

    sideways: float = 0.0
    upward: float = 0.0
    version: int = 1

    def apply(self, command: ToolCommand, features: Features) -> ToolCommand:
        """Return a command on the strategy's path to the commanded position."""
        x, y, z = command.position
        tool_x, tool_y, _ = features["tool/position"].tolist()
        delta_x, delta_y = x - tool_x, y - tool_y
        distance = math.hypot(delta_x, delta_y)
        if distance <= NEAR:
            return command
        fraction = (distance - NEAR) / distance
        position = (
            x - self.sideways * fraction * delta_y,
            y + self.sideways * fraction * delta_x,
            z + self.upward * fraction * distance,
        )
        return replace(command, position=position)


STRATEGIES: dict[str, Strategy] = {
    "direct": Strategy(),
    "left": Strategy(sideways=0.7),
    "right": Strategy(sideways=-0.7),
    "high": Strategy(upward=0.7),
}
"""Strategies by name."""

"""Ways to the same end: from the side, from above. Functions of the named features, as experts are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from lam_envs import ToolCommand
from lam_envs.observation import Features

NEAR = 0.05
"""Within this distance from where the expert sends the tool, every strategy goes straight, metres."""


@dataclass(frozen=True)
class Strategy:
    """How the tool comes to where an expert sends it.

    Near there it goes straight: a strategy changes how things are approached and carried, and not what is done.

    Attributes:
        aside: How far to the left (seen along the way) it swings, as a share of the way left.
        above: How far it swings upwards, as a share of the way left.
        version: Raise it when the strategy changes: datasets of it, and results from these, are then outdated.
    """

    aside: float = 0.0
    above: float = 0.0
    version: int = 1

    def bend(self, command: ToolCommand, features: Features) -> ToolCommand:
        """Turn an expert's command into one that leads there in an arc."""
        x, y, z = command.position
        tool_x, tool_y, _ = features["tool/position"].tolist()
        way_x, way_y = x - tool_x, y - tool_y
        way = math.hypot(way_x, way_y)
        if way <= NEAR:
            return command
        rest = (way - NEAR) / way
        position = (
            x - self.aside * rest * way_y,
            y + self.aside * rest * way_x,
            z + self.above * rest * way,
        )
        return replace(command, position=position)


STRATEGIES: dict[str, Strategy] = {
    "direct": Strategy(),
    "left": Strategy(aside=0.7),
    "right": Strategy(aside=-0.7),
    "high": Strategy(above=0.7),
}
"""The table of strategies."""

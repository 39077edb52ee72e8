"""Cut the idle steps at the beginning and at the end of episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from demos.datasets.episode import Episode
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema, slice_episode
from demos.runtime.types import JsonObject

TOOL = "tool/position"
GRIPPER = "gripper/width"


@dataclass(frozen=True)
class CutIdle(Preprocessor):
    """Cut the steps before the first and after the last motion of the tool or the gripper.

    Episodes without any motion are left out and counted.

    Attributes:
        speed: Speed of tool and gripper below which they are idle, meters per second.
        keep: Number of idle steps that stay at either end.
    """

    name = "cut-idle"
    speed: float = 0.01
    keep: int = 2

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A setting is out of range.
        """
        if not self.speed >= 0.0 or self.keep < 0:
            raise ValueError(f"speed is {self.speed} and keep is {self.keep}; expected at least 0 each")

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        for name in (TOOL, GRIPPER):
            schema.column(name)
        if schema.rate is None:
            raise ValueError("the dataset does not record its steps per second")
        return _IdleTransform(schema, self, schema.rate)


class _IdleTransform(EpisodeTransform):
    def __init__(self, schema: DatasetSchema, settings: CutIdle, rate: float) -> None:
        super().__init__(schema)
        self._settings, self._rate = settings, rate
        self._left_out = 0

    @override
    def apply(self, episode: Episode) -> Episode | None:
        tool, width = (self.schema.physical(episode, name) for name in (TOOL, GRIPPER))
        moved = np.maximum(np.linalg.norm(np.diff(tool, axis=0), axis=1), np.abs(np.diff(width, axis=0)).max(axis=1))
        moving = np.flatnonzero(moved * self._rate > self._settings.speed)
        if not moving.size:
            self._left_out += 1
            return None
        first = max(int(moving[0]) - self._settings.keep, 0)
        last = min(int(moving[-1]) + 1 + self._settings.keep, len(episode))
        return slice_episode(episode, first, last)

    @override
    def notes(self) -> JsonObject:
        return {"left_out": self._left_out} if self._left_out else {}

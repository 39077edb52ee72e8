"""Named features of the scene, their scaling, and the spaces that agents see.

The scene yields physical values (meters, meters per second, ...) in the order of a :class:`Layout`. Agents see
the same values centered and scaled to about [-1, 1]. Everything that reads an observation does so by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Features = dict[str, npt.NDArray[np.float64]]
"""Physical values by name; each a vector of shape (feature.size,)."""

ROBOT_KEY = "robot"
"""The part of pixel observations that holds the robot's own features."""
DEPTH_SUFFIX = "_depth"
"""What a camera's name gets for its depth picture."""
GOAL_PREFIX = "goal/"
"""Features of the goal; goal observations carry them in ``desired_goal`` instead."""


@dataclass(frozen=True)
class Feature:
    """A named part of the scene.

    Attributes:
        name: ``<part>/<quantity>``, such as ``object/position``.
        size: How many numbers.
        unit: SI unit, or 1 for a pure number.
        description: One line for people.
        center: Physical value that an agent sees as 0; a number for all axes or one each.
        scale: Physical distance from the center that an agent sees as 1.
        limit: Agents see nothing beyond ``center`` +- ``limit`` (physical): values are clipped there.
        noisy: Whether it is measured, so that sensor noise applies; goals and commands are known exactly.
    """

    name: str
    size: int
    unit: str
    description: str
    center: float | tuple[float, ...]
    scale: float
    limit: float
    noisy: bool = True

    def __post_init__(self) -> None:
        """Check the numbers of the feature.

        Raises:
            ValueError: It has no numbers, another number of centers, or a scale or limit that is not above 0.
        """
        if self.size < 1:
            raise ValueError(f"the feature {self.name!r} has size {self.size}; expected at least 1")
        if isinstance(self.center, tuple) and len(self.center) != self.size:
            raise ValueError(f"the feature {self.name!r} has {len(self.center)} centers; expected {self.size} or one")
        if not (self.scale > 0.0 and self.limit > 0.0):
            raise ValueError(
                f"the feature {self.name!r} has scale {self.scale} and limit {self.limit}; expected numbers above 0"
            )


@dataclass(frozen=True)
class FeatureSlice:
    """Where a feature stands in the ``state`` vector and what its numbers mean.

    Physical value = observed value * ``scale`` + ``center``.
    """

    slice: slice
    unit: str
    scale: float
    center: tuple[float, ...]
    low: tuple[float, ...]
    """Lowest observed value per number."""
    high: tuple[float, ...]
    """Highest observed value per number."""
    description: str


class Layout(Mapping[str, FeatureSlice]):
    """Map feature names to their slices of the ``state`` vector; turns values into observations and back.

    Args:
        features: The features, in order.

    Raises:
        ValueError: Two features of one name.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self._slices: dict[str, FeatureSlice] = {}
        start = 0
        for feature in self.features:
            center = feature.center if isinstance(feature.center, tuple) else (feature.center,) * feature.size
            reach = feature.limit / feature.scale
            self._slices[feature.name] = FeatureSlice(
                slice=slice(start, start + feature.size),
                unit=feature.unit,
                scale=feature.scale,
                center=center,
                low=(-reach,) * feature.size,
                high=(reach,) * feature.size,
                description=feature.description,
            )
            start += feature.size
        if len(self._slices) < len(self.features):
            names = [feature.name for feature in self.features]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the feature {twice!r} stands twice among {', '.join(names)}; expected different names")
        self.size = start
        parts = self._slices.values()
        self._center = np.array([number for part in parts for number in part.center])
        self._scale = np.repeat([part.scale for part in parts], [len(part.center) for part in parts])
        self._inverse_scale = 1.0 / self._scale
        self._low = np.array([number for part in parts for number in part.low])
        self._high = np.array([number for part in parts for number in part.high])
        self.noisy = np.repeat([feature.noisy for feature in self.features], [f.size for f in self.features])
        """Which numbers sensor noise applies to, shape (size,)."""

    def __getitem__(self, name: str) -> FeatureSlice:
        return self._slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    @property
    def space(self) -> spaces.Box:
        """The space of :meth:`encode`'s result."""
        return spaces.Box(self._low.astype(np.float32), self._high.astype(np.float32), dtype=np.float32)

    def encode(
        self, values: Sequence[float], noise: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Turn physical values into an observation.

        Args:
            values: All features' numbers in order, shape (size,).
            noise: Added to the scaled numbers that are measured, shape (size,).

        Returns:
            Shape (size,), inside :attr:`space`.
        """
        scaled = np.array(values)
        scaled -= self._center
        scaled *= self._inverse_scale
        if noise is not None:
            scaled += noise * self.noisy
        np.maximum(scaled, self._low, out=scaled)
        np.minimum(scaled, self._high, out=scaled)
        return scaled.astype(np.float32)

    def decode(self, observation: npt.NDArray[np.float32]) -> Features:
        """Turn an observation of shape (size,) back into physical values by name.

        Raises:
            ValueError: The observation has another shape.
        """
        observation = np.asarray(observation)
        if observation.shape != (self.size,):
            raise ValueError(
                f"the observation has shape {observation.shape}, and this layout has shape ({self.size},): "
                "it comes from another task or observation mode"
            )
        return self.split(np.asarray(observation, dtype=np.float64) * self._scale + self._center)

    def split(self, values: npt.NDArray[np.float64]) -> Features:
        """Names the parts of a vector of physical values."""
        return {name: values[part.slice] for name, part in self._slices.items()}

    def feature_indices(self, part: Layout) -> list[int]:
        """Where the numbers of a layout with some of these features stand in this one."""
        return [place for name in part for place in range(self.size)[self[name].slice]]

    def without_goal(self) -> Layout:
        """The layout of goal observations: hindsight relabeling must find no goal in the observation."""
        return Layout([feature for feature in self.features if not feature.name.startswith(GOAL_PREFIX)])


def goal_space(layout: Layout, goal_low: Sequence[float], goal_high: Sequence[float]) -> spaces.Dict:
    """The dict space of Gymnasium-Robotics' goal environments.

    Args:
        layout: Layout without the goal's features.
        goal_low: Lowest achieved or desired goal, physical units.
        goal_high: Highest one.
    """

    def box() -> spaces.Box:
        low, high = np.asarray(goal_low, dtype=np.float32), np.asarray(goal_high, dtype=np.float32)
        return spaces.Box(low, high, dtype=np.float32)

    return spaces.Dict({"observation": layout.space, "achieved_goal": box(), "desired_goal": box()})


def pixels_space(layout: Layout, cameras: Sequence[str], width: int, height: int, far: float | None) -> spaces.Dict:
    """The dict space of pixel observations: one picture a camera, and the robot's own features.

    Args:
        layout: Layout of the robot's features.
        cameras: Their names.
        width: Pixels.
        height: Pixels.
        far: Largest depth in meters; None without depth.
    """
    parts: dict[str, spaces.Space[Any]] = {
        name: spaces.Box(0, 255, (height, width, 3), dtype=np.uint8) for name in cameras
    }
    if far is not None:
        for name in cameras:
            parts[name + DEPTH_SUFFIX] = spaces.Box(0.0, far, (height, width, 1), dtype=np.float32)
    return spaces.Dict({**parts, ROBOT_KEY: layout.space})

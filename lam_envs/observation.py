"""Named features of the scene, their scaling, and the spaces that agents see.

The scene yields physical values (metres, metres a second, ...) in the order of a :class:`Layout`. Agents see
the same values centred and scaled to about [-1, 1]. Everything that reads an observation does so by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Features = dict[str, npt.NDArray[np.float64]]
"""Physical values by name; each a vector of shape (feature.size,)."""

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
        scale: Physical distance from the centre that an agent sees as 1.
        limit: Agents see nothing beyond ``center`` +- ``limit`` (physical): values are clipped there.
    """

    name: str
    size: int
    unit: str
    description: str
    center: float | tuple[float, ...]
    scale: float
    limit: float


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
    """Maps feature names to their slices of the ``state`` vector; turns values into observations and back.

    Args:
        features: The features, in order.
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
        self.size = start
        parts = self._slices.values()
        self._center = np.array([number for part in parts for number in part.center])
        self._scale = np.repeat([part.scale for part in parts], [len(part.center) for part in parts])
        self._inverse_scale = 1.0 / self._scale
        self._low = np.array([number for part in parts for number in part.low])
        self._high = np.array([number for part in parts for number in part.high])

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

    def encode(self, values: Sequence[float]) -> npt.NDArray[np.float32]:
        """Turns physical values into an observation.

        Args:
            values: All features' numbers in order, shape (size,).

        Returns:
            Shape (size,), inside :attr:`space`.
        """
        scaled = np.array(values)
        scaled -= self._center
        scaled *= self._inverse_scale
        np.maximum(scaled, self._low, out=scaled)
        np.minimum(scaled, self._high, out=scaled)
        return scaled.astype(np.float32)

    def decode(self, observation: npt.NDArray[np.float32]) -> Features:
        """Turns an observation of shape (size,) back into physical values by name.

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

    def without_goal(self) -> Layout:
        """The layout of goal observations: hindsight relabelling must find no goal in the observation."""
        return Layout([feature for feature in self.features if not feature.name.startswith(GOAL_PREFIX)])


def robot_features(max_width: float) -> tuple[Feature, ...]:
    """The features every task has: the robot's own.

    Args:
        max_width: Widest opening of the gripper, metres.
    """
    half = max_width / 2
    middle = (0.5, 0.0, 0.2)
    return (
        Feature("tool/position", 3, "m", "point between the fingertips", middle, 0.2, 1.0),
        Feature("tool/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
        Feature("tool/lag", 3, "m", "commanded position minus position", 0.0, 0.02, 0.2),
        Feature("gripper/width", 1, "m", "opening between the fingers", half, half, 4 * half),
        Feature("gripper/target", 1, "m", "commanded opening", half, half, 2 * half),
        Feature("gripper/velocity", 1, "m/s", "speed of the opening", 0.0, 0.2, 2.0),
    )


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

"""Named features of observations, their scaling, and observation spaces.

The scene has physical values (meters, meters per second, ...) in the order of a :class:`Layout`. Observations are
the same values, centered and scaled to about [-1, 1]. Code accesses the features of an observation by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array: TypeAlias = npt.NDArray[Any]
"""Array of any type of numbers."""
Observation: TypeAlias = Array | dict[str, Array]
"""Observation of an environment, or a batch of them."""
Action: TypeAlias = Array | np.int64
"""Action: an array, or the number of an action of a ``Discrete`` space."""
Info: TypeAlias = dict[str, Any]
"""Info of ``reset`` or ``step``, or the stacked infos of an episode: numbers, arrays and nested dicts by name."""
Features = dict[str, npt.NDArray[np.float64]]
"""Physical values by name, each of shape (feature.size,)."""

ROBOT_KEY = "robot"
"""Key of the robot's features in pixel observations."""
DEPTH_SUFFIX = "_depth"
"""Suffix of a camera's name in the key of its depth image."""
GOAL_PREFIX = "goal/"
"""Prefix of the features of the goal; goal observations have ``desired_goal`` instead of them."""


@dataclass(frozen=True)
class Feature:
    """Named part of an observation.

    Attributes:
        name: ``<part>/<quantity>``, such as ``object/position``.
        size: Number of elements.
        unit: SI unit, or 1 for a dimensionless number.
        description: Meaning, for documentation.
        center: Physical value of the observed value 0; one number, or one for each axis.
        scale: Physical distance from the center of the observed value 1.
        limit: Largest physical distance from the center: observed values are clipped there.
        noisy: True if sensor noise applies, as to measurements; goals and commands are known exactly.
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
            ValueError: The size is below 1, the number of centers differs from it, or scale or limit is not above 0.
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
    """Slice of a feature in the ``state`` vector, and the meaning of its numbers.

    Physical value = observed value * ``scale`` + ``center``.
    """

    slice: slice
    unit: str
    scale: float
    center: tuple[float, ...]
    low: tuple[float, ...]
    """Lowest observed value of each number."""
    high: tuple[float, ...]
    """Highest observed value of each number."""
    description: str


class Layout(Mapping[str, FeatureSlice]):
    """Mapping from feature names to slices of the ``state`` vector, with conversions to and from observations.

    Args:
        features: The features, in order.

    Raises:
        ValueError: Two features have the same name.
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
            raise ValueError(f"duplicate feature {twice!r} in {', '.join(names)}; expected unique names")
        self.size = start
        parts = self._slices.values()
        self._center = np.array([number for part in parts for number in part.center])
        self._scale = np.repeat([part.scale for part in parts], [len(part.center) for part in parts])
        self._inverse_scale = 1.0 / self._scale
        self._low = np.array([number for part in parts for number in part.low])
        self._high = np.array([number for part in parts for number in part.high])
        self.noisy = np.repeat([feature.noisy for feature in self.features], [f.size for f in self.features])
        """True for the numbers to which sensor noise applies, shape (size,)."""

    def __getitem__(self, name: str) -> FeatureSlice:
        return self._slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def __repr__(self) -> str:
        return f"Layout({', '.join(f'{name}: {part.slice.start}:{part.slice.stop}' for name, part in self.items())})"

    @property
    def space(self) -> spaces.Box:
        """Space of the results of :meth:`encode`."""
        return spaces.Box(self._low.astype(np.float32), self._high.astype(np.float32), dtype=np.float32)

    def encode(
        self, values: Sequence[float], noise: npt.NDArray[np.float64] | None = None
    ) -> npt.NDArray[np.float32]:
        """Convert physical values to an observation.

        Args:
            values: Values of all features in order, shape (size,).
            noise: Noise to add to the scaled values of noisy features, shape (size,).

        Returns:
            Element of :attr:`space`, shape (size,).
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
        """Convert an observation of shape (size,) to physical values by name.

        Raises:
            ValueError: The observation has another shape.
        """
        observation = np.asarray(observation)
        if observation.shape != (self.size,):
            raise ValueError(
                f"the observation has shape {observation.shape}, and this layout has shape ({self.size},): "
                "use an observation of this task, robot, control and observation mode"
            )
        return self.split(np.asarray(observation, dtype=np.float64) * self._scale + self._center)

    def split(self, values: npt.NDArray[np.float64]) -> Features:
        """Split a vector of physical values into features by name."""
        return {name: values[part.slice] for name, part in self._slices.items()}

    def feature_indices(self, part: Layout) -> list[int]:
        """Return the indices in this layout of the numbers of a layout with some of its features."""
        return [index for name in part for index in range(self.size)[self[name].slice]]

    def without_goal(self) -> Layout:
        """Return the layout of goal observations: for hindsight relabeling it must not contain the goal."""
        return Layout([feature for feature in self.features if not feature.name.startswith(GOAL_PREFIX)])


def goal_space(layout: Layout, goal_low: Sequence[float], goal_high: Sequence[float]) -> spaces.Dict:
    """Return the dict space of Gymnasium-Robotics' goal environments.

    Args:
        layout: Layout without the features of the goal.
        goal_low: Lowest achieved or desired goal, physical units.
        goal_high: Highest achieved or desired goal, physical units.
    """

    def box() -> spaces.Box:
        low, high = np.asarray(goal_low, dtype=np.float32), np.asarray(goal_high, dtype=np.float32)
        return spaces.Box(low, high, dtype=np.float32)

    return spaces.Dict({"observation": layout.space, "achieved_goal": box(), "desired_goal": box()})


def pixels_space(layout: Layout, cameras: Sequence[str], width: int, height: int, far: float | None) -> spaces.Dict:
    """Return the dict space of pixel observations: an image of each camera, and the robot's features.

    Args:
        layout: Layout of the robot's features.
        cameras: Names of the cameras.
        width: Width of an image, pixels.
        height: Height of an image, pixels.
        far: Largest depth, meters; None without depth.
    """
    parts: dict[str, spaces.Box] = {name: spaces.Box(0, 255, (height, width, 3), dtype=np.uint8) for name in cameras}
    if far is not None:
        for name in cameras:
            parts[name + DEPTH_SUFFIX] = spaces.Box(0.0, far, (height, width, 1), dtype=np.float32)
    return spaces.Dict({**parts, ROBOT_KEY: layout.space})

"""Smooth the path of the tool."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from demos.datasets.episode import Episode
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema
from demos.runtime.types import Array


@dataclass(frozen=True)
class Smooth(Preprocessor):
    """Smooth the commanded path of displacement actions, and features if named, by least squares.

    A polynomial is fitted to a window around each step (Savitzky and Golay 1964, Analytical Chemistry 36,
    1627-1639). Start and end of the path do not change.

    Attributes:
        window: Number of steps of the window, odd.
        order: Order of the polynomial, below the window.
        features: Names of features whose observed values are also smoothed, such as ``tool/position``.
    """

    name = "smooth"
    window: int = 7
    order: int = 2
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: The window is even or not larger than the order.
        """
        if self.window % 2 == 0 or not 0 <= self.order < self.window:
            raise ValueError(
                f"window is {self.window} and order is {self.order}; expected an odd window larger than the order"
            )
        if importlib.util.find_spec("scipy") is None:
            raise ModuleNotFoundError("smooth needs SciPy: pip install 'lam-envs[demos]'", name="scipy")

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        if not isinstance(schema.action_space, spaces.Box) or not schema.displacements:
            raise ValueError(f"smooth needs actions that are displacements; found {schema.action_space}")
        for name in self.features:
            schema.column(name)
        return _SmoothTransform(schema, self, schema.action_space, schema.displacements)


class _SmoothTransform(EpisodeTransform):
    def __init__(self, schema: DatasetSchema, settings: Smooth, actions: spaces.Box, displacements: int) -> None:
        super().__init__(schema)
        self._settings, self._space, self._displacements = settings, actions, displacements

    @override
    def apply(self, episode: Episode) -> Episode | None:
        schema, count = self.schema, self._displacements
        actions = episode.actions.copy()
        path = np.concatenate([np.zeros((1, count)), np.cumsum(actions[:, :count].astype(np.float64), axis=0)])
        smoothed = self._smoothed(path)
        smoothed[[0, -1]] = path[[0, -1]]
        actions[:, :count] = np.diff(smoothed, axis=0)
        episode = replace(episode, actions=np.clip(actions, self._space.low, self._space.high))
        if not self._settings.features:
            return episode
        vectors = schema.vectors(episode).copy()
        for name in self._settings.features:
            column = schema.column(name)
            part = slice(column.start, column.start + column.size)
            vectors[:, part] = self._smoothed(vectors[:, part].astype(np.float64))
        return schema.with_vectors(episode, vectors)

    def _smoothed(self, path: npt.NDArray[np.float64]) -> Array:
        from scipy.signal import savgol_filter

        # An episode may be shorter than the window.
        window = min(self._settings.window, len(path) - 1 + len(path) % 2)
        if window <= self._settings.order:
            return path.copy()
        smoothed: Array = savgol_filter(path, window, self._settings.order, axis=0)
        return smoothed

"""Resample episodes to another number of steps per second."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from demos.datasets.episode import EXECUTED, Episode
from demos.datasets.metadata import HIGHEST_RATE
from demos.datasets.tree import tree_map
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema
from demos.runtime.types import Array, Space


@dataclass(frozen=True)
class Resample(Preprocessor):
    """Change the rate of episodes; duration and return stay the same, up to one new step.

    Observed floats are interpolated; images, integers and infos are those of the nearest step.
    Displacements are summed over a new step, so the action space grows where steps become longer. Other action
    dimensions, and discrete actions, are those at the beginning of the new step. Executed actions that differ from
    the labels are resampled as the labels are.

    Attributes:
        rate: New number of steps per second.
        displacements: Number of leading action dimensions that are displacements; the recorded number by
            default.
    """

    name = "resample"
    rate: float
    displacements: int | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: The rate is not positive or too large, or displacements is negative.
        """
        if not 0.0 < self.rate <= HIGHEST_RATE:
            raise ValueError(
                f"rate is {self.rate}; expected a positive number of steps per second, at most {HIGHEST_RATE:g}"
            )
        if self.displacements is not None and self.displacements < 0:
            raise ValueError(f"displacements is {self.displacements}; expected at least 0")

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        if schema.rate is None:
            raise ValueError("the dataset does not record its steps per second")
        displaced = schema.displacements if self.displacements is None else self.displacements
        if isinstance(schema.action_space, spaces.Box) and displaced is None:
            raise ValueError(
                "the dataset does not record which action dimensions are displacements; set displacements"
            )
        shape = schema.action_space.shape or ()
        size = shape[0] if len(shape) == 1 else 0
        ratio, displaced = schema.rate / self.rate, displaced or 0
        if displaced > size:
            raise ValueError(
                f"displacements is {displaced}; expected 0 to {size}, the size of a vector of actions in "
                f"{schema.action_space}"
            )
        actions = _scaled_space(schema.action_space, ratio, displaced)
        new_schema = schema.with_action_space(actions)
        return _ResampleTransform(replace(new_schema, displacements=displaced, rate=self.rate), ratio, displaced)


class _ResampleTransform(EpisodeTransform):
    """Make one step from ``ratio`` old ones; the first ``displaced`` action dimensions are displacements."""

    def __init__(self, schema: DatasetSchema, ratio: float, displaced: int) -> None:
        super().__init__(schema)
        self._ratio, self._displaced = ratio, displaced

    @override
    def apply(self, episode: Episode) -> Episode | None:
        steps, ratio = len(episode), self._ratio
        count = max(round(steps / ratio), 1)
        # Keep the last step, which records success.
        times = np.minimum(np.arange(count + 1) * ratio, steps)
        times[-1] = steps
        nearest = np.rint(times).astype(int)
        ends = np.zeros(count, dtype=bool)
        ends[-1] = True
        terminated = bool(episode.terminations[-1])
        infos = tree_map(lambda values: values[nearest], episode.infos)
        if EXECUTED in infos:
            executed = episode.infos[EXECUTED]
            infos[EXECUTED] = np.concatenate([executed[:1], self._actions(executed[1:], times)])
        return replace(
            episode,
            observations=tree_map(lambda values: _at(values, times, nearest), episode.observations),
            actions=self._actions(episode.actions, times),
            rewards=np.diff(_accumulated(episode.rewards, times)),
            terminations=ends & terminated,
            truncations=ends & (not terminated),
            infos=infos,
        )

    def _actions(self, actions: Array, times: npt.NDArray[np.float64]) -> Array:
        starts = np.minimum(np.floor(times[:-1] + 1e-9).astype(int), len(actions) - 1)
        resampled: Array = actions[starts]
        displaced = self._displaced
        if displaced and actions.ndim == 2:
            moved = np.diff(_accumulated(actions[:, :displaced], times), axis=0)
            resampled = np.concatenate([moved.astype(actions.dtype), resampled[:, displaced:]], axis=1)
        return resampled


def _scaled_space(space: Space, ratio: float, displaced: int) -> Space:
    """Return the action space whose displacements are sums over ``ratio`` steps."""
    # The last new step may be longer by up to half a step.
    longest = ratio + max(ratio, 1.0) / 2
    if not isinstance(space, spaces.Box) or longest <= 1.0 or not displaced:
        return space
    low, high = space.low.copy(), space.high.copy()
    low[:displaced] *= longest
    high[:displaced] *= longest
    return spaces.Box(low, high, dtype=low.dtype.type)


def _at(values: Array, times: npt.NDArray[np.float64], nearest: Array) -> Array:
    """Return values at times between the steps, shape (len(times), ...)."""
    if values.dtype.kind != "f":
        nearest_values: Array = values[nearest]
        return nearest_values
    before = np.minimum(np.floor(times).astype(int), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    fraction = (times - before).reshape(-1, *[1] * (values.ndim - 1))
    between = values[before] * (1.0 - fraction) + values[after] * fraction
    result: Array = between.astype(values.dtype)
    return result


def _accumulated(rates: Array, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sums up to each time, where each step adds its value evenly."""
    sums = np.concatenate([np.zeros((1, *rates.shape[1:])), np.cumsum(rates.astype(np.float64), axis=0)])
    result: npt.NDArray[np.float64] = _at(sums, times, np.rint(times).astype(int))
    return result

"""Change how many moments a second an episode has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from demos.datasets.episode import Episode
from demos.datasets.metadata import HIGHEST_RATE
from demos.datasets.tree import tree_map
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import DatasetSchema


@dataclass(frozen=True)
class Resample(Preprocessor):
    """Gives episodes another rate; how long they last and what their rewards sum to stays, up to one new step.

    Observed floats are interpolated; pictures, whole numbers and infos are those of the nearest moment.
    Displacements of a new step are the sum of what was displaced in its time, so their space grows where steps get
    longer; other numbers of an action, and discrete actions, are those at its beginning.

    Attributes:
        rate: New moments a second.
        displacements: How many numbers of an action, from the first, are displacements; by default what the dataset
            says.
    """

    name = "resample"
    rate: float
    displacements: int | None = None

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: The rate is not positive.
        """
        if not 0.0 < self.rate <= HIGHEST_RATE:
            raise ValueError(
                f"rate is {self.rate}; expected a positive number of moments a second, at most {HIGHEST_RATE:g}"
            )

    @override
    def begin(self, schema: DatasetSchema) -> EpisodeTransform:
        if schema.rate is None:
            raise ValueError("the dataset does not say how many moments it has a second")
        displaced = schema.displacements if self.displacements is None else self.displacements
        if isinstance(schema.action_space, spaces.Box) and displaced is None:
            raise ValueError("the dataset does not say how many numbers of its actions are displacements: give it")
        ratio, displaced = schema.rate / self.rate, displaced or 0
        actions = _stretched(schema.action_space, ratio, displaced)
        made = schema.with_action_space(actions)
        return _Resampling(replace(made, displacements=displaced, rate=self.rate), ratio, displaced)


class _Resampling(EpisodeTransform):
    """Makes a step of ``ratio`` old ones; the first ``displaced`` numbers of an action are displacements."""

    def __init__(self, schema: DatasetSchema, ratio: float, displaced: int) -> None:
        super().__init__(schema)
        self._ratio, self._displaced = ratio, displaced

    @override
    def apply(self, episode: Episode) -> Episode | None:
        steps, ratio = len(episode), self._ratio
        count = max(round(steps / ratio), 1)
        # The last moment stays the last one: it says whether the episode succeeded.
        times = np.minimum(np.arange(count + 1) * ratio, steps)
        times[-1] = steps
        nearest = np.rint(times).astype(int)
        ends = np.zeros(count, dtype=bool)
        ends[-1] = True
        terminated = bool(episode.terminations[-1])
        return replace(
            episode,
            observations=tree_map(lambda values: _at(values, times, nearest), episode.observations),
            actions=self._actions(episode.actions, times),
            rewards=np.diff(_accumulated(episode.rewards, times)),
            terminations=ends & terminated,
            truncations=ends & (not terminated),
            infos=tree_map(lambda values: values[nearest], episode.infos),
        )

    def _actions(self, actions: npt.NDArray[Any], times: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        begun = np.minimum(np.floor(times[:-1] + 1e-9).astype(int), len(actions) - 1)
        resampled: npt.NDArray[Any] = actions[begun]
        displaced = self._displaced
        if displaced and actions.ndim == 2:
            moved = np.diff(_accumulated(actions[:, :displaced], times), axis=0)
            resampled = np.concatenate([moved.astype(actions.dtype), resampled[:, displaced:]], axis=1)
        return resampled


def _stretched(space: Any, ratio: float, displaced: int) -> Any:
    """The space of actions of which each sums up the displacements of so many."""
    # The last new step may take up to half an old one more.
    longest = ratio + max(ratio, 1.0) / 2
    if not isinstance(space, spaces.Box) or longest <= 1.0 or not displaced:
        return space
    low, high = space.low.copy(), space.high.copy()
    low[:displaced] *= longest
    high[:displaced] *= longest
    return spaces.Box(low, high, dtype=low.dtype.type)


def _at(values: npt.NDArray[Any], times: npt.NDArray[np.float64], nearest: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values at times between the moments, shape (len(times), ...)."""
    if values.dtype.kind != "f":
        picked: npt.NDArray[Any] = values[nearest]
        return picked
    before = np.minimum(np.floor(times).astype(int), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (times - before).reshape(-1, *[1] * (values.ndim - 1))
    between = values[before] * (1.0 - share) + values[after] * share
    result: npt.NDArray[Any] = between.astype(values.dtype)
    return result


def _accumulated(rates: npt.NDArray[Any], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums from the start up to each time of what every step adds evenly."""
    sums = np.concatenate([np.zeros((1, *rates.shape[1:])), np.cumsum(rates.astype(np.float64), axis=0)])
    result: npt.NDArray[np.float64] = _at(sums, times, np.rint(times).astype(int))
    return result

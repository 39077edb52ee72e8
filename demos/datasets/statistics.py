"""Statistics of datasets: a summary, and mean, standard deviation and range of every dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import minari
import numpy as np
import numpy.typing as npt
from rich.progress import track

from demos.datasets.episode import Episode
from demos.datasets.metadata import history_of, plan_of, rate_of, require_dataset
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves
from demos.runtime.types import Array, Observation

Numbers = npt.NDArray[np.float64]
ACTION, OBSERVATION = "action", "observation"


@dataclass(frozen=True)
class Statistics:
    """Statistics of an array over all steps, each of the shape of one step.

    Images, uint8 of shape (height, width, channels), have one number for each channel.

    Attributes:
        count: Number of steps.
        mean: Mean.
        std: Standard deviation of the population.
        min: Minimum.
        max: Maximum.
    """

    count: int
    mean: Numbers
    std: Numbers
    min: Numbers
    max: Numbers


def statistics(dataset: minari.MinariDataset, *, progress: bool = False) -> dict[str, Statistics]:
    """Return the statistics of the observations and actions of a dataset, which is read once.

    Sums of episodes are merged as by Chan, Golub, LeVeque 1979, equation 2.1, which is numerically stable.

    Args:
        dataset: Minari dataset whose spaces are arrays or dicts of arrays.
        progress: Show a progress bar.

    Returns:
        Statistics by name: ``action``, ``observation``, or ``observation/<key>`` for each array of a dict.
    """
    require_dataset(dataset)
    sums = StatisticsSums()
    episodes = track(
        episodes_of(dataset), "reading", total=dataset.total_episodes, disable=not progress, transient=True
    )
    for episode in episodes:
        sums.add(episode)
    return sums.result()


class StatisticsSums:
    """Running statistics of episodes or steps, for code that reads them anyway."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    def add(self, episode: Episode) -> None:
        """Add the observations and actions of an episode."""
        self.add_steps(episode.observations, episode.actions)

    def add_steps(self, observations: Observation, actions: Array) -> None:
        """Add observations and actions, each an array of shape (N, ...) or a dict of such."""
        for name, values in tree_leaves({OBSERVATION: observations, ACTION: actions}):
            self._sums.setdefault(name, _Sums()).add(np.asarray(values))

    def merge(self, other: StatisticsSums) -> None:
        """Add what other sums were computed from."""
        for name, sums in other._sums.items():
            self._sums.setdefault(name, _Sums()).merge(sums)

    def result(self) -> dict[str, Statistics]:
        """Return the statistics by the names of :func:`statistics`."""
        return {name: sums.result() for name, sums in self._sums.items()}


def array_statistics(values: Observation) -> dict[str, Statistics]:
    """Return the statistics of observations that are in memory, by the names of :func:`statistics`.

    Args:
        values: Array of shape (N, ...), or a dict of arrays.
    """
    sums: dict[str, _Sums] = {}
    for name, part in tree_leaves({OBSERVATION: values}):
        sums.setdefault(name, _Sums()).add(np.asarray(part))
    return {name: part.result() for name, part in sums.items()}


class _Sums:
    """Running statistics of one array."""

    def __init__(self) -> None:
        self._count = 0
        self._steps = 0
        self._mean: Numbers | float = 0.0
        self._squares: Numbers | float = 0.0
        self._min: Numbers | float = np.inf
        self._max: Numbers | float = -np.inf

    def add(self, values: Array) -> None:
        self._steps += len(values)
        if values.dtype == np.uint8 and values.ndim == 4:
            self._merge(*_pixel_sums(values))
        else:
            values = values.astype(np.float64)
            mean = values.mean(axis=0)
            squares = np.square(values - mean).sum(axis=0)
            self._merge(len(values), mean, squares, values.min(axis=0), values.max(axis=0))

    def merge(self, other: _Sums) -> None:
        self._steps += other._steps
        self._merge(
            other._count, *(np.asarray(each) for each in (other._mean, other._squares, other._min, other._max))
        )

    def _merge(self, count: int, mean: Numbers, squares: Numbers, low: Numbers, high: Numbers) -> None:
        total = self._count + count
        shift = mean - self._mean
        self._squares = self._squares + squares + np.square(shift) * (self._count * count / total)
        self._mean = self._mean + shift * (count / total)
        self._count = total
        self._min = np.minimum(self._min, low)
        self._max = np.maximum(self._max, high)

    def result(self) -> Statistics:
        std = np.sqrt(self._squares / self._count)
        return Statistics(self._steps, *map(np.asarray, (self._mean, std, self._min, self._max)))


def _pixel_sums(images: Array) -> tuple[int, Numbers, Numbers, Numbers, Numbers]:
    """Return count, mean, sum of squared deviations, minimum and maximum of each channel of images.

    They follow from how often each of the 256 values occurs, which is 15 times as fast as sums of 64-bit numbers.

    Args:
        images: Images, uint8 of shape (N, height, width, channels).
    """
    channels = images.reshape(-1, images.shape[-1]).T
    histogram = np.stack([np.bincount(np.ascontiguousarray(channel), minlength=256) for channel in channels])
    levels = np.arange(256, dtype=np.float64)
    count = channels.shape[1]
    mean = histogram @ levels / count
    squares = (histogram * np.square(levels - mean[:, None])).sum(axis=1)
    occurs = histogram > 0
    low = occurs.argmax(axis=1).astype(np.float64)
    high = 255.0 - occurs[:, ::-1].argmax(axis=1)
    return count, mean, squares, low, high


NOT_SETTINGS = ("step", "replays", "executes", "of")
"""Keys of a step of the history that are not settings."""


def describe(dataset: minari.MinariDataset) -> dict[str, object]:
    """Return a summary of a dataset.

    Returns:
        Id, environment, keywords, seed, episodes, steps, steps per second, success rate of the episodes that record
        success (None if none does), mean return, history, failed attempts, size in MB, folder, versions, libraries.
    """
    try:
        plan = plan_of(dataset)
    except ValueError:
        plan = {}
    returns: list[float] = []
    successes: list[bool] = []
    for episode in episodes_of(dataset):
        returns.append(episode.total_return)
        if episode.success is not None:
            successes.append(episode.success)
    episodes = len(returns)
    return {
        "id": dataset.id,
        "environment": plan.get("env_id", "unknown"),
        "keywords": plan.get("env_kwargs", {}),
        "seed": plan.get("seed"),
        "episodes": episodes,
        "steps": dataset.total_steps,
        "steps per second": rate_of(dataset) or "unknown",
        "success rate": sum(successes) / len(successes) if successes else None,
        "mean return": sum(returns) / episodes if episodes else 0.0,
        "history": "; ".join(_step_text(step) for step in history_of(dataset)) or "as collected",
        "attempts that failed and are left out": dataset.storage.metadata.get("lam_envs_dropped", 0),
        "size in MB": float(dataset.storage.get_size()),
        "folder": str(dataset.storage.data_path),
        "versions": plan.get("versions", {}),
        "libraries": plan.get("libraries", {}),
    }


def _step_text(step: Mapping[str, object]) -> str:
    """Return a step of the history as text."""
    settings = ", ".join(f"{name} {value}" for name, value in step.items() if name not in NOT_SETTINGS)
    return f"{step.get('step')}{f' ({settings})' if settings else ''} of {step.get('of')}"

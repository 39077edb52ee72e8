"""Contents of a dataset for the report: results, initial positions, paths and actions of its episodes, read once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import minari
import numpy as np
from rich.progress import track

from demos.datasets.episode import EXECUTED, QUALITY, STRATEGY, Episode
from demos.datasets.metadata import plan_of
from demos.datasets.reading import episodes_of
from demos.report.action_histograms import ActionHistograms, action_names
from demos.report.positions import Area, Points, Positions, own_env
from demos.runtime.types import Array, JsonObject

MAX_PATHS = 200
"""Largest number of episodes whose path of the tool is shown."""
MAX_STARTS = 2000
"""Largest number of episodes whose initial positions are shown."""
MAX_POINTS = 120
"""Largest number of points of a path."""


@dataclass(frozen=True)
class EpisodeSummary:
    """Summary of an episode.

    Attributes:
        number: Index of the episode in the dataset, from 0.
        steps: Number of steps.
        total_return: Sum of the rewards.
        success: Success at the last step; None if not recorded.
        steps_to_success: Steps until success that lasts to the end; None without success.
        demonstrator: Name of the demonstrator that acted; None if it is not recorded.
        strategy: Name of the strategy; None if it is not recorded.
    """

    number: int
    steps: int
    total_return: float
    success: bool | None
    steps_to_success: int | None
    demonstrator: str | None
    strategy: str | None


@dataclass
class Contents:
    """Contents of a dataset.

    Attributes:
        episodes: Summary of each episode.
        initial_positions: Initial positions of the tool, objects and goals by name of the feature, for each episode
            or a sample of them.
        descriptions: Descriptions of these features by name.
        areas: Spawn ranges of the task.
        paths: Path of the tool by number of the episode, each of shape (points, 3).
        action_histograms: Histograms of the actions; None if they cannot be counted.
        labels_differ: True if executed actions may differ from the recorded ones.
        notes: Reasons why ``positions`` or ``actions`` are missing.
    """

    episodes: list[EpisodeSummary] = field(default_factory=list)
    initial_positions: dict[str, list[Points]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    areas: list[Area] = field(default_factory=list)
    paths: dict[int, Points] = field(default_factory=dict)
    action_histograms: ActionHistograms | None = None
    labels_differ: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def ranking(self) -> list[EpisodeSummary]:
        """Episodes, best first: by success, then by return."""
        return sorted(self.episodes, key=lambda one: (not one.success, -_or_lowest(one.total_return), one.number))

    @property
    def evaluated(self) -> list[EpisodeSummary]:
        """Episodes that record success."""
        return [one for one in self.episodes if one.success is not None]


def contents_of(dataset: minari.MinariDataset, *, progress: bool = False) -> Contents:
    """Return the contents of a dataset, read one episode at a time.

    Args:
        dataset: Minari dataset.
        progress: Show a progress bar.
    """
    contents = Contents()
    plan = _plan(dataset)
    contents.action_histograms = _action_histograms(dataset, contents)
    positions = _positions(dataset, contents)
    total = dataset.total_episodes
    with_path, with_start = _sample(total, MAX_PATHS), _sample(total, MAX_STARTS)
    try:
        episodes = track(episodes_of(dataset), "reading", total=total, disable=not progress, transient=True)
        for number, episode in enumerate(episodes):
            contents.episodes.append(_summary(number, episode, plan))
            contents.labels_differ |= EXECUTED in episode.infos
            if contents.action_histograms is not None:
                contents.action_histograms.add(episode.actions)
            if positions is not None and number in with_start:
                for name, point in positions.start(episode).items():
                    contents.initial_positions.setdefault(name, []).append(point)
            if positions is not None and number in with_path:
                contents.paths[number] = _thinned(positions.path(episode))
    finally:
        if positions is not None:
            positions.close()
    return contents


def _plan(dataset: minari.MinariDataset) -> JsonObject:
    try:
        return plan_of(dataset)
    except ValueError:
        return {}


def _positions(dataset: minari.MinariDataset, contents: Contents) -> Positions | None:
    """Return the reader of positions; None if they are unknown."""
    try:
        positions = Positions(dataset)
    except ValueError as error:
        contents.notes["positions"] = str(error)
        return None
    contents.descriptions, contents.areas = positions.descriptions, positions.areas
    return positions


def _action_histograms(dataset: minari.MinariDataset, contents: Contents) -> ActionHistograms | None:
    """Return empty histograms of the actions; None if actions cannot be counted."""
    labels = None
    try:
        env = own_env(dataset)
        labels = action_names(env) if env.action_space == dataset.action_space else None
        env.close()
    except ValueError:
        # The dimensions have no names.
        labels = None
    try:
        return ActionHistograms(dataset.action_space, labels, _actions(dataset))
    except ValueError as error:
        contents.notes["actions"] = str(error)
        return None


def _actions(dataset: minari.MinariDataset) -> Iterator[Array]:
    for episode in episodes_of(dataset):
        yield episode.actions


def _summary(number: int, episode: Episode, plan: JsonObject) -> EpisodeSummary:
    return EpisodeSummary(
        number=number,
        steps=len(episode),
        total_return=episode.total_return,
        success=episode.success,
        steps_to_success=_steps_to_success(episode),
        demonstrator=_name_of(episode, QUALITY, plan.get("qualities")),
        strategy=_name_of(episode, STRATEGY, plan.get("strategies")),
    )


def _name_of(episode: Episode, info: str, names: object) -> str | None:
    """Return the name that an index in an info stands for."""
    if info not in episode.infos or not isinstance(names, Sequence):
        return None
    number = int(episode.infos[info][0])
    return str(names[number]) if 0 <= number < len(names) else f"number {number}"


def _steps_to_success(episode: Episode) -> int | None:
    flags = episode.success_flags
    if flags is None or not flags[-1]:
        return None
    failed = np.flatnonzero(~flags.astype(bool))
    return int(failed[-1]) + 1 if failed.size else 0


def _sample(total: int, limit: int) -> set[int]:
    """Return a fixed random sample of episode numbers."""
    if total <= limit:
        return set(range(total))
    return set(np.random.default_rng(0).choice(total, limit, replace=False).tolist())


def _thinned(path: Points) -> Points:
    if len(path) <= MAX_POINTS:
        return path
    points: Points = path[np.linspace(0, len(path) - 1, MAX_POINTS).round().astype(int)]
    return points


def _or_lowest(number: float) -> float:
    return number if math.isfinite(number) else -math.inf

"""What a dataset holds: what its episodes came to, where they start and go, and how they act; read in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import minari
import numpy as np
import numpy.typing as npt
from rich.progress import track

from demos.datasets.episode import EXECUTED, QUALITY, STRATEGY, Episode
from demos.datasets.metadata import plan_of
from demos.datasets.reading import episodes_of
from demos.report.positions import Area, Points, Positions, own_env
from demos.report.tally import Tally, action_names

MOST_PATHS = 200
"""Of so many episodes the path of the tool is kept."""
MOST_STARTS = 2000
"""Of so many the positions at the start."""
MOST_POINTS = 120
"""Points of a path that are kept."""


@dataclass(frozen=True)
class EpisodeSummary:
    """What an episode came to.

    Attributes:
        number: Its place in the dataset, from 0.
        steps: How many.
        total_return: Sum of the rewards.
        success: Whether it succeeded at its end; None if its environment does not say.
        steps_to_success: Steps until it succeeded and stayed so to the end; None without success.
        demonstrator: Name of the demonstrator that acted; None if it is not recorded.
        strategy: How things were approached.
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
    """What a dataset holds.

    Attributes:
        episodes: All of them.
        starts: Where the tool, objects and goals are at the start, by the name of the feature; one an episode, or
            a sample of these.
        descriptions: What these are, by the same names.
        areas: Where the task puts them.
        paths: Where the tool went, by the number of the episode; each of shape (points, 3).
        tally: Counts of all actions; None where they cannot be counted.
        labels_differ: Whether what was executed may be another action than the recorded one.
        notes: Why something is not there, by what it is: ``positions``, ``actions``.
    """

    episodes: list[EpisodeSummary] = field(default_factory=list)
    starts: dict[str, list[Points]] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    areas: list[Area] = field(default_factory=list)
    paths: dict[int, Points] = field(default_factory=dict)
    tally: Tally | None = None
    labels_differ: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def ranking(self) -> list[EpisodeSummary]:
        """The episodes, best first: those that succeeded before the others, then by return."""
        return sorted(self.episodes, key=lambda one: (not one.success, -_or_lowest(one.total_return), one.number))

    @property
    def evaluated(self) -> list[EpisodeSummary]:
        """The episodes that say whether they succeeded."""
        return [one for one in self.episodes if one.success is not None]


def contents_of(dataset: minari.MinariDataset, *, progress: bool = False) -> Contents:
    """Read every episode of a dataset, one at a time.

    Args:
        dataset: Any dataset of Minari.
        progress: Show a bar.
    """
    contents = Contents()
    plan = _plan(dataset)
    contents.tally = _tally(dataset, contents)
    positions = _positions(dataset, contents)
    total = dataset.total_episodes
    with_path, with_start = _sample(total, MOST_PATHS), _sample(total, MOST_STARTS)
    try:
        episodes = track(episodes_of(dataset), "reading", total=total, disable=not progress, transient=True)
        for number, episode in enumerate(episodes):
            contents.episodes.append(_summary(number, episode, plan))
            contents.labels_differ |= EXECUTED in episode.infos
            if contents.tally is not None:
                contents.tally.add(episode.actions)
            if positions is not None and number in with_start:
                for name, point in positions.start(episode).items():
                    contents.starts.setdefault(name, []).append(point)
            if positions is not None and number in with_path:
                contents.paths[number] = _thinned(positions.path(episode))
    finally:
        if positions is not None:
            positions.close()
    return contents


def _plan(dataset: minari.MinariDataset) -> dict[str, Any]:
    try:
        return plan_of(dataset)
    except ValueError:
        return {}


def _positions(dataset: minari.MinariDataset, contents: Contents) -> Positions | None:
    """What reads positions, where they can be read."""
    try:
        positions = Positions(dataset)
    except ValueError as error:
        contents.notes["positions"] = str(error)
        return None
    contents.descriptions, contents.areas = positions.descriptions, positions.areas
    return positions


def _tally(dataset: minari.MinariDataset, contents: Contents) -> Tally | None:
    """What counts actions, where they can be counted."""
    meanings = None
    try:
        env = own_env(dataset)
        meanings = action_names(env) if env.action_space == dataset.action_space else None
        env.close()
    except ValueError:
        # Numbers without names.
        meanings = None
    try:
        return Tally(dataset.action_space, meanings, _actions(dataset))
    except ValueError as error:
        contents.notes["actions"] = str(error)
        return None


def _actions(dataset: minari.MinariDataset) -> Iterator[npt.NDArray[Any]]:
    for episode in episodes_of(dataset):
        yield episode.actions


def _summary(number: int, episode: Episode, plan: dict[str, Any]) -> EpisodeSummary:
    return EpisodeSummary(
        number=number,
        steps=len(episode),
        total_return=episode.total_return,
        success=episode.success,
        steps_to_success=_steps_to_success(episode),
        demonstrator=_noted(episode, QUALITY, plan.get("qualities")),
        strategy=_noted(episode, STRATEGY, plan.get("strategies")),
    )


def _noted(episode: Episode, info: str, names: Any) -> str | None:
    """The name that a number in an info stands for."""
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


def _sample(total: int, most: int) -> set[int]:
    """Numbers of episodes, the same ones at each call."""
    if total <= most:
        return set(range(total))
    return set(np.random.default_rng(0).choice(total, most, replace=False).tolist())


def _thinned(path: Points) -> Points:
    if len(path) <= MOST_POINTS:
        return path
    kept: Points = path[np.linspace(0, len(path) - 1, MOST_POINTS).round().astype(int)]
    return kept


def _or_lowest(number: float) -> float:
    return number if math.isfinite(number) else -math.inf

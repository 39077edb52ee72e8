"""Demonstrations for training: datasets that are read once, as transitions, episodes and sequences.

States and small images are held in memory. Larger datasets stay in their files, which are mapped: their transitions
are read when a minibatch needs them. Datasets with compressed images are mapped from their frame cache
(:func:`demos.datasets.windows.frame_cache.cache_frames`) if they have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.data.sequences import Sequences, Steps, concatenate, read_windows
from agents.data.spaces import brief
from agents.types import Env, Space, Tensors
from demos.datasets.checksum import checksum, checksum_of
from demos.datasets.episode import Episode
from demos.datasets.metadata import environment_rate, plan_of, rate_of, require_dataset
from demos.datasets.reading import episodes_of
from demos.datasets.statistics import Statistics, StatisticsSums
from demos.datasets.tree import tree_leaves, tree_map
from demos.datasets.windows import Windows
from lam_envs.registration import TASKS, is_lam_env

IN_MEMORY_BYTES = 2**30
"""Observations of more bytes than this stay in their files. Those in memory are there twice: as episodes, and
concatenated."""


@dataclass(frozen=True)
class Transitions:
    """Steps of episodes, one after the other.

    Attributes:
        observations: Observation before each action, shape (N, ...); a dict of such; or :class:`MappedObservations`.
        actions: Actions, shape (N, ...).
    """

    observations: Any
    actions: torch.Tensor

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.actions)

    def __getitem__(self, rows: Any) -> Transitions:
        """Return some of the steps, with observations and actions of shape (n, ...)."""
        if isinstance(self.observations, MappedObservations):
            return Transitions(self.observations[rows], self.actions[rows])
        return Transitions(tree_map(lambda values: values[rows], self.observations), self.actions[rows])

    def to(self, device: torch.device) -> Transitions:
        """Return the steps, with the same shapes, on a device."""
        return Transitions(tree_map(lambda values: values.to(device), self.observations), self.actions.to(device))


class MappedObservations:
    """Observations of steps that are read from the files when they are indexed.

    Args:
        windows: Windows of one observation, one for each dataset.
        rows: Number of the window of each step, counted through all datasets, shape (N,).
    """

    def __init__(self, windows: Sequence[Windows], rows: npt.NDArray[np.int64]) -> None:
        self._windows = windows
        self._rows = rows

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self._rows)

    def __getitem__(self, rows: Any) -> Any:
        """Read some observations; shape (n, ...), or a dict of such."""
        numbers = self._rows[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
        observations, _ = read_windows(self._windows, numbers)
        return tree_map(lambda values: values[:, 0], observations)


def concatenate_transitions(parts: Sequence[Transitions]) -> Transitions:
    """Return transitions, one after the other; all of them are in memory then."""
    return Transitions(
        concatenate([part[:].observations for part in parts]), torch.cat([part.actions for part in parts])
    )


@dataclass(frozen=True)
class EpisodeMetadata:
    """Facts of an episode that are known without its arrays.

    Attributes:
        dataset: Number of its dataset.
        index: Number of the episode in its file.
        length: Number of steps.
        instruction: Instruction in words; None if it is not recorded.
        environment: Id of its environment; None if that is not recorded.
        robot: Name of its robot; None if that is not recorded.
        solved: Step from which the task is solved until the end; None if it is not solved at the end, or if that is
            not recorded.
    """

    dataset: int
    index: int
    length: int
    instruction: str | None
    environment: str | None
    robot: str | None
    solved: int | None

    def useful_length(self, idle_steps: int) -> int:
        """Return the number of steps to learn from: without success, all of them.

        Args:
            idle_steps: Number of steps to learn from after success.
        """
        return self.length if self.solved is None else min(self.length, self.solved + 1 + idle_steps)


class DemonstrationData:
    """Demonstrations of one or several datasets of equal spaces, read once.

    Args:
        datasets: One dataset of Minari, or several.
        in_memory_bytes: Observations of more bytes than this stay in their files.

    Raises:
        ValueError: No datasets, different spaces, or actions that were resampled to another rate than their
            environment's.

    Attributes:
        observation_space: Space of the observations.
        action_space: Space of the actions.
        episodes: Facts of each episode, in the order of the datasets.
        statistics: Statistics of observations and actions, by the names of :func:`demos.statistics`.
        checksum: SHA-256 of the episodes in their order.
    """

    def __init__(
        self,
        datasets: minari.MinariDataset | Sequence[minari.MinariDataset],
        *,
        in_memory_bytes: int = IN_MEMORY_BYTES,
    ) -> None:
        self._datasets = (
            list(datasets) if isinstance(datasets, Sequence) and not isinstance(datasets, str) else [datasets]
        )
        for dataset in self._datasets:
            require_dataset(dataset)
        if not self._datasets:
            raise ValueError("no datasets: expected at least one")
        self.observation_space: Space = self._datasets[0].observation_space
        self.action_space: Space = self._datasets[0].action_space
        for dataset in self._datasets:
            check_spaces(dataset, self.observation_space, self.action_space)
            _check_rate(dataset)
        metadata: list[EpisodeMetadata] = []
        digests: list[list[str | None]] = [[] for _ in self._datasets]
        sums = StatisticsSums()
        self._recorded_actions: list[Any] = []
        self._episodes_in_memory: list[Episode] | None = []
        size = 0
        for number, dataset in enumerate(self._datasets):
            environment, robot = _origin(dataset)
            for index, episode in zip(dataset.episode_indices, episodes_of(dataset), strict=True):
                sums.add(episode)
                self._recorded_actions.append(episode.actions)
                digests[number].append(episode.digest)
                metadata.append(
                    EpisodeMetadata(
                        number,
                        int(index),
                        len(episode),
                        episode.instruction,
                        environment,
                        robot,
                        solved_step(episode),
                    )
                )
                size += sum(values.nbytes for _, values in tree_leaves(episode.observations))
                if size > in_memory_bytes:
                    self._episodes_in_memory = None
                if self._episodes_in_memory is not None:
                    self._episodes_in_memory.append(episode)
        self.episodes = tuple(metadata)
        self.statistics: dict[str, Statistics] = sums.result()
        self.checksum = _checksum(self._datasets, digests)

    @classmethod
    def of(cls, demonstrations: Demonstrations) -> DemonstrationData:
        """Return demonstrations as they are if they were read already, else read them."""
        return demonstrations if isinstance(demonstrations, DemonstrationData) else cls(demonstrations)

    @property
    def datasets(self) -> Sequence[minari.MinariDataset]:
        """The datasets."""
        return tuple(self._datasets)

    @property
    def id(self) -> str:
        """Comma-separated ids of the datasets."""
        return ", ".join(dataset.id for dataset in self._datasets)

    @property
    def total_steps(self) -> int:
        """Number of steps of all episodes."""
        return sum(episode.length for episode in self.episodes)

    @property
    def is_in_memory(self) -> bool:
        """True if all episodes are held in memory."""
        return self._episodes_in_memory is not None

    def check_spaces(self, observation_space: Space, action_space: Space) -> None:
        """Check that the dataset has the spaces of an agent's environment.

        Raises:
            ValueError: The agent has other spaces than the demonstrations.
        """
        check_spaces(self._datasets[0], observation_space, action_space)

    def check_task(self, env: Env) -> None:
        """Check that the demonstrations show the task of an environment, as far as both are tasks of lam_envs.

        Args:
            env: Environment made by ``gym.make``.

        Raises:
            ValueError: A dataset shows another task.
        """
        spec = env.spec
        expected = None if spec is None else _task(spec.id, spec.kwargs)
        for dataset in self._datasets:
            shown = _task_of(dataset)
            if expected is not None and shown is not None and shown != expected:
                raise ValueError(
                    f"dataset {dataset.id} shows the task {shown}; this environment has the task {expected}: give "
                    "demonstrations of that task"
                )

    def iterate_episodes(self, numbers: Iterable[int] | None = None) -> Iterator[Episode]:
        """Yield episodes with all their parts: observations, actions, rewards, ends, infos.

        Args:
            numbers: Numbers of episodes; by default all.
        """
        for number in range(len(self.episodes)) if numbers is None else numbers:
            if self._episodes_in_memory is not None:
                yield self._episodes_in_memory[number]
            else:
                facts = self.episodes[number]
                yield next(episodes_of(self._datasets[facts.dataset], [facts.index]))

    def transitions(self, numbers: Iterable[int] | None = None, idle_steps: int | None = None) -> Transitions:
        """Return the steps of episodes.

        Args:
            numbers: Numbers of episodes; by default all.
            idle_steps: Leave out steps that are more than this many after success; None for all steps.
        """
        selected = self._selected(numbers)
        rows = self._steps(selected, idle_steps).rows
        if self._episodes_in_memory is not None:
            steps = Transitions(*_joined([self._episodes_in_memory[number] for number in selected]))
            return steps if idle_steps is None else steps[np.isin(self._steps(selected).rows, rows)]
        windows = [Windows(dataset) for dataset in self._datasets]
        actions = np.concatenate(self._recorded_actions)[rows]
        return Transitions(MappedObservations(windows, rows), torch.from_numpy(actions))

    def sequences(
        self,
        obs_horizon: int = 1,
        action_horizon: int = 1,
        past_actions: int = 0,
        numbers: Iterable[int] | None = None,
        idle_steps: int | None = None,
    ) -> Sequences:
        """Return windows around the steps of episodes. Large datasets are read when a minibatch needs them.

        Args:
            obs_horizon: Number of observations up to the step, at least 1.
            action_horizon: Number of actions from the step on, at least 1.
            past_actions: Number of actions before the step.
            numbers: Numbers of episodes; by default all.
            idle_steps: Leave out windows of steps that are more than this many after success; None for all.

        Raises:
            ValueError: A horizon is too small.
        """
        if obs_horizon < 1 or action_horizon < 1 or past_actions < 0:
            raise ValueError(
                f"obs_horizon is {obs_horizon}, action_horizon {action_horizon} and past_actions {past_actions}; "
                "expected at least 1, 1 and 0"
            )
        source: tuple[Tensors, torch.Tensor] | list[Windows]
        if self._episodes_in_memory is not None:
            source = _joined(self._episodes_in_memory)
        else:
            source = [
                Windows(dataset, obs_horizon=obs_horizon, action_horizon=action_horizon, past=past_actions)
                for dataset in self._datasets
            ]
        steps = self._steps(self._selected(numbers), idle_steps)
        return Sequences(source, steps, obs_horizon, action_horizon, past_actions)

    @property
    def _lengths(self) -> list[int]:
        return [episode.length for episode in self.episodes]

    def _steps(self, numbers: Sequence[int], idle_steps: int | None = None) -> Steps:
        """Return the steps of episodes, without those that are more than ``idle_steps`` after success."""
        steps = Steps.of(self._lengths, numbers)
        if idle_steps is None:
            return steps
        return steps.until([episode.useful_length(idle_steps) for episode in self.episodes])

    def _selected(self, numbers: Iterable[int] | None) -> list[int]:
        return list(range(len(self.episodes)) if numbers is None else numbers)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Split the episodes at random.

        Args:
            fraction: Fraction of the episodes in the second part, rounded to whole episodes.
            rng: Draws the order.

        Returns:
            Numbers of the episodes of both parts, in ascending order.
        """
        order = rng.permutation(len(self.episodes)).tolist()
        validation_count = round(fraction * len(order))
        return sorted(order[validation_count:]), sorted(order[:validation_count])


def _joined(episodes: Sequence[Episode]) -> tuple[Any, torch.Tensor]:
    """Return the observations before each action and the actions of episodes, shapes (steps, ...)."""
    before = [tree_map(lambda values: torch.from_numpy(values[:-1]), episode.observations) for episode in episodes]
    return concatenate(before), torch.from_numpy(np.concatenate([episode.actions for episode in episodes]))


Demonstrations: TypeAlias = minari.MinariDataset | Sequence[minari.MinariDataset] | DemonstrationData
"""Demonstrations that agents learn from: a dataset, several datasets, or data that were read already."""


def check_spaces(dataset: minari.MinariDataset, observation_space: Space, action_space: Space) -> None:
    """Check that a dataset has the given spaces.

    Raises:
        ValueError: The dataset has other spaces.
    """
    for name, actual, expected in (
        ("observation", dataset.observation_space, observation_space),
        ("action", dataset.action_space, action_space),
    ):
        if actual != expected:
            raise ValueError(
                f"dataset {dataset.id} has {name}s of {brief(str(actual))}; "
                f"this agent's environment has {brief(str(expected))}"
            )


def _check_rate(dataset: minari.MinariDataset) -> None:
    """Check that actions have the rate of the environment that they come from."""
    rate, original = rate_of(dataset), environment_rate(dataset)
    if rate is not None and original is not None and rate != original:
        raise ValueError(
            f"dataset {dataset.id} has {rate:g} steps per second and its environment has {original:g}: its "
            "actions do not fit. Learn from the dataset before it was resampled"
        )


def _checksum(datasets: Sequence[minari.MinariDataset], digests: Sequence[Sequence[str | None]]) -> str:
    """Return the checksum of datasets from the digests that were read with their episodes."""
    checksums = []
    for dataset, each in zip(datasets, digests, strict=True):
        stored = [digest for digest in each if digest is not None]
        checksums.append(checksum_of(stored) if len(stored) == len(each) else checksum(dataset))
    return checksums[0] if len(checksums) == 1 else checksum_of(checksums)


def _origin(dataset: minari.MinariDataset) -> tuple[str | None, str | None]:
    """Return the id of a dataset's environment and the name of its robot, as far as they are known."""
    try:
        plan = plan_of(dataset)
    except ValueError:
        return None, None
    robot = (plan.get("env_kwargs") or {}).get("robot")
    return str(plan["env_id"]), robot if isinstance(robot, str) else None


def _task_of(dataset: minari.MinariDataset) -> str | None:
    """Return the name of a dataset's task; None if it is not known, or not one of lam_envs."""
    try:
        plan = plan_of(dataset)
    except ValueError:
        return None
    keywords = plan.get("env_kwargs")
    return _task(plan["env_id"], keywords if isinstance(keywords, dict) else {})


def _task(env_id: str, keywords: Mapping[str, object]) -> str | None:
    """Return the name of the task of an environment; None if it is not one of lam_envs."""
    if not is_lam_env(env_id):
        return None
    task = {**gym.registry[env_id].kwargs, **keywords}.get("task")
    return task if isinstance(task, str) and task in TASKS else None


def solved_step(episode: Episode) -> int | None:
    """Return the step from which the task is solved until the end; None if it is not, or that is not recorded."""
    flags = episode.success_flags
    success = np.zeros(0, dtype=bool) if flags is None else flags.astype(bool)[1:]
    if not (success.size and success[-1]):
        return None
    failures = np.flatnonzero(~success)
    return int(failures[-1]) + 1 if failures.size else 0

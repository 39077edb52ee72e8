"""Demonstrations to compare an episode with: their steps, standardized, and as the policy sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import minari
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from agents.data.demonstrations import DemonstrationData
from agents.data.spaces import is_depth_image, is_image, parts_of
from agents.explain.functions import Inputs, PolicyFunction
from agents.policies.normalizer import spread_of
from agents.types import Env, Observation, Space
from demos.datasets.statistics import Statistics
from lam_envs.observation.instructions import INSTRUCTION_KEY

MAX_STEPS = 20_000
"""Largest number of steps to compare with; of more, every n-th counts."""
MAX_BYTES = 2**28
"""Largest size of their observations: of images, fewer steps count."""
BATCH = 256
"""Steps at a time."""

Rows = npt.NDArray[np.float64]


def by_part(observation: Any) -> dict[str, Any]:
    """Return the parts of an observation, or of a batch of them, by name; a plain array is ``""``."""
    return observation if isinstance(observation, dict) else {"": observation}


def vector_names(space: Space) -> list[str]:
    """Return the names of the parts of an observation that are vectors of numbers; ``""`` for a plain array.

    Args:
        space: A Box, or a Dict of such.
    """
    return [
        name
        for name, part in parts_of(space).items()
        if not (is_image(part) or is_depth_image(part) or name == INSTRUCTION_KEY)
    ]


@dataclass(frozen=True)
class Neighbor:
    """Step of a demonstration.

    Attributes:
        row: Number of the step among those that count.
        episode: Number of the episode, from 0.
        step: Number of the step in the episode, from 0.
        distance: Distance from what was asked for.
    """

    row: int
    episode: int
    step: int
    distance: float


class References:
    """Steps of demonstrations.

    Args:
        datasets: Dataset of Minari, or several.
        max_steps: Largest number of steps that count.

    Attributes:
        data: The demonstrations.
        episodes: Number of the episode of each step, shape (M,).
        steps: Number of each step in its episode, shape (M,).
    """

    def __init__(
        self, datasets: minari.MinariDataset | Sequence[minari.MinariDataset], max_steps: int = MAX_STEPS
    ) -> None:
        self.data = DemonstrationData(datasets)
        lengths = [episode.length for episode in self.data.episodes]
        total = sum(lengths)
        parts = parts_of(self.data.observation_space).values()
        size = sum(part.dtype.itemsize * int(np.prod(part.shape)) for part in parts)
        count = max(1, min(total, max_steps, MAX_BYTES // size))
        self._rows = np.linspace(0, total - 1, count).round().astype(np.int64)
        self.episodes = np.repeat(np.arange(len(lengths)), lengths)[self._rows]
        self.steps = np.concatenate([np.arange(length) for length in lengths])[self._rows]
        self._vectors: Rows | None = None
        self._features: tuple[list[nn.Module], Rows, Rows] | None = None

    def check(self, env: Env) -> None:
        """Check that the demonstrations have the spaces and the task of an environment.

        Raises:
            ValueError: They have others.
        """
        self.data.check_spaces(env.observation_space, env.action_space)
        self.data.check_task(env)

    def statistics_of(self, part: str) -> Statistics:
        """Return the statistics of a part of the observations; ``""`` for a plain array."""
        return self.data.statistics[f"observation/{part}" if part else "observation"]

    def standardized(self, observation: Observation) -> Rows:
        """Return the numbers of one observation, standardized by the demonstrations, shape (D,)."""
        parts, names = by_part(observation), vector_names(self.data.observation_space)
        row: Rows = np.concatenate([self._standard(name, np.asarray(parts[name])[None]) for name in names], axis=1)[0]
        return row

    def vectors(self) -> Rows:
        """Return the standardized numbers of all steps, shape (M, D).

        Raises:
            ValueError: The observations have no vectors.
        """
        names = vector_names(self.data.observation_space)
        if not names:
            raise ValueError("the observations are images alone")
        if self._vectors is None:
            batches = []
            for inputs in self.batches(1):
                parts = by_part(inputs.newest)
                batches.append(np.concatenate([self._standard(name, parts[name].numpy()) for name in names], axis=1))
            self._vectors = np.concatenate(batches)
        return self._vectors

    def features(self, function: PolicyFunction, inputs: Inputs | None = None) -> Rows:
        """Return a policy's own features, standardized by their spread over the demonstrations, shape (N, F).

        Args:
            function: Function of the policy.
            inputs: Inputs of the policy, N rows; by default all steps of the demonstrations. A memory is not used,
                as the steps of the demonstrations have none: features of one observation are then equal in both.
        """
        # Each episode has a function of its own, of the same networks.
        networks = [member.module for member in function.members]
        if self._features is None or self._features[0] != networks:
            batches = self.batches(function.horizon)
            raw = np.concatenate([function.features(each).double().numpy() for each in batches])
            spread = raw.std(axis=0)
            self._features = (networks, raw, np.where(spread < 1e-6, 1.0, spread))
        _, raw, spread = self._features
        if inputs is None:
            return raw / spread
        return function.features(replace(inputs, memory=None)).double().numpy() / spread

    def batches(self, horizon: int) -> Iterator[Inputs]:
        """Yield what a policy sees at the steps of the demonstrations.

        Args:
            horizon: Observations H that it sees.
        """
        windows = self.data.sequences(horizon)
        for start in range(0, len(self._rows), BATCH):
            batch = windows[self._rows[start : start + BATCH]]
            yield Inputs(batch.observations, batch.observation_is_pad)

    def inputs(self, row: int, horizon: int) -> Inputs:
        """Return what a policy sees at one step of the demonstrations.

        Args:
            row: Number of the step among those that count.
            horizon: Observations H that it sees.
        """
        batch = self.data.sequences(horizon)[self._rows[[row]]]
        return Inputs(batch.observations, batch.observation_is_pad)

    def nearest(self, points: Rows, point: Rows, count: int) -> list[Neighbor]:
        """Return the steps nearest to a point, nearest first, by the root mean square of the differences.

        Args:
            points: Point of each step, shape (M, F).
            point: Shape (F,).
            count: Number of steps.
        """
        distances = np.sqrt(np.mean((points - point) ** 2, axis=1))
        order = np.argsort(distances, kind="stable")[:count]
        return [
            Neighbor(int(row), int(self.episodes[row]), int(self.steps[row]), float(distances[row])) for row in order
        ]

    def usual_distance(self, points: Rows, share: float, samples: int = 300) -> float:
        """Return a quantile of the distances between a step and the nearest one of another demonstration.

        Args:
            points: Point of each step, shape (M, F).
            share: Share of the steps that are nearer than the result.
            samples: Steps that are measured, evenly spaced.

        Raises:
            ValueError: There is only one demonstration.
        """
        if len(self.data.episodes) < 2:
            raise ValueError("one demonstration has no distance to others: expected at least two")
        chosen = np.unique(np.linspace(0, len(points) - 1, samples).round().astype(int))
        distances = []
        for row in chosen:
            others = points[self.episodes != self.episodes[row]]
            distances.append(np.sqrt(np.mean((others - points[row]) ** 2, axis=1)).min())
        return float(np.quantile(distances, share))

    def baseline(self) -> dict[str, torch.Tensor]:
        """Return the mean of each part that is a vector, shape (1, 1, ...)."""
        names = vector_names(self.data.observation_space)
        return {name: torch.as_tensor(self.statistics_of(name).mean).float()[None, None] for name in names}

    def _standard(self, name: str, values: Rows) -> Rows:
        statistics = self.statistics_of(name)
        standard: Rows = (values.reshape(len(values), -1) - statistics.mean.ravel()) / spread_of(statistics)
        return standard

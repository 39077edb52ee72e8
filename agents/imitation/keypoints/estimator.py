"""Estimated states: what ``obs="state"`` would show, as far as images tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from agents.imitation.keypoints.detector import NUMBERS, KeypointDetector
from agents.imitation.keypoints.positions import PositionModel
from agents.imitation.keypoints.scenes import RELATIVE, TOOL, Scenes, Senses
from agents.types import Tensors
from lam_envs.observation.features import ROBOT_KEY

STATIC = 1e-3
"""Largest motion of an object in an episode that never moves, in the units of a state."""


class StateEstimator(nn.Module):
    """Estimator of states from images and the features of the robot.

    A position is estimated from the keypoints of all images. That of an object that never moves, such as a goal, is
    the mean of all estimates of the episode so far, each weighted by its precision: it is remembered while something
    hides it. Differences between positions, such as ``goal/relative``, follow from them. Features that are not known,
    such as velocities and rotations, have their mean in the demonstrations.

    Args:
        senses: Senses of the environment.
    """

    def __init__(self, senses: Senses) -> None:
        super().__init__()
        objects = len(senses.objects)
        self.objects = objects
        self.detector = KeypointDetector(senses.cameras, objects)
        self.positions = PositionModel(objects, NUMBERS * len(senses.cameras))
        relative = [name for name in senses.state if name.endswith(RELATIVE)]
        self._tool = list(range(senses.robot.size)[senses.robot[TOOL].slice])
        self._tool_in_state = senses.indices([TOOL])
        self._positions = senses.indices(senses.objects)
        self._relative = senses.indices(relative)
        known = [*senses.robot_indices, *self._positions, *self._relative]
        self._rest = [index for index in range(senses.state.size) if index not in set(known)]
        self._order = np.argsort([*known, *self._rest]).tolist()
        self.register_buffer("is_static", torch.zeros(objects, 1))
        self.register_buffer("means", torch.zeros(len(self._rest)))
        # Differences of positions: a linear function of the positions of objects and tool.
        self.register_buffer("differences", torch.zeros(len(self._positions) + 4, len(self._relative)))

    def fit(self, scenes: Scenes) -> None:
        """Learn what does not depend on images: which objects never move, differences of positions, and means."""
        states = scenes.states.astype(np.float64)
        positions = states[:, self._positions].reshape(len(states), self.objects, 3)
        ends = np.cumsum(scenes.lengths)
        motions = [np.ptp(each, axis=0).max(axis=1) for each in np.split(positions, ends[:-1])]
        self.get_buffer("is_static").copy_(torch.from_numpy(np.max(motions, axis=0) < STATIC).float()[:, None])
        self.get_buffer("means").copy_(torch.from_numpy(states[:, self._rest].mean(axis=0)))
        known = np.column_stack([states[:, self._positions], states[:, self._tool_in_state], np.ones(len(states))])
        differences = np.linalg.lstsq(known, states[:, self._relative], rcond=None)[0]
        self.get_buffer("differences").copy_(torch.from_numpy(differences))

    def positions_in(self, states: torch.Tensor) -> torch.Tensor:
        """Return the positions of the objects in states, shape (N, objects, 3)."""
        return states[:, self._positions].reshape(len(states), self.objects, 3)

    def tool_in(self, observations: Tensors) -> torch.Tensor:
        """Return the position of the tool in observations, shape (N, 3)."""
        return cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY][:, self._tool]

    def seen(self, observations: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and precisions of the positions in N observations, each of shape (N, objects, 3)."""
        found: tuple[torch.Tensor, torch.Tensor] = self.positions(
            self.detector(observations), self.tool_in(observations)
        )
        return found

    def remembered(
        self, mean: torch.Tensor, precision: torch.Tensor, weighted: torch.Tensor, total: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the positions of N observations, and the sums for the next ones, each of shape (N, objects, 3).

        Args:
            mean: Means of the positions that are seen.
            precision: Their precisions.
            weighted: Sum of all means of the episode before, each multiplied by its precision.
            total: Sum of their precisions.
        """
        weighted, total = weighted + precision * mean, total + precision
        is_static = self.get_buffer("is_static")
        return is_static * weighted / total + (1.0 - is_static) * mean, weighted, total

    def over_episodes(self, mean: torch.Tensor, precision: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the positions at all N steps of episodes, one after the other, shape (N, objects, 3)."""
        found = []
        for means, precisions in zip(
            torch.split(mean, list(lengths)), torch.split(precision, list(lengths)), strict=True
        ):
            weighted, total = torch.zeros_like(means[:1]), torch.zeros_like(means[:1])
            for step in range(len(means)):
                here = slice(step, step + 1)
                positions, weighted, total = self.remembered(means[here], precisions[here], weighted, total)
                found.append(positions)
        return torch.cat(found)

    def state(self, observations: Tensors, positions: torch.Tensor) -> torch.Tensor:
        """Return the states of N observations, shape (N, features).

        Args:
            observations: Observations.
            positions: Positions of the objects, shape (N, objects, 3).
        """
        robot = cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY]
        flat = positions.flatten(1)
        known = torch.cat([flat, robot[:, self._tool], flat.new_ones(len(flat), 1)], dim=1)
        means = self.get_buffer("means").expand(len(flat), -1)
        parts = [robot, flat, known @ self.get_buffer("differences"), means]
        return torch.cat(parts, dim=1)[:, self._order]

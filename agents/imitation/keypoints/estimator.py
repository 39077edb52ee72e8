"""Estimated states: the observations of ``obs="state"``, estimated from images and the features of the robot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import numpy as np
import torch
from torch import nn

from agents.imitation.keypoints.detector import KeypointDetector
from agents.imitation.keypoints.scenes import RELATIVE, TOOL, PixelObservations, Scenes
from agents.imitation.keypoints.triangulation import Triangulation, diagonal, inverse
from agents.types import Tensors
from lam_envs.observation.features import ROBOT_KEY

MOTION_THRESHOLD = 5e-4
"""An object moves in a step if it is displaced by more than this, meters."""
MIN_MOTION = 1e-5
"""Smallest standard deviation of the motion of an object in a step, meters: that of one which never moves."""


class StateEstimator(nn.Module):
    """Estimator of states from images and the features of the robot.

    A position is estimated from the keypoints of all images of the episode so far, by a Kalman filter (Kalman 1960)
    whose objects move at random, as far as they do in the demonstrations when they move: a goal, which never moves,
    is remembered while something hides it. Differences between positions, such as ``goal/relative``, follow from
    them. Features that are not known, such as velocities and rotations, have their mean in the demonstrations.

    Args:
        observed: Observations of the environment.
    """

    def __init__(self, observed: PixelObservations) -> None:
        super().__init__()
        objects = len(observed.objects)
        self.objects = objects
        self.detector = KeypointDetector(observed.cameras, objects)
        self.triangulation = Triangulation(len(observed.cameras), objects)
        relative = [name for name in observed.state if name.endswith(RELATIVE)]
        self._tool = list(range(observed.robot.size)[observed.robot[TOOL].slice])
        self._tool_in_state = observed.indices([TOOL])
        self._positions = observed.indices(observed.objects)
        self._relative = observed.indices(relative)
        known = [*observed.robot_indices, *self._positions, *self._relative]
        self._rest = [index for index in range(observed.state.size) if index not in set(known)]
        self._order = np.argsort([*known, *self._rest]).tolist()
        # Inverse variances of the motion of objects in a step, meters.
        self.register_buffer("motion_precision", torch.ones(objects, 3))
        self.register_buffer("means", torch.zeros(len(self._rest)))
        # Differences of positions: a linear function of the positions of objects and tool.
        self.register_buffer("differences", torch.zeros(len(self._positions) + 4, len(self._relative)))
        for name, features in (("position", observed.objects), ("tool", (TOOL,))):
            parts = [observed.state[feature] for feature in features]
            self.register_buffer(f"{name}_center", torch.tensor([part.center for part in parts]), persistent=False)
            scales = torch.tensor([[part.scale] for part in parts])
            self.register_buffer(f"{name}_scale", scales, persistent=False)

    def fit(self, scenes: Scenes) -> None:
        """Fit the cameras, the motion of objects, the differences of positions, and means of the other features."""
        self.triangulation.fit(scenes)
        ends = np.cumsum(scenes.lengths)
        episodes = np.split(scenes.positions.astype(np.float64), ends[:-1])
        motion = np.concatenate([np.diff(each, axis=0) for each in episodes])
        moves = np.linalg.norm(motion, axis=2, keepdims=True) > MOTION_THRESHOLD
        moving = (motion**2 * moves).sum(axis=0) / np.maximum(moves.sum(axis=0), 1)
        variance = np.maximum(moving, (motion**2).mean(axis=0))
        states = scenes.states.astype(np.float64)
        known = np.column_stack([states[:, self._positions], states[:, self._tool_in_state], np.ones(len(states))])
        differences = np.linalg.lstsq(known, states[:, self._relative], rcond=None)[0]
        for name, values in (
            ("motion_precision", 1.0 / np.maximum(variance, MIN_MOTION**2)),
            ("means", states[:, self._rest].mean(axis=0)),
            ("differences", differences),
        ):
            self.get_buffer(name).copy_(torch.from_numpy(values))

    def tool(self, observations: Tensors) -> torch.Tensor:
        """Return the position of the tool in observations, meters, shape (N, 3)."""
        seen = cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY][:, self._tool]
        return seen * self.get_buffer("tool_scale")[0] + self.get_buffer("tool_center")[0]

    def information(self, observations: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the information of N observations; see :meth:`Triangulation.information`."""
        return self.triangulation.information(self.detector(observations), self.tool(observations))

    def filter_step(
        self, matrix: torch.Tensor, vector: torch.Tensor, matrices: torch.Tensor, vectors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the positions of N observations, meters, and the information for the next ones.

        Args:
            matrix: Information of the observations, shape (N, objects, 3, 3).
            vector: Shape (N, objects, 3).
            matrices: Information of all observations before, shape (N, objects, 3, 3); zeros for none.
            vectors: Shape (N, objects, 3).

        Returns:
            Positions of shape (N, objects, 3); matrices; vectors.
        """
        # Prediction: the objects may have moved since the last step.
        motion = diagonal(self.get_buffer("motion_precision").double())
        retained = motion @ inverse(matrices + motion)
        predicted = retained @ matrices
        matrices = 0.5 * (predicted + predicted.transpose(-1, -2)) + matrix
        vectors = (retained @ vectors[..., None])[..., 0] + vector
        return self.triangulation.positions(matrices, vectors), matrices, vectors

    def filter_episodes(self, matrix: torch.Tensor, vector: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the positions at all N steps of episodes, one after the other, meters, shape (N, objects, 3)."""
        found = []
        for start, length in zip(accumulate((0, *lengths)), lengths, strict=False):
            sums = torch.zeros_like(matrix[:1]), torch.zeros_like(vector[:1])
            for step in range(start, start + length):
                here = slice(step, step + 1)
                positions, *following = self.filter_step(matrix[here], vector[here], *sums)
                sums = following[0], following[1]
                found.append(positions)
        return torch.cat(found)

    def state(self, observations: Tensors, positions: torch.Tensor) -> torch.Tensor:
        """Return the states of N observations, shape (N, features).

        Args:
            observations: Observations.
            positions: Positions of the objects, meters, shape (N, objects, 3).
        """
        robot = cast("dict[str, torch.Tensor]", observations)[ROBOT_KEY]
        scaled = (positions.float() - self.get_buffer("position_center")) / self.get_buffer("position_scale")
        flat = scaled.flatten(1)
        known = torch.cat([flat, robot[:, self._tool], flat.new_ones(len(flat), 1)], dim=1)
        means = self.get_buffer("means").expand(len(flat), -1)
        parts = [robot, flat, known @ self.get_buffer("differences"), means]
        return torch.cat(parts, dim=1)[:, self._order]

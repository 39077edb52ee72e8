"""Positions of objects, estimated from all images of an episode so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import nn

from agents.estimation.detector import KeypointDetector
from agents.estimation.scenes import Scenes
from agents.estimation.triangulation import Triangulation, diagonal, inverse
from agents.types import State

MOTION_THRESHOLD = 5e-4
"""An object moves in a step if it is displaced by more than this, meters."""
MIN_MOTION = 1e-5
"""Smallest standard deviation of the motion of an object in a step, meters: the value of objects that never move."""
MATRICES, VECTORS = "information_matrices", "information_vectors"
"""Names of the state of the filter in the memory of a policy."""


class PositionEstimator(nn.Module):
    """Estimator of the positions of objects from images and the position of the tool.

    A position is estimated from the keypoints of all images of the episode so far, by a Kalman filter (Kalman 1960)
    whose objects move at random, as far as they do in the demonstrations when they move: a goal, which never moves,
    is remembered while something hides it.

    Args:
        cameras: Height and width of the images of each camera, pixels.
        objects: Number of objects.
    """

    def __init__(self, cameras: Mapping[str, tuple[int, int]], objects: int) -> None:
        super().__init__()
        self.objects = objects
        self.detector = KeypointDetector(cameras, objects)
        self.triangulation = Triangulation(len(cameras), objects)
        # Inverse variances of the motion of objects in a step, meters.
        self.register_buffer("motion_precision", torch.ones(objects, 3))

    def fit(self, scenes: Scenes) -> None:
        """Fit the cameras and the motion of objects."""
        self.triangulation.fit(scenes)
        ends = np.cumsum(scenes.lengths)
        episodes = np.split(scenes.positions.astype(np.float64), ends[:-1])
        motion = np.concatenate([np.diff(each, axis=0) for each in episodes])
        # An object that is absent does not move.
        motion, is_known = np.nan_to_num(motion), np.maximum((~np.isnan(motion)).sum(axis=0), 1)
        moves = np.linalg.norm(motion, axis=2, keepdims=True) > MOTION_THRESHOLD
        moving = (motion**2 * moves).sum(axis=0) / np.maximum(moves.sum(axis=0), 1)
        variance = np.maximum(moving, (motion**2).sum(axis=0) / is_known)
        precision = 1.0 / np.maximum(variance, MIN_MOTION**2)
        self.get_buffer("motion_precision").copy_(torch.from_numpy(precision))

    def initial_memory(self, count: int, device: torch.device) -> State:
        """Return the state of the filter at the start of N episodes: no information."""
        vectors = torch.zeros(count, self.objects, 3, device=device, dtype=torch.float64)
        return {MATRICES: torch.zeros(*vectors.shape, 3, device=device, dtype=torch.float64), VECTORS: vectors}

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

"""Positions of objects from their keypoints in the images of several cameras, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.estimation.detector import KEYPOINT_SIZE
from agents.estimation.scenes import Scenes
from agents.policies.torch_policy import TorchModel
from agents.types import Array

HIDDEN_UNITS = 16
LOG_STD = -1.0, 4.0
"""Range of the logarithm of the standard deviation of a keypoint, pixels."""
MIN_SPREAD = 0.002
"""Smallest standard deviation of the prior positions, meters."""
MAX_ERROR = 0.05
"""Largest error of the model of a camera, as a fraction of the width of its images. Smaller errors, such as those of
a hand that tilts a little under control joint, add to the uncertainty of keypoints."""
MIN_DEPTH = 0.01
"""Smallest distance from a camera at which a point has a pixel, meters."""
ITERATIONS = 2
"""Iterations of the least squares, in each of which the distance to the object follows from the last estimate."""


@dataclass(frozen=True)
class LabeledKeypoints:
    """Keypoints of N steps, and where they should have been. Indexing gives a minibatch.

    Attributes:
        keypoints: Keypoints, shape (N, objects, cameras, 5).
        pixels: Column and row where each camera would see each object, shape (N, objects, cameras, 2); they may be
            outside the image. NaN for an absent object.
    """

    keypoints: torch.Tensor
    pixels: torch.Tensor

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.pixels)

    def __getitem__(self, rows: Any) -> LabeledKeypoints:
        """Return some of the steps."""
        return LabeledKeypoints(self.keypoints[rows], self.pixels[rows])

    def to(self, device: torch.device) -> LabeledKeypoints:
        """Return the steps, with the same shapes, on a device."""
        return LabeledKeypoints(self.keypoints.to(device), self.pixels.to(device))


class Triangulation(TorchModel[LabeledKeypoints]):
    """Least squares of the rays through keypoints, weighted by the uncertainty of each keypoint.

    Each camera either stands still or moves with the tool, without rotation, such as the camera on the hand of a
    gripper that points down. A small network predicts the uncertainty of a keypoint from its heatmap, so an occluded
    object has little weight. The prior is a Gaussian around the mean position in the demonstrations.

    Args:
        cameras: Number of cameras.
        objects: Number of objects.
    """

    def __init__(self, cameras: int, objects: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(KEYPOINT_SIZE - 2, HIDDEN_UNITS), nn.Tanh(), nn.Linear(HIDDEN_UNITS, 1))
            for _ in range(objects * cameras)
        )
        self.shape = objects, cameras
        # A camera's center: this vector, plus the position of the tool if it moves with the tool, meters.
        self.register_buffer("centers", torch.zeros(cameras, 3))
        self.register_buffer("is_on_hand", torch.zeros(cameras, 1))
        self.register_buffer(
            "rotations", torch.eye(3).repeat(cameras, 1, 1)
        )  # from the camera's frame to the world's
        self.register_buffer("intrinsics", torch.eye(3).repeat(cameras, 1, 1))
        self.register_buffer("mean", torch.zeros(objects, 3))
        self.register_buffer("precision", torch.ones(objects, 3))

    def fit(self, scenes: Scenes) -> None:
        """Fit the model of the cameras and the prior of positions.

        Raises:
            ValueError: A camera neither stands still nor moves with the tool without rotation.
        """
        centers = scenes.poses[:, :, :3, 3].astype(np.float64)
        offsets = centers - scenes.tool[:, None]
        is_on_hand = offsets.std(axis=0).max(axis=1) < centers.std(axis=0).max(axis=1)
        chosen = np.where(is_on_hand[:, None], offsets.mean(axis=0), centers.mean(axis=0))
        first, _, last = np.linalg.svd(scenes.poses[:, :, :3, :3].astype(np.float64).mean(axis=0))
        first[..., 2] *= np.sign(np.linalg.det(first @ last))[:, None]
        mean, std = _moments(scenes.positions)
        spread = np.maximum(std, MIN_SPREAD)
        for name, values in (
            ("centers", chosen),
            ("is_on_hand", is_on_hand[:, None].astype(np.float64)),
            ("rotations", first @ last),  # the rotation that is closest to the mean
            ("intrinsics", scenes.intrinsics),
            ("mean", mean),
            ("precision", 1.0 / spread**2),
        ):
            self.get_buffer(name).copy_(torch.from_numpy(np.asarray(values)))
        self._check_cameras(scenes)

    def _check_cameras(self, scenes: Scenes) -> None:
        """Check that the model of the cameras gives the pixels of the labels."""
        expected = self.pixels(torch.from_numpy(scenes.positions), torch.from_numpy(scenes.tool)).transpose(1, 2)
        errors = np.linalg.norm(expected.numpy() - scenes.pixels, axis=3)
        for camera, intrinsics in enumerate(scenes.intrinsics):
            known = errors[:, camera][~np.isnan(errors[:, camera])]
            largest = MAX_ERROR * 2.0 * float(intrinsics[0, 2])
            if known.size and np.quantile(known, 0.95) > largest:
                raise ValueError(
                    f"camera {camera + 1} does not stand still, nor does it move with the tool without rotation: its "
                    f"pixels are wrong by {np.quantile(known, 0.95):.2g} (95% quantile); expected at most "
                    f"{largest:.2g}. Use demonstrations with control='ee' and without randomized cameras"
                )

    def pixels(self, positions: torch.Tensor, tool: torch.Tensor) -> torch.Tensor:
        """Return where the cameras would see positions, shape (N, objects, cameras, 2).

        Args:
            positions: Positions of the objects, meters, shape (N, objects, 3).
            tool: Position of the tool, meters, shape (N, 3).
        """
        away = positions[:, :, None] - self._centers(tool)[:, None]
        seen = torch.einsum("cki,nock->noci", self.get_buffer("rotations"), away)
        focal, principal = self._focal
        return seen[..., :2] / seen[..., 2:].clamp(min=MIN_DEPTH) * focal + principal

    def log_std(self, keypoints: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the standard deviation of keypoints, pixels, shape (N, objects, cameras)."""
        rows = keypoints[..., 2:].flatten(1, 2)
        found = [network(rows[:, number]) for number, network in enumerate(self.networks)]
        low, high = LOG_STD
        # Clamped values would have no gradient: a network that ends at the smallest one could not learn occlusions.
        return low + (high - low) * torch.cat(found, dim=1).reshape(len(rows), *self.shape).sigmoid()

    def information(self, keypoints: torch.Tensor, tool: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what N observations contribute to the estimate of positions, as information matrices and vectors.

        A Gaussian with precision matrix A and mean m has the information A and A m. That of several observations adds
        up.

        Args:
            keypoints: Shape (N, objects, cameras, 5).
            tool: Position of the tool, meters, shape (N, 3).

        Returns:
            Shapes (N, objects, 3, 3) and (N, objects, 3), as 64-bit numbers.
        """
        # In 64 bits: cameras are far away compared with the millimeters that matter.
        keypoints, precision = keypoints.double(), (-2.0 * self.log_std(keypoints)).exp().double()
        centers = self._centers(tool)[:, None].double()
        focal, principal = (values.double() for values in self._focal)
        ahead = torch.cat([(keypoints[..., :2] - principal) / focal, torch.ones_like(keypoints[..., :1])], dim=-1)
        rays = torch.einsum("cij,nocj->noci", self.get_buffer("rotations").double(), ahead)
        rays = rays / rays.square().sum(dim=-1, keepdim=True).sqrt()
        # A keypoint constrains the position across its ray, not along it.
        projection = torch.eye(3, device=rays.device, dtype=rays.dtype) - rays[..., :, None] * rays[..., None, :]
        mean = self.get_buffer("mean").double().expand(len(tool), -1, -1)
        for _ in range(ITERATIONS):
            distance = (mean[:, :, None] - centers).square().sum(dim=-1).clamp(min=MIN_DEPTH**2)
            weights = (precision * focal.square().mean(dim=1) / distance)[..., None, None]
            matrix = (weights * projection).sum(dim=2)
            vector = (weights * projection @ centers[..., None]).sum(dim=2)[..., 0]
            mean = self.positions(matrix, vector)
        return matrix, vector

    def positions(self, matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
        """Return the most likely positions, meters, shape (N, objects, 3).

        Args:
            matrix: Information of all observations, shape (N, objects, 3, 3).
            vector: Shape (N, objects, 3).
        """
        precision, mean = self.get_buffer("precision").double(), self.get_buffer("mean").double()
        return (inverse(matrix + diagonal(precision)) @ (vector + precision * mean)[..., None])[..., 0]

    def compute_loss(self, batch: LabeledKeypoints) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean negative log-likelihood of pixels around keypoints, without its constant; shape ()."""
        log_std = self.log_std(batch.keypoints)
        squares = (batch.keypoints[..., :2] - batch.pixels).square().sum(dim=-1)
        is_known = ~squares.isnan()
        losses = 0.5 * torch.where(is_known, squares, 0.0) * (-2.0 * log_std).exp() + 2.0 * log_std
        loss = losses[is_known].sum() / is_known.sum().clamp(min=1)
        return loss, {"negative log-likelihood": loss}

    @property
    def _focal(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Focal lengths and principal points of the cameras, pixels, each of shape (cameras, 2)."""
        intrinsics = self.get_buffer("intrinsics")
        return torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], dim=1), intrinsics[:, :2, 2]

    def _centers(self, tool: torch.Tensor) -> torch.Tensor:
        """Return the centers of the cameras, meters, shape (N, cameras, 3)."""
        return self.get_buffer("centers") + self.get_buffer("is_on_hand") * tool[:, None]


def _moments(positions: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of the positions of each object, shape (objects, 3).

    Those of an object that is absent everywhere are the ones of all objects together.

    Args:
        positions: Shape (N, objects, 3); NaN for an absent object.
    """
    is_absent = np.asarray(np.isnan(positions).all(axis=(0, 2)))[:, None]
    overall = np.nanmean(positions, axis=(0, 1)), np.nanstd(positions, axis=(0, 1))
    # Means of no numbers would warn.
    filled = np.where(is_absent, overall[0], positions)
    mean, std = np.nanmean(filled, axis=0), np.nanstd(filled, axis=0)
    return mean, np.where(is_absent, overall[1], std)


def diagonal(values: torch.Tensor) -> torch.Tensor:
    """Return diagonal matrices, shape (..., 3, 3), for values of shape (..., 3)."""
    return values[..., None] * torch.eye(3, device=values.device, dtype=values.dtype)


def inverse(matrix: torch.Tensor) -> torch.Tensor:
    """Return the inverse of matrices by Cramer's rule, which every runtime of exported policies knows.

    Args:
        matrix: Symmetric matrices, shape (..., 3, 3).
    """
    first, second, third = matrix.unbind(dim=-1)
    cofactors = torch.stack([_cross(second, third), _cross(third, first), _cross(first, second)], dim=-2)
    determinant = (first * cofactors[..., 0, :]).sum(dim=-1)
    return cofactors / determinant[..., None, None]


def _cross(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return cross products of vectors of shape (..., 3)."""
    (ax, ay, az), (bx, by, bz) = one.unbind(dim=-1), other.unbind(dim=-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)

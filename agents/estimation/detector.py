"""Detector of keypoints: a heatmap of each camera's image shows where the position of each object is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from agents.data.demonstrations import Transitions
from agents.policies.torch_policy import TorchModel
from agents.types import Tensors

CHANNELS = 16
STRIDE = 2
"""Pixels between two cells of a heatmap."""
TARGET_STD = 1.5
"""Standard deviation of the distribution that a heatmap is to have around a keypoint, pixels."""
KEYPOINT_SIZE = 5
"""Numbers of a keypoint: column and row, pixels; the highest value of its heatmap; and the logarithms of the
variances of column and row."""
PEAK_SCALE = 10.0
"""Divides the highest value of a heatmap, so that it is about as large as the other numbers."""
SOFTMAX_SCALE = 2.0
"""Factor of heatmaps before their softmax: a keypoint then depends less on what is far from it."""


@dataclass(frozen=True)
class LabeledImages:
    """Images in which the positions of objects are known. Indexing gives a minibatch.

    Attributes:
        steps: Steps of demonstrations with their observations.
        pixels: Column and row of each object in the image of each camera, shape (N, cameras, objects, 2); NaN where
            it is occluded or outside the image.
        chosen: Numbers of the steps that are examples; None for all.
    """

    steps: Transitions
    pixels: torch.Tensor
    chosen: torch.Tensor | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.pixels) if self.chosen is None else len(self.chosen)

    def __getitem__(self, rows: Any) -> LabeledImages:
        """Return some of the examples."""
        numbers = rows if self.chosen is None else self.chosen[rows]
        return LabeledImages(self.steps[numbers], self.pixels[numbers])

    def to(self, device: torch.device) -> LabeledImages:
        """Return a minibatch, with the same shapes, on a device."""
        return LabeledImages(self.steps.to(device), self.pixels.to(device))


class KeypointDetector(TorchModel[LabeledImages]):
    """Convolutional network for each camera, which gives a heatmap for each object.

    A heatmap becomes a keypoint by the mean position of its softmax (Levine et al. 2016, section 4.1). The network
    sees no coordinates: what it has learned about an object holds wherever the object is.

    Args:
        cameras: Height and width of the images of each camera, pixels.
        objects: Number of objects.
    """

    def __init__(self, cameras: Mapping[str, tuple[int, int]], objects: int) -> None:
        super().__init__()
        self.sizes = dict(cameras)
        self.networks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, CHANNELS, kernel_size=5, stride=STRIDE, padding=2),
                nn.ReLU(),
                nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
                nn.ReLU(),
                # A bias would change neither softmax nor loss: rounding errors alone would train it.
                nn.Conv2d(CHANNELS, objects, kernel_size=3, padding=2, dilation=2, bias=False),
            )
            for _ in cameras
        )

    def heatmaps(self, observations: Tensors) -> list[torch.Tensor]:
        """Return the heatmaps of each camera, shape (N, objects, rows, columns), for N observations."""
        parts = cast("dict[str, torch.Tensor]", observations)
        return [
            network(parts[camera].permute(0, 3, 1, 2).float() / 127.5 - 1.0)
            for camera, network in zip(self.sizes, self.networks, strict=True)
        ]

    def forward(self, observations: Tensors) -> torch.Tensor:
        """Return the keypoints of N observations, shape (N, objects, cameras, 5)."""
        found = []
        for heatmap in self.heatmaps(observations):
            weights = (SOFTMAX_SCALE * heatmap).flatten(2).softmax(dim=2).reshape(heatmap.shape)
            moments = [_moments(weights.sum(dim=2), 0, heatmap), _moments(weights.sum(dim=3), 1, heatmap)]
            (column, across), (row, down) = moments
            found.append(torch.stack([column, row, heatmap.amax(dim=(2, 3)) / PEAK_SCALE, across, down], dim=2))
        return torch.stack(found, dim=2)

    def compute_loss(self, batch: LabeledImages) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean cross-entropy of heatmaps and Gaussian distributions around the keypoints; shape ().

        Images in which an object is occluded or absent do not count for it.
        """
        losses = []
        for camera, heatmap in enumerate(self.heatmaps(batch.steps.observations)):
            known = batch.pixels[:, camera]
            is_seen = ~known.isnan().any(dim=2)
            columns, rows = _cells(heatmap)
            across, down = known.nan_to_num()[..., 0, None], known.nan_to_num()[..., 1, None]
            distance = ((columns - across) ** 2)[:, :, None] + ((rows - down) ** 2)[..., None]
            target = (-distance / (2.0 * TARGET_STD**2)).flatten(2).softmax(dim=2)
            entropy = -(target * heatmap.flatten(2).log_softmax(dim=2)).sum(dim=2)
            losses.append((entropy * is_seen).sum() / is_seen.sum().clamp(min=1))
        loss = torch.stack(losses).mean()
        return loss, {"cross-entropy": loss}


def _moments(weights: torch.Tensor, axis: int, heatmap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and logarithm of the variance of a distribution over the columns (axis 0) or rows of an image.

    Args:
        weights: Shape (N, objects, cells).
        axis: 0 or 1.
        heatmap: Heatmap of the distribution.

    Returns:
        Pixels, and the logarithm of square pixels, each of shape (N, objects).
    """
    cells = _cells(heatmap)[axis]
    mean = (weights * cells).sum(dim=2)
    variance = (weights * (cells - mean[..., None]).square()).sum(dim=2)
    return mean, variance.clamp(min=1e-2).log()


def _cells(heatmap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the columns and the rows of the image in the middle of a heatmap's cells, pixels."""
    _, _, rows, columns = heatmap.shape
    return (
        STRIDE * torch.arange(columns, device=heatmap.device, dtype=heatmap.dtype),
        STRIDE * torch.arange(rows, device=heatmap.device, dtype=heatmap.dtype),
    )

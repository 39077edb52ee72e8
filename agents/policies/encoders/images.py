"""Encoder of images: a small convolutional network, random shifts as augmentation, and optional depth."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import nn

from agents.data.spaces import has_channels_first, is_depth_image, is_image, parts_of
from agents.types import Space, Tensors

Readout: TypeAlias = Literal["spatial_softmax", "pooling", "patches"]
CHANNELS = 32
"""Channels of each convolution; twice the channels take about twice the time."""
GRID = 3
"""Rows and columns of pooled cells, or of patches."""
MIN_SIZE = 20
"""Smallest height and width in pixels."""


class ImageEncoder(nn.Module):
    """Encoder of images as one token, or as a token for each patch.

    Three convolutions (a small version of Mnih et al. 2015) see the pixels and their coordinates. The readout is one
    of ``spatial_softmax``, the mean position of each channel's activation (Levine et al. 2016) and its maximum;
    ``pooling``, the means of 3 x 3 cells; and ``patches``, a token for each of these cells.

    Args:
        channels: Channels of an image; depth is a fourth one.
        height: Rows, at least 20.
        width: Columns, at least 20.
        readout: Readout of the last convolution.
        token_width: Numbers W in a token.

    Raises:
        ValueError: The images are too small.

    Attributes:
        shape: Channels, height and width of an image.
        tokens: Tokens of an image.
    """

    def __init__(self, channels: int, height: int, width: int, readout: Readout, token_width: int) -> None:
        super().__init__()
        if min(height, width) < MIN_SIZE:
            raise ValueError(f"images are {height} x {width}; expected at least {MIN_SIZE} x {MIN_SIZE}")
        self.tokens = tokens_of(readout)
        self.readout, self.token_width = readout, token_width
        self.shape = channels, height, width
        rows, columns = torch.linspace(-1.0, 1.0, height), torch.linspace(-1.0, 1.0, width)
        coordinates = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        self.register_buffer("coordinates", coordinates, persistent=False)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels + 2, CHANNELS, kernel_size=8, stride=4, padding=2),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
        )
        inputs = {"spatial_softmax": 3 * CHANNELS, "pooling": GRID * GRID * CHANNELS, "patches": CHANNELS}[readout]
        self.layer = nn.Linear(inputs, token_width)
        self.positions = nn.Parameter(0.02 * torch.randn(self.tokens, token_width))
        self.pooling = nn.AdaptiveAvgPool2d(GRID)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return tokens of shape (M, tokens, W) for images of shape (M, channels, height, width), about [-1, 1]."""
        coordinates = self.get_buffer("coordinates").expand(len(images), -1, -1, -1)
        activations = self.convolutions(torch.cat([images, coordinates], dim=1))
        if self.readout == "spatial_softmax":
            rows = torch.cat([spatial_softmax(activations), activations.amax(dim=(2, 3))], dim=1)[:, None]
        else:
            cells = self.pooling(nn.functional.relu(activations))
            rows = cells.flatten(1)[:, None] if self.readout == "pooling" else cells.flatten(2).transpose(1, 2)
        tokens: torch.Tensor = self.layer(rows) + self.positions
        return tokens


def tokens_of(readout: Readout) -> int:
    """Return the number of tokens of an image."""
    return GRID * GRID if readout == "patches" else 1


def spatial_softmax(activations: torch.Tensor) -> torch.Tensor:
    """Return the mean position of each channel's softmax (Levine et al. 2016, End-to-End Training, section 4.1).

    Args:
        activations: Shape (M, channels, rows, columns).

    Returns:
        Row and column from -1 to 1, shape (M, 2 * channels).
    """
    _, _, height, width = activations.shape
    weights = activations.flatten(2).softmax(dim=2).reshape(activations.shape)
    rows = torch.linspace(-1.0, 1.0, height, device=activations.device)
    columns = torch.linspace(-1.0, 1.0, width, device=activations.device)
    return torch.cat([weights.sum(dim=3) @ rows, weights.sum(dim=2) @ columns], dim=1)


def draw_shifts(count: int, pixels: int, device: torch.device) -> torch.Tensor:
    """Draw by how many pixels images move up and to the left, shape (2, count).

    Args:
        count: Number of windows.
        pixels: Largest shift in each direction.
        device: Device of the images.
    """
    return torch.randint(-pixels, pixels + 1, (2, count), device=device)


def shifted(images: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Return shifted images, the same shift for all images of a window; edges are repeated.

    Kostrikov et al. 2020, Image Augmentation Is All You Need, section 3.

    Args:
        images: Shape (N, H, height, width, channels).
        shifts: Rows and columns to shift by, shape (2, N).

    Returns:
        Images of the same shape and type.
    """
    count, frames, height, width, _ = images.shape
    rows = (torch.arange(height, device=images.device) + shifts[0, :, None]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + shifts[1, :, None]).clamp(0, width - 1)
    window = torch.arange(count, device=images.device)[:, None, None, None]
    frame = torch.arange(frames, device=images.device)[None, :, None, None]
    return images[window, frame, rows[:, None, :, None], columns[:, None, None, :]]


def shifted_images(observations: Tensors, space: Space, pixels: int) -> Tensors:
    """Return observations whose images are shifted at random, those of one observation alike.

    Args:
        observations: Tensor of shape (N, ...), or a dict of such.
        space: Space of the observations.
        pixels: Largest shift in each direction.
    """
    parts = observations if isinstance(observations, dict) else {"": observations}
    first = next(iter(parts.values()))
    shifts = draw_shifts(len(first), pixels, first.device)
    moved = dict(parts)
    for name, part in parts_of(space).items():
        if not (is_image(part) or is_depth_image(part)):
            continue
        if is_image(part) and has_channels_first(part.shape):
            moved[name] = shifted(parts[name].movedim(1, -1)[:, None], shifts)[:, 0].movedim(-1, 1)
        else:
            moved[name] = shifted(parts[name][:, None], shifts)[:, 0]
    return moved if isinstance(observations, dict) else moved[""]

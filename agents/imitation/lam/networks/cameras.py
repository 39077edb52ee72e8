"""Images of cameras as tokens of the Large Action Model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

import torch
from torch import nn

from agents.data.cameras import Shape
from agents.policies.encoders.images import ImageEncoder, Readout, draw_shifts, shifted, tokens_of

Images: TypeAlias = dict[str, torch.Tensor]
"""Images of N steps by camera, uint8, shape (N, height, width, channels)."""
LARGEST_BYTE = 255.0


class CameraTokens(nn.Module):
    """Encoder of the images of several cameras, one convolutional network for each.

    Args:
        shapes: Shape of the images, by camera.
        readout: Readout of the convolutions: one token for an image, or one for each patch.
        width: Numbers W in a token.
        hidden: Size H of the hidden layers before the actions.

    Attributes:
        tokens: Tokens P of all cameras.
    """

    def __init__(self, shapes: Mapping[str, Shape], readout: Readout, width: int, hidden: int) -> None:
        super().__init__()
        self.cameras = tuple(shapes)
        self.encoders = nn.ModuleList(
            ImageEncoder(channels, height, columns, readout, width) for height, columns, channels in shapes.values()
        )
        self.names = nn.Parameter(0.02 * torch.randn(len(shapes), 1, width))
        self.tokens = len(shapes) * tokens_of(readout)
        self.summary = nn.Linear(self.tokens * width, hidden, bias=False)

    def by_name(self) -> list[tuple[str, ImageEncoder]]:
        """Return camera and encoder of each image."""
        encoders = [cast(ImageEncoder, encoder) for encoder in self.encoders]
        return list(zip(self.cameras, encoders, strict=True))

    def forward(self, images: Images) -> torch.Tensor:
        """Return the tokens of all cameras, shape (N, P, W).

        Args:
            images: Images of each camera.
        """
        parts = []
        for name, camera, encoder in zip(self.names, self.cameras, self.encoders, strict=True):
            scaled = images[camera].permute(0, 3, 1, 2).float() / (0.5 * LARGEST_BYTE) - 1.0
            parts.append(encoder(scaled) + name)
        return torch.cat(parts, dim=1)


def shifted_at_random(images: Images, pixels: int) -> Images:
    """Return images that are shifted at random, each by its own number of pixels (Kostrikov et al. 2020, section 3).

    Args:
        images: Images of each camera.
        pixels: Largest shift in each direction; 0 for none.
    """
    if pixels == 0:
        return images
    return {
        camera: shifted(frames[:, None], draw_shifts(len(frames), pixels, frames.device))[:, 0]
        for camera, frames in images.items()
    }

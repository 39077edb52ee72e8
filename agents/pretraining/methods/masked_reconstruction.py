"""Masked reconstruction (He et al. 2022; Xiao et al. 2022): an image is reconstructed from visible patches."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from agents.data.sequences import Steps
from agents.pretraining.frames import FrameBatch, Frames, Rows
from agents.pretraining.model import PretrainingModel, PretrainingSettings
from agents.training.settings import Count

CHANNELS = 16
"""Channels of the decoder."""
DIVISOR = 2
"""Images are reconstructed at this fraction of their size; a cube is still several pixels wide."""


class MaskedReconstructionSettings(PretrainingSettings):
    """Settings of masked reconstruction."""

    mask_ratio: float = Field(0.5, gt=0.0, lt=1.0, description="Share of the patches that are hidden.")
    patch_size: Count = Field(12, description="Height and width of a patch, pixels.")


class MaskedReconstruction(PretrainingModel):
    """Masked reconstruction: patches of an image are hidden, and reconstructed from the code of the rest.

    **Idea.** To fill in what is hidden, an encoder has to represent where the arm and the objects are.

    **Equation.** The loss is the mean of (x_p - d(f(m * x))_p)^2 over the hidden pixels p, where m hides patches, f
    is the encoder and d a small decoder.

    **Paper.** He et al. 2022, Masked Autoencoders Are Scalable Vision Learners, section 3; Xiao et al. 2022, Masked
    Visual Pre-training for Motor Control.

    **Differences.** The papers encode visible patches by a Transformer and hide 75%; here a convolutional network
    encodes the image with gray patches into one token. A token holds less, so only half of the patches are
    hidden, and the image is reconstructed at half its size.
    """

    name = "masked-reconstruction"
    settings_class = MaskedReconstructionSettings
    settings: MaskedReconstructionSettings

    def __init__(self, frames: Frames, settings: MaskedReconstructionSettings) -> None:
        super().__init__(frames, settings)
        self.decoders = nn.ModuleList(_decoder(self.code_size, *camera.shape) for camera in self.cameras)

    def draw(self, steps: Steps) -> Rows:
        """Return the first frames alone, shape (n, 1)."""
        rows: Rows = steps.rows[:, None]
        return rows

    def compute_loss(self, batch: FrameBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the mean over the cameras of the error at hidden pixels, shape ()."""
        losses = []
        for number, decoder in enumerate(self.decoders):
            pixels = self.pixels(number, batch.images)
            hidden = self._hidden(pixels)
            code = self.code(number, torch.where(hidden[:, None], 0.0, pixels))
            reconstructed: torch.Tensor = decoder(code[:, 0])
            size = (reconstructed.shape[2], reconstructed.shape[3])
            target = nn.functional.adaptive_avg_pool2d(pixels[:, 0], size)
            weights = nn.functional.adaptive_avg_pool2d(hidden.float(), size)
            errors = (reconstructed - target).square().mean(dim=1, keepdim=True)
            losses.append((errors * weights).sum() / weights.sum().clamp(min=1.0))
        loss = torch.stack(losses).mean()
        return loss, {"error": loss}

    def _hidden(self, pixels: torch.Tensor) -> torch.Tensor:
        """Draw hidden patches: True at hidden pixels, shape (N, 1, height, width)."""
        height, width = pixels.shape[3:]
        size = self.settings.patch_size
        grid = (len(pixels), 1, math.ceil(height / size), math.ceil(width / size))
        hidden = torch.rand(grid, device=pixels.device) < self.settings.mask_ratio
        return hidden.repeat_interleave(size, dim=2).repeat_interleave(size, dim=3)[:, :, :height, :width]


def _decoder(code_size: int, channels: int, height: int, width: int) -> nn.Module:
    """Return a decoder of codes of shape (N, D): images of shape (N, channels, height / 2, width / 2), rounded up."""
    rows, columns = math.ceil(height / DIVISOR), math.ceil(width / DIVISOR)
    small = math.ceil(rows / 4), math.ceil(columns / 4)
    return nn.Sequential(
        nn.Linear(code_size, CHANNELS * small[0] * small[1]),
        nn.Unflatten(1, (CHANNELS, *small)),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(CHANNELS, CHANNELS, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Upsample(size=(rows, columns)),
        nn.Conv2d(CHANNELS, channels, kernel_size=3, padding=1),
    )

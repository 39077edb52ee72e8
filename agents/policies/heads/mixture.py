"""Head with a mixture of Gaussians; one component is a Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Mixture:
    """Mixture of M Gaussians with diagonal covariance, over D numbers.

    Attributes:
        logits: Unnormalized log weights, shape (..., M).
        means: Shape (..., M, D).
        stds: Standard deviations, shape (..., M, D).
    """

    logits: torch.Tensor
    means: torch.Tensor
    stds: torch.Tensor

    def log_prob(self, values: torch.Tensor, is_pad: torch.Tensor | None = None) -> torch.Tensor:
        """Return log densities, shape (...).

        Args:
            values: Shape (..., D).
            is_pad: Shape (..., D): True for numbers that do not count; the density is that of the others.
        """
        errors = (values[..., None, :] - self.means) / self.stds
        densities = -0.5 * errors.square() - self.stds.log() - 0.5 * math.log(2.0 * math.pi)
        if is_pad is not None:
            densities = densities.masked_fill(is_pad[..., None, :], 0.0)
        return torch.logsumexp(self.logits.log_softmax(dim=-1) + densities.sum(dim=-1), dim=-1)

    def mode(self) -> torch.Tensor:
        """Return the mean of the most likely component, shape (..., D)."""
        return self._mean_of(self.logits.argmax(dim=-1))[0]

    def sample(self) -> torch.Tensor:
        """Draw values, shape (..., D)."""
        weights = self.logits.softmax(dim=-1)
        chosen = torch.multinomial(weights.flatten(0, -2), 1).reshape(weights.shape[:-1])
        means, stds = self._mean_of(chosen)
        return means + stds * torch.randn_like(means)

    def _mean_of(self, component: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of components, shape (..., D), by their numbers, shape (...)."""
        index = component[..., None, None].expand(*component.shape, 1, self.means.shape[-1])
        return self.means.gather(-2, index)[..., 0, :], self.stds.gather(-2, index)[..., 0, :]


class MixtureHead(nn.Module):
    """Head that predicts a mixture of Gaussians (Bishop 1994, Mixture Density Networks).

    Args:
        inputs: Numbers in a feature.
        size: Numbers D of a value.
        components: Components M; 1 for a Gaussian.
        min_std: Smallest standard deviation. Without it, actions that never vary would dominate the likelihood.
    """

    def __init__(self, inputs: int, size: int, components: int, min_std: float) -> None:
        super().__init__()
        self.size, self.components, self.min_std = size, components, min_std
        self.layer = nn.Linear(inputs, components * (1 + 2 * size))

    def forward(self, features: torch.Tensor) -> Mixture:
        """Return the mixture for features of shape (..., inputs)."""
        logits, means, spread = self.layer(features).split(
            [self.components, self.components * self.size, self.components * self.size], dim=-1
        )
        shape = (self.components, self.size)
        stds = nn.functional.softplus(spread.unflatten(-1, shape)) + self.min_std
        return Mixture(logits, means.unflatten(-1, shape), stds)

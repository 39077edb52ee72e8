"""Encoders of vectors: the whole vector as one token, or each named feature as a token of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from agents.policies.normalizer import Standardizer
from demos.datasets.statistics import Statistics

NEAR = 0.2
"""Distance from 0, in the units of observations, below which asinh is about linear."""


class VectorEncoder(nn.Module):
    """Encoder of a vector of numbers as one token.

    Args:
        size: Numbers in the vector.
        width: Numbers W in a token.
        near_zero: Also encode asinh(x / 0.2) of each number x that is not masked. Relative positions are given in
            units of 10 cm: this resolves millimeters near 0, where objects touch.
    """

    tokens = 1

    def __init__(self, size: int, width: int, *, near_zero: bool = False) -> None:
        super().__init__()
        self.standardizer = Standardizer(size)
        self.near_zero = near_zero
        self.layer = nn.Linear(2 * size if near_zero else size, width)

    def fit(self, statistics: Statistics, masked: Sequence[int] = ()) -> None:
        """Set the normalizer; see :meth:`agents.policies.normalizer.Standardizer.fit`."""
        self.standardizer.fit(statistics, masked)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return tokens of shape (N, H, 1, W) for arrays of shape (N, H, ...)."""
        # Scalars need an axis to flatten.
        numbers = values[..., None].flatten(2)
        standard = self.standardizer(numbers)
        if self.near_zero:
            is_used = self.standardizer.get_buffer("spread").isfinite()
            standard = torch.cat([standard, torch.asinh(numbers.float() / NEAR) * is_used], dim=-1)
        tokens: torch.Tensor = self.layer(standard)
        return tokens[:, :, None]


class FeatureEncoder(nn.Module):
    """Encoder of a vector of named features as one token per feature.

    Each feature has weights of its own; one matrix product applies all of them.

    Args:
        sizes: Numbers in each of the F features, in the order of the vector.
        width: Numbers W in a token.
    """

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.tokens = len(sizes)
        self.standardizer = Standardizer(sum(sizes))
        feature = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(list(sizes)))
        self.register_buffer("members", (feature == torch.arange(len(sizes))[:, None]).float(), persistent=False)
        # As nn.Linear initializes each feature's weights.
        bound = torch.tensor([1.0 / math.sqrt(size) for size in sizes])
        self.weights = nn.Parameter((2.0 * torch.rand(sum(sizes), width) - 1.0) * bound[feature][:, None])
        self.bias = nn.Parameter((2.0 * torch.rand(len(sizes), width) - 1.0) * bound[:, None])

    def fit(self, statistics: Statistics, masked: Sequence[int] = ()) -> None:
        """Set the normalizer; see :meth:`agents.policies.normalizer.Standardizer.fit`."""
        self.standardizer.fit(statistics, masked)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return tokens of shape (N, H, F, W) for vectors of shape (N, H, numbers)."""
        standard: torch.Tensor = self.standardizer(values)
        # (N, H, F, numbers): each row holds the numbers of one feature and zeros.
        return (standard[:, :, None] * self.get_buffer("members")) @ self.weights + self.bias

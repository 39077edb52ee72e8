"""Normalizers of observations. Their numbers are part of a policy's weights, so they are saved with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from demos.datasets.statistics import Statistics

MIN_STD = 0.01
"""Observations have about unit range: dimensions with a standard deviation below this are not scaled."""
MAX_STANDARDIZED = 10.0
"""Standardized numbers are clipped to plus and minus this, so that new values do not make activations explode."""


def spread_of(statistics: Statistics, masked: Sequence[int] = ()) -> npt.NDArray[np.float64]:
    """Return the numbers that standardizing divides by, shape (numbers,).

    Args:
        statistics: Statistics of a dataset.
        masked: Indices of numbers that become 0.
    """
    spread = np.where(statistics.std < MIN_STD, 1.0, statistics.std).ravel()
    spread[list(masked)] = np.inf
    return spread


class Standardizer(nn.Module):
    """Layer that standardizes numbers by the mean and standard deviation of demonstrations.

    Args:
        size: Number of dimensions.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, statistics: Statistics, masked: Sequence[int] = ()) -> None:
        """Set mean and standard deviation.

        Args:
            statistics: Statistics of a dataset.
            masked: Indices of numbers that become 0.
        """
        self.get_buffer("mean").copy_(torch.as_tensor(statistics.mean.ravel()))
        self.get_buffer("spread").copy_(torch.as_tensor(spread_of(statistics, masked)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return standardized numbers, shape (..., size), for such numbers."""
        standard = (values.float() - self.get_buffer("mean")) / self.get_buffer("spread")
        return standard.clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)

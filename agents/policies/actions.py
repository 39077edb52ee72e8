"""Actions as codes, in which heads predict: continuous actions in [-1, 1], discrete ones as one number per action."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from agents.types import Space
from demos.datasets.statistics import Statistics

MIN_SPAN = 0.02
"""Smallest distance between the limits of an action in the demonstrations, relative to its bounds: codes of actions
that hardly vary would otherwise amplify noise."""


class ActionCodec(nn.Module):
    """Layer without weights that turns actions into codes and back.

    The code of a continuous action is -1 at its minimum in the demonstrations and 1 at its maximum. The code of a
    discrete action is 1 for itself and -1 for the others.

    Args:
        space: Action space, a Box or Discrete.

    Raises:
        ValueError: The space is of another kind.

    Attributes:
        is_discrete: True for discrete actions.
        size: Numbers C of the code of one action.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        if isinstance(space, spaces.Discrete):
            self.size = int(space.n)
        elif isinstance(space, spaces.Box):
            self.size = math.prod(space.shape)
        else:
            raise ValueError(f"actions are {space}; expected a Box or Discrete")
        self.space = space
        self.is_discrete = isinstance(space, spaces.Discrete)
        self.register_buffer("middle", torch.zeros(self.size))
        self.register_buffer("reach", torch.ones(self.size))

    def fit(self, statistics: Statistics, *, is_rotated: bool = False) -> None:
        """Set the limits of continuous actions.

        Args:
            statistics: Statistics of the demonstrated actions.
            is_rotated: The first two numbers are a motion that may be rotated by any angle before it is encoded.
        """
        if not isinstance(self.space, spaces.Box):
            return
        low, high = statistics.min.ravel(), statistics.max.ravel()
        bounds = (self.space.high - self.space.low).ravel().astype(np.float64)
        reach = np.maximum((high - low) / 2, MIN_SPAN / 2 * np.where(np.isfinite(bounds), bounds, 1.0))
        middle = (high + low) / 2
        if is_rotated:
            longest = np.hypot(*np.maximum(np.abs(low[:2]), np.abs(high[:2])))
            middle[:2], reach[:2] = 0.0, max(longest, *reach[:2])
        self.get_buffer("middle").copy_(torch.as_tensor(middle))
        self.get_buffer("reach").copy_(torch.as_tensor(reach))

    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the codes of the lower and upper bounds of continuous actions, shape (C,) each."""
        space, device = cast(spaces.Box, self.space), self.get_buffer("middle").device
        low, high = (self.encode(torch.as_tensor(bound, device=device)) for bound in (space.low, space.high))
        return low, high

    def encode(self, actions: torch.Tensor) -> torch.Tensor:
        """Return codes of shape (..., C) for actions of the shape (..., *space.shape)."""
        if self.is_discrete:
            chosen = actions.long() - int(getattr(self.space, "start", 0))
            return 2.0 * nn.functional.one_hot(chosen, self.size).float() - 1.0
        flat = actions.float().reshape(*actions.shape[: actions.ndim - len(self.space.shape or ())], self.size)
        return (flat - self.get_buffer("middle")) / self.get_buffer("reach")

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return actions of shape (..., *space.shape) for codes of shape (..., C); the largest number is chosen."""
        if self.is_discrete:
            return codes.argmax(dim=-1) + int(getattr(self.space, "start", 0))
        actions = self.get_buffer("middle") + self.get_buffer("reach") * codes
        return actions.reshape(*codes.shape[:-1], *(self.space.shape or ()))

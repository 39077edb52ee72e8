"""Head with a categorical distribution for each action of a chunk."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from agents.policies.heads.chunks import log_probability


@dataclass(frozen=True)
class Categorical:
    """Independent categorical distributions over C actions, for each of K steps.

    Attributes:
        logits: Unnormalized log probabilities, shape (..., K, C).
    """

    logits: torch.Tensor

    def log_prob(self, codes: torch.Tensor, is_pad: torch.Tensor | None = None) -> torch.Tensor:
        """Return log probabilities of chunks, shape (...).

        Args:
            codes: Codes of actions, shape (..., K, C): 1 for the action, -1 for others.
            is_pad: Shape (..., K): True for actions that do not count.
        """
        steps = log_probability(self.logits, codes)
        return (steps if is_pad is None else steps.masked_fill(is_pad, 0.0)).sum(dim=-1)

    def mode(self) -> torch.Tensor:
        """Return probabilities of the actions, whose largest is the most likely one, shape (..., K, C)."""
        return self.logits.softmax(dim=-1)

    def sample(self) -> torch.Tensor:
        """Draw actions; return their codes, shape (..., K, C)."""
        weights = self.logits.softmax(dim=-1)
        chosen = torch.multinomial(weights.flatten(0, -2), 1).reshape(weights.shape[:-1])
        return 2.0 * nn.functional.one_hot(chosen, weights.shape[-1]).float() - 1.0


class CategoricalHead(nn.Module):
    """Head that predicts a categorical distribution for each action of a chunk.

    Args:
        inputs: Numbers in a feature.
        actions: Number C of actions.
        horizon: Actions K of a chunk.
    """

    def __init__(self, inputs: int, actions: int, horizon: int) -> None:
        super().__init__()
        self.shape = (horizon, actions)
        self.layer = nn.Linear(inputs, horizon * actions)

    def forward(self, features: torch.Tensor) -> Categorical:
        """Return the distributions for features of shape (..., inputs)."""
        return Categorical(self.layer(features).unflatten(-1, self.shape))

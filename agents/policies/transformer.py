"""Layers of Transformers (Vaswani et al. 2017), with normalization first (Xiong et al. 2020)."""

from __future__ import annotations

import torch
from torch import nn

FEEDFORWARD = 2
"""Width of the hidden layer after attention, relative to that of the tokens."""


class Attention(nn.Module):
    """Attention with several heads.

    Args:
        width: Numbers W in a token.
        heads: Number of heads, a divisor of the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.value_and_key = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, queries: torch.Tensor, tokens: torch.Tensor, is_pad: torch.Tensor | None) -> torch.Tensor:
        """Return what queries see in tokens.

        Args:
            queries: Shape (N, Q, W).
            tokens: Shape (N, S, W).
            is_pad: Shape (N, S): True for tokens that are not seen; None if all are.

        Returns:
            Shape (N, Q, W).
        """
        value, key = (self._split(part) for part in self.value_and_key(tokens).chunk(2, dim=2))
        mask = None if is_pad is None else ~is_pad[:, None, None]
        seen = nn.functional.scaled_dot_product_attention(self._split(self.query(queries)), key, value, mask)
        output: torch.Tensor = self.output(seen.transpose(1, 2).flatten(2))
        return output

    def weights(self, queries: torch.Tensor, tokens: torch.Tensor, is_pad: torch.Tensor | None) -> torch.Tensor:
        """Return the weights of tokens for queries, the mean of the heads, shape (N, Q, S); see :meth:`forward`."""
        query, key = self._split(self.query(queries)), self._split(self.value_and_key(tokens).chunk(2, dim=2)[1])
        scores = query @ key.transpose(2, 3) / key.shape[3] ** 0.5
        if is_pad is not None:
            scores = scores.masked_fill(is_pad[:, None, None], -torch.inf)
        mean: torch.Tensor = scores.softmax(dim=3).mean(dim=1)
        return mean

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens of shape (N, S, W) by head: shape (N, heads, S, W / heads)."""
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Layer in which tokens see each other.

    Args:
        width: Numbers W in a token.
        heads: Number of heads.
        dropout: Share of the numbers that a training leaves out.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feedforward = _feedforward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, is_pad: torch.Tensor | None = None) -> torch.Tensor:
        """Return tokens of the same shape (N, S, W).

        Args:
            tokens: Shape (N, S, W).
            is_pad: Shape (N, S): True for tokens that are not seen.
        """
        normal = self.norm(tokens)
        tokens = tokens + self.dropout(self.attention(normal, normal, is_pad))
        return tokens + self.feedforward(tokens)  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Layer in which queries see each other, and then tokens.

    Args:
        width: Numbers W in a token.
        heads: Number of heads.
        dropout: Share of the numbers that a training leaves out.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.cross_attention = Attention(width, heads), Attention(width, heads)
        self.feedforward = _feedforward(width, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, is_pad: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return queries of the same shape (N, Q, W).

        Args:
            queries: Shape (N, Q, W).
            tokens: Shape (N, S, W).
            is_pad: Shape (N, S): True for tokens that are not seen.
        """
        normal = self.norm(queries)
        queries = queries + self.dropout(self.attention(normal, normal, None))
        queries = queries + self.dropout(self.cross_attention(self.cross_norm(queries), tokens, is_pad))
        return queries + self.feedforward(queries)  # type: ignore[no-any-return]


def _feedforward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, FEEDFORWARD * width),
        nn.GELU(),
        nn.Linear(FEEDFORWARD * width, width),
        nn.Dropout(dropout),
    )

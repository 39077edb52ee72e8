"""Losses of chunks of actions, without the actions that are padding."""

from __future__ import annotations

import torch
from torch import nn


def masked_mean(values: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """Return the mean of the values that are no padding, shape ().

    Args:
        values: Shape (N, K).
        is_pad: Shape (N, K): True for padding, which gets no gradient.
    """
    weights = (~is_pad).float()
    return (values * weights).sum() / weights.sum().clamp(min=1.0)


def absolute_error(predicted: torch.Tensor, codes: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute error (Zhao et al. 2023, algorithm 1), shape ().

    Args:
        predicted: Predicted codes, shape (N, K, C).
        codes: Demonstrated codes, shape (N, K, C).
        is_pad: Shape (N, K): True for padding.
    """
    return masked_mean((predicted - codes).abs().mean(dim=2), is_pad)


def huber_loss(predicted: torch.Tensor, codes: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """Return the mean Huber loss (Huber 1964, Robust Estimation of a Location Parameter, with k = 1), shape ().

    It is half the squared error up to an error of 1, and grows linearly above.

    Args:
        predicted: Predicted codes, shape (N, K, C).
        codes: Demonstrated codes, shape (N, K, C).
        is_pad: Shape (N, K): True for padding.
    """
    return masked_mean(nn.functional.huber_loss(predicted, codes, reduction="none").mean(dim=2), is_pad)


def cross_entropy(logits: torch.Tensor, codes: torch.Tensor, is_pad: torch.Tensor) -> torch.Tensor:
    """Return the mean cross entropy of discrete actions, shape ().

    Args:
        logits: Logits of the actions, shape (N, K, C).
        codes: Demonstrated codes, shape (N, K, C): 1 for the action, -1 for others.
        is_pad: Shape (N, K): True for padding.
    """
    return masked_mean(-log_probability(logits, codes), is_pad)


def log_probability(logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return the log probabilities of discrete actions, shape (...), for logits and codes of shape (..., C)."""
    return (nn.functional.log_softmax(logits, dim=-1) * (codes > 0)).sum(dim=-1)

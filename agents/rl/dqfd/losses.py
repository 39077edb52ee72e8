"""Losses of DQfD as functions of tensors: J = J_DQ + l1 J_n + l2 J_E + l3 J_L2 (Hester et al. 2018, equation 3).

N is the number of transitions of a minibatch, A the number of actions. Values are in units of discounted reward.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import functional


def double_q_targets(
    returns: torch.Tensor, discounts: torch.Tensor, online: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Return the targets of Q(s, a): y = R + d Q_target(s', argmax_a' Q(s', a')) (van Hasselt et al. 2016).

    For J_DQ R is one reward, and s' the next observation. For J_n R = r_0 + gamma r_1 + ... + gamma^(n-1) r_(n-1),
    and s' the observation n steps later. The Q-network chooses the action and the target network estimates its value:
    one network for both would overestimate values.

    Args:
        returns: R of each transition, shape (N,).
        discounts: d: gamma to the power of the steps in R; 0 where the episode terminated. Shape (N,).
        online: Q(s', .) of the Q-network, shape (N, A).
        target: Q_target(s', .) of the target network, shape (N, A).

    Returns:
        Shape (N,).
    """
    return returns + discounts * values_of(target, online.argmax(dim=1))


def values_of(q_values: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return Q(s, a), shape (N,).

    Args:
        q_values: Q(s, .), shape (N, A).
        actions: Indices of actions, shape (N,).
    """
    return q_values.gather(1, actions[:, None])[:, 0]


def huber(errors: torch.Tensor) -> torch.Tensor:
    """Return e^2 / 2 where |e| < 1, else |e| - 1/2, for each error; shape (N,).

    The paper uses e^2. The Huber loss is half of that for small errors, and its gradient is at most 1.

    Args:
        errors: y - Q(s, a), shape (N,).
    """
    return functional.huber_loss(errors, torch.zeros_like(errors), reduction="none")


def large_margin(q_values: torch.Tensor, demonstrated: torch.Tensor, margin: float) -> torch.Tensor:
    """Return J_E = max_a [Q(s, a) + m(a_E, a)] - Q(s, a_E) (equation 2), shape (N,).

    m is 0 for the demonstrated action a_E and the margin for all others. So the loss is 0 when a_E is better than
    every other action by the margin. Without it, actions that were never demonstrated keep their initial values.

    Args:
        q_values: Q(s, .), shape (N, A).
        demonstrated: a_E, shape (N,).
        margin: Margin, in units of Q.
    """
    others = torch.full_like(q_values, margin).scatter(1, demonstrated[:, None], 0.0)
    return (q_values + others).amax(dim=1) - values_of(q_values, demonstrated)


def squared_weights(parameters: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return J_L2: the sum of the squares of all weights and biases, shape ().

    Args:
        parameters: Parameters of the Q-network.
    """
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()


def weighted_mean(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean of w_i loss_i, shape ().

    Args:
        losses: Losses, shape (N,).
        weights: Importance weights, shape (N,).
    """
    return (weights * losses).mean()

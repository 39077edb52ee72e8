"""Graphs of policies without memory: networks of Stable-Baselines3, and ensembles of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from agents.deployment.export.graph import Graph
from agents.policies.networks import output_of
from agents.types import Space, State, Tensors


class ReactiveGraph(Graph):
    """Graph of one policy, or of an ensemble that acts by its mean or by its majority.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        policies: Policies of the ensemble.
    """

    def __init__(self, observation_space: Space, action_space: Space, policies: Sequence[BasePolicy]) -> None:
        super().__init__(observation_space, action_space)
        self.policies = nn.ModuleList(map(without_distributions, policies))
        self.eval()

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the action, shape (1, ...), and no memory."""
        actions = torch.stack([most_likely(policy, observation) for policy in self.policies])
        if isinstance(self.action_space, spaces.Box):
            return self.bounded(actions).mean(dim=0), {}
        choices = int(cast(spaces.Discrete, self.action_space).n)
        votes = nn.functional.one_hot(actions, choices).sum(dim=0)
        return votes.argmax(dim=-1), {}


def without_distributions(policy: BasePolicy) -> BasePolicy:
    """Clear, in place, the action distributions that training left in a policy, and return the policy.

    They cannot be copied, and every call makes its own.
    """
    for part in policy.modules():
        if isinstance(getattr(part, "action_dist", None), Distribution):
            cast(Any, part).action_dist.distribution = None
    return policy


def most_likely(policy: nn.Module, observation: Tensors) -> torch.Tensor:
    """Return the most likely action of a policy of Stable-Baselines3, shape (N, ...).

    Args:
        policy: Policy.
        observation: Tensor of shape (N, ...), or a dict of such.

    Raises:
        ValueError: The policy is of a class that cannot be exported.
    """
    output, space = output_of(policy, observation), policy.action_space
    if isinstance(space, spaces.Box):
        return output.reshape(-1, *space.shape)
    return output.argmax(dim=-1)

"""Ensemble of policies that are trained together, and its disagreement (Lakshminarayanan et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, cast

import gymnasium as gym
import torch
from torch import nn

from agents.data.features import FeatureIndices
from agents.policies.encoders.images import ImageEncoder
from agents.policies.torch_policy import BatchType, TorchPolicy
from agents.types import Memory, Tensors
from demos.datasets.statistics import Statistics


class EnsemblePolicy(TorchPolicy[BatchType], Generic[BatchType]):
    """Policies without memory that differ in their initial weights; acts by their mean or majority vote.

    Args:
        members: Policies of the same spaces.
    """

    def __init__(self, members: Sequence[TorchPolicy[BatchType]]) -> None:
        super().__init__(members[0].observation_space, members[0].action_space)
        self.members = nn.ModuleList(members)
        self.eval()

    def compute_loss(self, batch: BatchType) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the sum of the losses, shape (), so that each policy is trained independently."""
        losses = torch.stack([member.compute_loss(batch)[0] for member in self.members])  # type: ignore[operator]
        return losses.sum(), {"mean loss": losses.mean()}

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the mean of the policies' actions, or their majority vote, shape (N, ...)."""
        actions = self._actions(observation, deterministic=deterministic)
        if isinstance(self.action_space, gym.spaces.Box):
            return actions.mean(dim=0), memory
        return actions.mode(dim=0).values, memory

    def disagreement(self, observation: Tensors) -> torch.Tensor:
        """Return the disagreement, shape (N,), for observations of shape (N, ...) or a dict of such.

        It is the standard deviation of the actions, averaged over the action dimensions; for discrete actions, the
        fraction of the policies that differ from the majority.
        """
        actions = self._actions(observation, deterministic=True)
        if isinstance(self.action_space, gym.spaces.Box):
            return actions.flatten(2).std(dim=0, correction=0).mean(dim=1)
        return (actions != actions.mode(dim=0).values).float().mean(dim=0)

    def _actions(self, observation: Tensors, *, deterministic: bool) -> torch.Tensor:
        """Return the action of each policy, shape (policies, N, ...)."""
        return torch.stack(
            [member.predict_action(observation, deterministic=deterministic)[0] for member in self.members]  # type: ignore[operator]
        )

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return camera and encoder of each image of each policy."""
        policies = (cast(TorchPolicy[BatchType], member) for member in self.members)
        return [pair for policy in policies for pair in policy.image_encoders()]

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set the normalizer of each policy."""
        for member in self.members:
            member.fit_normalizer(statistics, masked)  # type: ignore[operator]

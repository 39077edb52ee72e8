"""Policy of agent ``keypoints``: an estimator of states, and a policy that acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch

from agents.data.features import FeatureIndices
from agents.estimation.positions import MATRICES, VECTORS
from agents.imitation.keypoints.estimator import StateEstimator
from agents.policies.torch_policy import TorchPolicy
from agents.types import Memory, Space, State, Tensors
from demos.datasets.statistics import Statistics


class KeypointPolicy(TorchPolicy[Any]):
    """Policy that estimates states and acts on them by another policy, whose memory is a part of its own.

    Args:
        observation_space: Space of the observations with images.
        action_space: Space of the actions.
        estimator: Estimator of states.
        state_policy: Policy whose observations are states.
    """

    def __init__(
        self, observation_space: Space, action_space: Space, estimator: StateEstimator, state_policy: TorchPolicy[Any]
    ) -> None:
        super().__init__(observation_space, action_space)
        self.estimator = estimator
        self.state_policy = state_policy
        self.eval()

    def compute_loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of the policy of states, for a minibatch of states."""
        return self.state_policy.compute_loss(batch)

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set the normalizer of states of the policy of states."""
        self.state_policy.fit_normalizer(statistics, masked)

    def initial_memory(self, count: int) -> State:
        """Return the memory at the start of N episodes: tensors of shape (N, ...)."""
        own = self.estimator.initial_memory(count, self.device)
        return {**own, **(self.state_policy.initial_memory(count) or {})}

    def estimate(self, observation: Tensors, memory: State) -> tuple[torch.Tensor, State]:
        """Return the states of N observations, shape (N, features), and the state of the filter for the next step."""
        seen = self.estimator.information(observation)
        positions, matrices, vectors = self.estimator.filter_step(*seen, memory[MATRICES], memory[VECTORS])
        return self.estimator.state(observation, positions), {MATRICES: matrices, VECTORS: vectors}

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the next action of each row, shape (N, ...), and the memory; see :class:`TorchPolicy`."""
        before = cast(State, memory)
        state, sums = self.estimate(observation, before)
        inner = {name: values for name, values in before.items() if name not in sums}
        action, following = self.state_policy.predict_action(state, inner or None, deterministic=deterministic)
        return action, {**sums, **(following or {})}

"""Graph of agent ``keypoints``: its estimator of states, and the graph of the policy that acts on them."""

from __future__ import annotations

import copy

import torch

from agents.deployment.export.graph import Graph, Port
from agents.deployment.export.sequences import MEMORY
from agents.imitation.keypoints.policy import MATRICES, VECTORS, KeypointPolicy
from agents.types import JsonObject, State, Tensors


class KeypointGraph(Graph):
    """Graph of a :class:`agents.imitation.keypoints.policy.KeypointPolicy`.

    Args:
        policy: Policy; its estimator is copied.
        acting: Graph of the policy that acts on states.
    """

    def __init__(self, policy: KeypointPolicy, acting: Graph) -> None:
        super().__init__(policy.observation_space, policy.action_space)
        self.estimator, self.acting = copy.deepcopy(policy.estimator), acting
        self.eval()

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the estimator's sums, and for the memory of the policy that acts."""
        shape = (self.estimator.objects, 3)
        shapes = {MATRICES: (*shape, 3), VECTORS: shape}
        own = (Port(MEMORY + name, each, "float32", "memory") for name, each in shapes.items())
        return (*own, *self.acting.memory)

    @property
    def noise(self) -> tuple[Port, ...]:
        """Input for the noise of the policy that acts, if it is generative."""
        return self.acting.noise

    @property
    def tokenizer(self) -> JsonObject:
        """No words: the agent reads no instruction."""
        return self.acting.tokenizer

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the action, shape (1, ...), and the next memory."""
        before = memory[MEMORY + MATRICES], memory[MEMORY + VECTORS]
        positions, *sums = self.estimator.remembered(*self.estimator.information(observation), *before)
        action, following = self.acting.step(self.estimator.state(observation, positions), memory, noise)
        return action, {**following, MEMORY + MATRICES: sums[0], MEMORY + VECTORS: sums[1]}

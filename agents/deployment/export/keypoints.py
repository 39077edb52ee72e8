"""Graph of agent ``keypoints``: its estimator of states, and the graph of the policy of states on them."""

from __future__ import annotations

import copy

import torch

from agents.deployment.export.graph import Graph, Port
from agents.deployment.export.sequences import MEMORY
from agents.estimation.positions import MATRICES, VECTORS
from agents.imitation.keypoints.policy import KeypointPolicy
from agents.types import JsonObject, State, Tensors


class KeypointGraph(Graph):
    """Graph of a :class:`agents.imitation.keypoints.policy.KeypointPolicy`.

    Args:
        policy: Policy; its estimator is copied.
        state_graph: Graph of the policy of states on states.
    """

    def __init__(self, policy: KeypointPolicy, state_graph: Graph) -> None:
        super().__init__(policy.observation_space, policy.action_space)
        self.estimator, self.state_graph = copy.deepcopy(policy.estimator), state_graph
        self.eval()

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the state of the filter, and for the memory of the policy of states."""
        shape = (self.estimator.objects, 3)
        shapes = {MATRICES: (*shape, 3), VECTORS: shape}
        own = (Port(MEMORY + name, each, "float64", "memory") for name, each in shapes.items())
        return (*own, *self.state_graph.memory)

    @property
    def noise(self) -> tuple[Port, ...]:
        """Input for the noise of the policy of states, if it is generative."""
        return self.state_graph.noise

    @property
    def tokenizer(self) -> JsonObject:
        """No words: the agent reads no instruction."""
        return self.state_graph.tokenizer

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the action, shape (1, ...), and the next memory."""
        before = memory[MEMORY + MATRICES], memory[MEMORY + VECTORS]
        positions, *sums = self.estimator.filter_step(*self.estimator.information(observation), *before)
        action, following = self.state_graph.step(self.estimator.state(observation, positions), memory, noise)
        return action, {**following, MEMORY + MATRICES: sums[0], MEMORY + VECTORS: sums[1]}

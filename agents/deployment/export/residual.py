"""Graph of a residual policy: the graph of the agent that it corrects, and the correction."""

from __future__ import annotations

from typing import cast

import torch
from gymnasium import spaces

from agents.deployment.export.graph import Graph, Port
from agents.deployment.export.reactive import most_likely, without_distributions
from agents.rl.residual import ResidualAgent, augmented
from agents.types import JsonObject, State, Tensors


class ResidualGraph(Graph):
    """Graph of an agent and the correction of its actions. Its memory and its noise are those of the agent.

    Args:
        agent: Residual agent.
        base: Graph of the agent that it corrects.
    """

    span: torch.Tensor

    def __init__(self, agent: ResidualAgent, base: Graph) -> None:
        super().__init__(agent.observation_space, agent.action_space)
        self.base, self.policy = base, without_distributions(agent.policy)
        space = cast(spaces.Box, agent.action_space)
        self.register_buffer("span", torch.as_tensor(agent.settings.scale * (space.high - space.low) / 2.0))
        self.eval()

    @property
    def observations(self) -> tuple[Port, ...]:
        """Inputs for the parts of an observation."""
        return self.base.observations

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the memory of the corrected agent."""
        return self.base.memory

    @property
    def noise(self) -> tuple[Port, ...]:
        """Input for the noise of the corrected agent, if it is generative."""
        return self.base.noise

    @property
    def tokenizer(self) -> JsonObject:
        """Number of each known word of the corrected agent."""
        return self.base.tokenizer

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the corrected action, shape (1, ...), and the next memory."""
        action, following = self.base.step(observation, memory, noise)
        action = self.bounded(action)
        correction = most_likely(self.policy, augmented(observation, action))
        return action + self.span * correction.clamp(-1.0, 1.0), following

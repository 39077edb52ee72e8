"""Graphs of policies that remember and plan; their memory is explicit inputs and outputs."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

from agents.deployment.export.graph import Graph, Port
from agents.policies.encoders.instructions import MAX_WORDS, Vocabulary
from agents.policies.sequence_policy import SequencePolicy
from agents.types import JsonObject, Space, State, Tensors
from lam_envs.observation.instructions import INSTRUCTION_KEY

MEMORY = "memory_"
"""Prefix of the names of inputs for the memory, which are no names of observations."""
NOISE = "noise"


class SequenceGraph(Graph):
    """Graph of a :class:`agents.policies.sequence_policy.SequencePolicy`.

    It predicts a chunk at each step, and discards it while an earlier chunk is executed: every step takes the same
    time. Instructions enter as numbers of words.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
        policy: Policy; it is copied.
    """

    def __init__(self, observation_space: Space, action_space: Space, policy: SequencePolicy) -> None:
        super().__init__(observation_space, action_space)
        self.policy = copy.deepcopy(policy)
        self.vocabulary: Vocabulary | None = None
        if self.policy.encoder.instruction is not None:
            self.vocabulary = self.policy.encoder.instruction.vocabulary
            # The observation holds the numbers of words already.
            self.policy.encoder.instruction.vocabulary = cast(Vocabulary, nn.Identity())
        self.eval()

    @property
    def observations(self) -> tuple[Port, ...]:
        """Inputs for the parts of an observation, with numbers of words in place of an instruction."""
        words = Port(INSTRUCTION_KEY, (MAX_WORDS,), "int64", "instruction")
        is_worded = self.vocabulary is not None
        return tuple(words if is_worded and port.name == INSTRUCTION_KEY else port for port in super().observations)

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the part of the memory that this policy needs."""
        horizons = self.policy.horizons
        plans = horizons.executed > 1 or horizons.ensembling is not None
        needed = {
            "tokens": horizons.observations > 1,
            "age": horizons.observations > 1,
            "chunk": plans,
            "left": plans,
            "weights": horizons.ensembling is not None,
        }
        return tuple(
            Port(MEMORY + name, tuple(values.shape[1:]), str(values.dtype).removeprefix("torch."), "memory")
            for name, values in self._initial_memory().items()
            if needed[name]
        )

    @property
    def noise(self) -> tuple[Port, ...]:
        """Input for the noise that a chunk is made from, if the policy is generative."""
        shape = self.policy.noise_shape
        return () if shape is None else (Port(NOISE, shape, "float32", "noise"),)

    @property
    def tokenizer(self) -> JsonObject:
        """Number of each known word; None without instructions."""
        return {"vocabulary": None if self.vocabulary is None else self.vocabulary.numbers}

    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the action, shape (1, ...), and the next memory."""
        known = self._initial_memory() | {name.removeprefix(MEMORY): values for name, values in memory.items()}
        action, following = self.policy.step(observation, known, noise)
        return action, {MEMORY + name: values for name, values in following.items()}

    def _initial_memory(self) -> State:
        return self.policy.initial_memory(1)

"""Policies as functions of tensors without branches of Python, which ``torch.onnx`` can trace."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from gymnasium import spaces
from torch import nn

from agents.data.spaces import parts_of
from agents.deployment.export.onnx_agent import OBSERVATION
from agents.types import JsonObject, Space, State, Tensors

Role: TypeAlias = Literal["observation", "instruction", "mentions", "memory", "noise", "action"]
NEXT = "next_"
"""Prefix of the name of an output that becomes an input at the next step."""


@dataclass(frozen=True)
class Port:
    """Input or output of a model.

    Attributes:
        name: Name in the model.
        shape: Shape of the array, without a batch axis.
        dtype: Type of its numbers, such as ``float32``.
        role: Kind of the array. Memory and noise are zeros by default.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role


class Graph(nn.Module):
    """Policy for one step of one environment, as a function of arrays.

    Args:
        observation_space: A Box, or a Dict of such.
        action_space: A Box or Discrete.
    """

    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        super().__init__()
        self.parts = {name or OBSERVATION: part for name, part in parts_of(observation_space).items()}
        self.is_dict = isinstance(observation_space, spaces.Dict)
        self.action_space = action_space
        if isinstance(action_space, spaces.Box):
            self.register_buffer("low", torch.as_tensor(action_space.low))
            self.register_buffer("high", torch.as_tensor(action_space.high))
        self.eval()

    @property
    def observations(self) -> tuple[Port, ...]:
        """Inputs for the parts of an observation."""
        return tuple(Port(name, part.shape, part.dtype.name, "observation") for name, part in self.parts.items())

    @property
    def memory(self) -> tuple[Port, ...]:
        """Inputs for the memory; none by default."""
        return ()

    @property
    def noise(self) -> tuple[Port, ...]:
        """Inputs for noise; none by default."""
        return ()

    @property
    def tokenizer(self) -> JsonObject:
        """Entries of ``model.json`` for instructions: the number of each known word; None without instructions."""
        return {"vocabulary": None}

    @property
    def inputs(self) -> tuple[Port, ...]:
        """All inputs, in the order of the arguments of :meth:`forward`."""
        return (*self.observations, *self.memory, *self.noise)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """All outputs: the action, and the memory for the next step."""
        dtype = self.action_space.dtype.name if isinstance(self.action_space, spaces.Box) else "int64"
        action = Port("action", self.action_space.shape or (), dtype, "action")
        return (action, *(Port(NEXT + port.name, port.shape, port.dtype, "memory") for port in self.memory))

    @abstractmethod
    def step(self, observation: Tensors, memory: State, noise: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        """Return the most likely action, shape (1, ...), and the next memory, for one row of each input.

        Args:
            observation: Tensor of shape (1, ...), or a dict of such.
            memory: Tensors of shape (1, ...) by the names of :attr:`memory`.
            noise: Shape (1, ...); None without an input for noise.
        """

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs for the inputs, each without a batch axis."""
        rows = {port.name: value[None] for port, value in zip(self.inputs, values, strict=True)}
        observation = {port.name: rows[port.name] for port in self.observations}
        noise = rows[self.noise[0].name] if self.noise else None
        memory = {port.name: rows[port.name] for port in self.memory}
        action, following = self.step(observation if self.is_dict else observation[OBSERVATION], memory, noise)
        action = self.bounded(action) if isinstance(self.action_space, spaces.Box) else action
        return (action[0], *(following[port.name][0] for port in self.memory))

    def bounded(self, actions: torch.Tensor) -> torch.Tensor:
        """Return continuous actions of shape (..., actions), within the limits of the action space."""
        return torch.minimum(torch.maximum(actions, self.low), self.high).to(self.low.dtype)

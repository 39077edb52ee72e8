"""Base of our own networks: a loss on minibatches of demonstrations, and actions from observations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from agents.data.features import FeatureIndices
from agents.policies.encoders.images import ImageEncoder
from agents.types import Array, Memory, Observation, Space, Start, State, Tensors
from demos.datasets.statistics import Statistics
from demos.datasets.tree import tree_leaves, tree_map

BatchType = TypeVar("BatchType")
"""Minibatch: :class:`agents.data.demonstrations.Transitions` or :class:`agents.data.sequences.SequenceBatch`."""


class TorchModel(nn.Module, ABC, Generic[BatchType]):
    """Network with a loss on minibatches. :class:`agents.training.loop.TrainingLoop` trains it."""

    @abstractmethod
    def compute_loss(self, batch: BatchType) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a minibatch.

        Args:
            batch: Minibatch of N examples on the network's device.

        Returns:
            The loss, shape (), and its parts for the log, each of shape (). If the examples are of G groups, also
            the weighted sum of their losses, ``losses``, and the sum of the weights, ``weights``, of shape (G,) each.
        """

    def augment(self, batch: BatchType) -> BatchType:
        """Return a minibatch with random changes for the training, such as hidden parts; by default none.

        A training by several processes augments the whole minibatch before it is divided.
        """
        return batch

    def loss_weight(self, batch: Any) -> float:
        """Return the weight of a minibatch in the mean of several: by default, its number of examples.

        Args:
            batch: Minibatch; its loss is a mean with this total weight.
        """
        return float(len(batch))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device


def _shapes_of(space: Space, name: str = "") -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the shape of each array of an observation, with names as ``tree_leaves`` has them."""
    if isinstance(space, gym.spaces.Dict):
        for key, part in space.spaces.items():
            yield from _shapes_of(part, f"{name}/{key}" if name else key)
    else:
        yield name, space.shape or ()


def _shareable(values: Array) -> Array:
    """Return an array that a tensor can share: a copy of one that is read-only or has negative strides."""
    return values if values.flags.writeable and min(values.strides, default=0) >= 0 else values.copy()


class TorchPolicy(TorchModel[BatchType], Generic[BatchType]):
    """Policy with its normalizer inside.

    A policy with memory returns the memory of N episodes that start from :meth:`initial_memory`.

    Args:
        observation_space: Space of the observations: a Box, or a Dict of such.
        action_space: Space of the actions.

    Attributes:
        takes_batches: True: ``predict`` acts on batches (:class:`agents.spec.TakesBatches`).
    """

    takes_batches: ClassVar[bool] = True

    def __init__(self, observation_space: Space, action_space: Space) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self._shapes = dict(_shapes_of(observation_space))

    @abstractmethod
    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return actions.

        Args:
            observation: Tensor of shape (N, ...), or a dict of such, on the policy's device.
            memory: Memory as the previous step returned it, or that of :meth:`initial_memory`. It is not changed:
                the next memory consists of new tensors.
            deterministic: Return the most likely action, or draw one.

        Returns:
            Actions of shape (N, ...), and the memory for the next step.
        """

    @abstractmethod
    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: FeatureIndices | None = None) -> None:
        """Set the normalizer of the observations.

        Args:
            statistics: Statistics of :attr:`agents.data.demonstrations.DemonstrationData.statistics`.
            masked: Indices of the numbers that the policy must not use; None for none.
        """

    def initial_memory(self, count: int) -> State | None:
        """Return the memory at the start of episodes; None for a policy without memory.

        Args:
            count: Number N of episodes.

        Returns:
            Tensors of shape (N, ...) by name, on the policy's device.
        """
        return None

    def image_encoders(self) -> list[tuple[str, ImageEncoder]]:
        """Return camera and encoder of each image; empty for a policy without an :class:`ImageEncoder`."""
        return []

    @torch.no_grad()
    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Array, Memory]:
        """Return actions for one observation or a batch, as Stable-Baselines3's ``predict`` does.

        Args:
            observation: Array of the space's shape, or with a batch axis in front; a dict of such.
            state: Memory of the last call; None at the start. It has one row for each observation of a batch.
            episode_start: True where an episode starts; the memory of that row is discarded.
            deterministic: Return the most likely action, or draw one.

        Returns:
            The action, or a batch of them, within the bounds of the action space; and the memory.

        Raises:
            ValueError: An observation lacks an entry or has another shape than the space; or its entries, the memory
                or ``episode_start`` have different numbers of rows.
        """
        if self.training:
            self.eval()
        arrays = tree_map(np.asarray, observation)
        is_batch = self._is_batch(arrays)
        seen = tree_map(
            lambda values: torch.as_tensor(_shareable(values if is_batch else values[None]), device=self.device),
            arrays,
        )
        memory = self._memory(len(next(iter(tree_leaves(seen)))[1]), state, episode_start)
        chosen, memory = self.predict_action(seen, memory, deterministic=deterministic)
        actions: Array = chosen.cpu().numpy()
        if isinstance(self.action_space, gym.spaces.Box):
            actions = np.clip(actions, self.action_space.low, self.action_space.high)
        return (actions if is_batch else actions[0]), memory

    def _memory(self, count: int, state: Memory, episode_start: Start) -> Memory:
        """Return the memory of rows that go on, and the initial one of rows whose episode starts."""
        starts = torch.as_tensor(np.asarray(False if episode_start is None else episode_start)).reshape(-1)
        initial = self.initial_memory(count)
        if len(starts) not in (1, count):
            raise ValueError(
                f"episode_start has {len(starts)} values for a batch of {count} observations; expected {count}, or 1 "
                "for all: pass one value for each environment"
            )
        if state is None or bool(starts.all()):
            return initial
        if initial is None:
            return state
        rows = {len(values) for values in state.values()}
        if rows != {count}:
            raise ValueError(
                f"the state has {', '.join(map(str, sorted(rows)))} rows for a batch of {count} observations; "
                f"expected {count}: pass the state that predict returned for this batch"
            )
        if not bool(starts.any()):
            return state
        chosen = starts.to(self.device)
        return {
            name: torch.where(chosen.reshape(-1, *[1] * (values.ndim - 1)), initial[name], values)
            for name, values in state.items()
        }

    def _is_batch(self, observation: Observation) -> bool:
        """Return True if an observation has a batch axis in front.

        Raises:
            ValueError: See :meth:`predict`.
        """
        arrays = dict(tree_leaves(observation))
        rows = set()
        for name, expected in self._shapes.items():
            values = arrays.get(name)
            if values is None:
                given = ", ".join(key or "an array" for key in arrays) or "nothing"
                raise ValueError(
                    f"the observation has no {name or 'array'}; it has {given}: expected {self.observation_space}"
                )
            if values.shape == expected:
                rows.add(-1)
            elif values.shape[1:] == expected:
                rows.add(len(values))
            else:
                raise ValueError(
                    f"observation {name or 'array'} has shape {values.shape}; expected {expected}, or "
                    f"(N, {', '.join(map(str, expected))})"
                )
        if len(rows) > 1:
            shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
            raise ValueError(f"the observation has entries of the shapes {shapes}; expected equal numbers of rows")
        return rows != {-1}

"""Minibatches of the agent ``lam``, and the loss of predicted chunks of actions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from agents.imitation.lam.entities import EntityTable
from agents.imitation.lam.language import PLACEHOLDER
from agents.imitation.lam.networks.cameras import Images
from agents.policies.encoders.instructions import PADDING, UNKNOWN
from demos.datasets.tree import tree_map

UNKNOWN_ROBOT = 0
HIDDEN_SHARE = 0.1
"""Share of the examples whose robot is hidden in training, and of those whose instruction is hidden. So the network
learns to act with unknown robots, and without an instruction."""


@dataclass(frozen=True)
class LamBatch:
    """Minibatch of N steps of different tasks.

    Attributes:
        table: Entities before the step.
        words: Numbers of the words of U different sentences, shape (U, words).
        sentences: Number of the sentence of each step, shape (N,).
        mentions: Position of each entity's first mention among the words, shape (N, S); -1 without one.
        robots: Number of the robot, shape (N,).
        actions: Next actions (:func:`gripper_first`), padded with zeros, shape (N, K, A).
        is_used: True for the numbers of an action that the robot has, shape (N, A).
        is_pad: True after the end of the episode, shape (N, K).
        is_cartesian: True if actions move the tool along x, y and z, shape (N,).
        noise: Noise of the head ``flow``, shape (N, K, A); None for none.
        time: Time of the flow, shape (N,); None for none.
        images: Images by camera; None for a minibatch without images.
        groups: True for the group of demonstrations that each step is from, shape (N, G); None if it is not known.
    """

    table: EntityTable
    words: torch.Tensor
    sentences: torch.Tensor
    mentions: torch.Tensor
    robots: torch.Tensor
    actions: torch.Tensor
    is_used: torch.Tensor
    is_pad: torch.Tensor
    is_cartesian: torch.Tensor
    noise: torch.Tensor | None = None
    time: torch.Tensor | None = None
    images: Images | None = None
    groups: torch.Tensor | None = None

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.sentences)

    def __getitem__(self, rows: slice) -> LamBatch:
        """Return some steps."""
        sentences, inverse = torch.unique(self.sentences[rows], return_inverse=True)
        parts = {name: part for name, part in self._parts().items() if name not in ("words", "sentences")}
        chosen = {name: tree_map(lambda values: values[rows], part) for name, part in parts.items()}
        return LamBatch(words=self.words[sentences], sentences=inverse, **chosen)

    def _parts(self) -> dict[str, Any]:
        """Return all attributes that are not None by name."""
        return {name: part for name, part in vars(self).items() if part is not None}

    def to(self, device: torch.device) -> LamBatch:
        """Return the minibatch on a device."""
        table = EntityTable(*(part.to(device) for part in vars(self.table).values()))
        return LamBatch(
            table=table,
            **{
                name: tree_map(lambda values: values.to(device), part)
                for name, part in self._parts().items()
                if name != "table"
            },
        )


def partly_hidden(batch: LamBatch) -> LamBatch:
    """Return a minibatch with the robot hidden in some examples, and the instruction in others."""
    robot, instruction = torch.rand(2, len(batch), device=batch.robots.device) < HIDDEN_SHARE
    return replace(
        batch,
        words=torch.cat([batch.words, torch.full_like(batch.words[:1], PADDING)]),
        sentences=torch.where(instruction, len(batch.words), batch.sentences),
        mentions=torch.where(instruction[:, None], -1, batch.mentions),
        robots=torch.where(robot, UNKNOWN_ROBOT, batch.robots),
    )


def unknown_words(batch: LamBatch, share: float) -> LamBatch:
    """Return a minibatch in which some words are replaced by the unknown word, so that its embedding is trained.

    Args:
        batch: Minibatch.
        share: Share of the words, at least 0 and less than 1.
    """
    numbers = batch.words
    dropped = torch.rand(numbers.shape, device=numbers.device) < share
    words = torch.where(dropped & (numbers != PADDING) & (numbers != PLACEHOLDER), UNKNOWN, numbers)
    return replace(batch, words=words)


def gripper_first(actions: torch.Tensor) -> torch.Tensor:
    """Return actions, shape (..., A), with their last number, the gripper, first, where all robots have it."""
    return actions.roll(1, dims=-1)


def gripper_last(actions: torch.Tensor) -> torch.Tensor:
    """Invert :func:`gripper_first`."""
    return actions.roll(-1, dims=-1)


@dataclass(frozen=True)
class WeightedErrors:
    """Errors of predicted chunks.

    Attributes:
        values: Error of each number of the actions, times its weight, shape (N, K, A).
        weights: Weight of each number in the loss, shape (N, K, A).
    """

    values: torch.Tensor
    weights: torch.Tensor

    def mean(self) -> torch.Tensor:
        """Return the weighted mean, shape ()."""
        return self.values.sum() / self.weights.sum()

    def by_group(self, groups: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the sums of the values, ``losses``, and of their weights, ``weights``, shape (G,), without gradient.

        Args:
            groups: See :class:`LamBatch`.
        """

        def total(numbers: torch.Tensor) -> torch.Tensor:
            return (numbers.detach().sum(dim=(1, 2))[:, None] * groups).sum(dim=0)

        return {"losses": total(self.values), "weights": total(self.weights)}


def absolute_errors(predicted: torch.Tensor, batch: LamBatch, decay: float) -> WeightedErrors:
    """Return the absolute errors of chunks.

    The weight of step k is ``decay ** k``; steps after the end of an episode and numbers that a robot does not have
    have the weight 0.

    Args:
        predicted: Shape (N, K, A).
        batch: Minibatch with the demonstrated actions.
        decay: Factor of the weights from step to step.
    """
    weights = label_weights(batch, decay)
    return WeightedErrors((predicted - batch.actions).abs() * weights, weights)


def label_weights(batch: LamBatch, decay: float) -> torch.Tensor:
    """Return the weight of each number of the demonstrated actions in the loss, shape (N, K, A).

    Args:
        batch: Minibatch with the demonstrated actions.
        decay: Factor of the weights from step to step of a chunk.
    """
    weights = decay ** torch.arange(batch.actions.shape[1], device=batch.actions.device)
    return weights[None, :, None] * (~batch.is_pad)[:, :, None] * batch.is_used[:, None]

"""Base of the networks of the agent ``lam``: schema, normalizer, instruction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from agents.imitation.lam.entities import POSITION, EntityTable, Schema
from agents.imitation.lam.known_sentences import KnownSentences
from agents.imitation.lam.language import Sentences
from agents.imitation.lam.networks.batch import LamBatch, WeightedErrors
from agents.imitation.lam.networks.heads import Head, HeadName
from agents.imitation.lam.objects import ObjectEstimator
from agents.policies.encoders.images import Readout
from agents.policies.normalizer import MAX_STANDARDIZED, MIN_STD

TRUNK = 4
"""Units of each hidden layer before the actions, as a multiple of the token size."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network.

    Attributes:
        width: Numbers W in a token.
        layers: Layers in which tokens see each other.
        actions: Actions K of a chunk.
        head: Head that predicts them.
        image_readout: Readout of the convolutions of images.
        match_sentences: True to save the sentences of the demonstrations, which replace other instructions.
    """

    width: int
    layers: int
    actions: int
    head: HeadName = "l1"
    image_readout: Readout = "spatial_softmax"
    match_sentences: bool = False


class ChunkNetwork(nn.Module, ABC):
    """Network that is the same for all tasks, robots and instructions; subclasses predict chunks of actions.

    Args:
        schema: Entities that it knows.
        robots: Names of the robots that it knows.
        action_size: Largest number A of numbers in an action.
        sizes: Sizes of the network.

    Attributes:
        sentences: Encoder of instructions.
        known_sentences: Sentences of the demonstrations, one of which replaces any other instruction; None to leave
            instructions as they are.
        head: Head that predicts chunks.
        objects: Estimator of the positions of objects in images; None without one. It is trained before the network.
        skips_absent: True to leave out entities that no step of a minibatch has, which saves time; False for a
            network that is traced.
    """

    by_name: ClassVar[bool] = False
    """True if each entity has a row of its own in the schema (:class:`agents.imitation.lam.entities.Schema`)."""
    sentences: Sentences
    head: Head

    def __init__(self, schema: Schema, robots: Sequence[str], action_size: int, sizes: Sizes) -> None:
        super().__init__()
        self.schema, self.robots, self.sizes, self.action_size = schema, tuple(robots), sizes, action_size
        self.skips_absent = True
        self.known_sentences = KnownSentences() if sizes.match_sentences else None
        kinds, largest = list(schema.counts), max(schema.widths.values())
        self.register_buffer("mean", torch.zeros(len(kinds), largest))
        self.register_buffer("spread", torch.ones(len(kinds), largest))
        self.register_buffer("quantity", _quantity_of_columns(schema, largest), persistent=False)
        self.register_buffer("kind", torch.tensor([kinds.index(kind) for kind in schema.kinds]), persistent=False)
        self.objects = (
            ObjectEstimator(schema.cameras, schema.estimated_objects).requires_grad_(False)
            if schema.estimated_objects
            else None
        )

    @abstractmethod
    def encode(self, batch: LamBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs of the head.

        Returns:
            Output of the last hidden layer, shape (N, H), and motions that are added to the predicted actions, shape
            (N, K, A) or ().
        """

    def forward(self, batch: LamBatch, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Return chunks of actions, :func:`agents.imitation.lam.networks.batch.gripper_first`, shape (N, K, A).

        Args:
            batch: Minibatch.
            noise: Noise that the head ``flow`` makes chunks from, shape (N, K, A); by default zeros.
        """
        hidden, motion = self.encode(batch)
        return self.head.chunk(hidden, motion, batch.is_used, noise)

    def errors(self, batch: LamBatch, decay: float) -> WeightedErrors:
        """Return the errors of a minibatch; their mean is the loss.

        Args:
            batch: Minibatch with the demonstrated actions.
            decay: Factor of the weights from step to step of a chunk.
        """
        hidden, motion = self.encode(batch)
        return self.head.errors(hidden, motion, batch, decay)

    def fit(self, tables: Sequence[EntityTable]) -> None:
        """Set the normalizer: the deviation of each quantity, and the mean of positions; elsewhere, 0 has a meaning.

        Args:
            tables: Entities of demonstrations; all count alike.
        """
        mean, spread, kinds = self.get_buffer("mean"), self.get_buffer("spread"), self.get_buffer("kind")
        for number, sizes in enumerate(self.schema.sizes.values()):
            rows = (kinds == number).nonzero()[:, 0]
            sums = torch.zeros(3, mean.shape[1], dtype=torch.float64)
            for table in tables:
                values = table.values[:, rows].double()
                known = (self._known(table.values[:, rows], kinds[rows]) & table.present[:, rows, None]).double()
                total = known.sum().clamp(min=1.0)
                parts = (known, known * values, known * values**2)
                sums += torch.stack([part.sum(dim=(0, 1)) / total for part in parts])
            count = sums[0].clamp(min=1e-9)
            average = sums[1] / count
            column = 0
            for quantity, size in sizes.items():
                if not quantity.endswith(POSITION):
                    average[column : column + size] = 0.0
                column += size
            deviation = (sums[2] / count - 2.0 * average * sums[1] / count + average**2).clamp(min=0.0).sqrt()
            deviation = torch.where(deviation < MIN_STD, 1.0, deviation)
            average[column:], deviation[column:] = 0.0, 1.0
            mean[number].copy_(average)
            spread[number].copy_(deviation)

    def _known(self, values: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return True for the values of quantities that a layout has, and for flags.

        Args:
            values: Values and flags of entities, shape (N, S, largest width).
            kinds: Number of the kind of each entity, shape (S,).
        """
        quantity = self.get_buffer("quantity")[kinds]
        flags = torch.gather(values, 2, quantity.expand(len(values), -1, -1).clamp(min=0))
        return (quantity < 0) | (flags > 0.5)

    def standardized(self, table: EntityTable, kinds: torch.Tensor) -> torch.Tensor:
        """Return standardized values and flags of entities, shape (N, S, largest width); 0 for unknown quantities.

        Args:
            table: Entities.
            kinds: Number of the kind of each, in the order of the schema, shape (S,).
        """
        standard = (table.values - self.get_buffer("mean")[kinds]) / self.get_buffer("spread")[kinds]
        standard = standard.clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)
        return torch.where(self._known(table.values, kinds), standard, 0.0)


def _quantity_of_columns(schema: Schema, largest: int) -> torch.Tensor:
    """Return the column of the flag of each column's quantity, shape (kinds, largest); -1 for flags and padding."""
    rows = []
    for sizes in schema.sizes.values():
        values = sum(sizes.values())
        row = [values + number for number, size in enumerate(sizes.values()) for _ in range(size)]
        rows.append(row + [-1] * (largest - len(row)))
    return torch.tensor(rows)


def layers_before_actions(hidden: int) -> nn.Sequential:
    """Return the hidden layers after a first linear one: their input and output have the shape (N, hidden)."""
    return nn.Sequential(nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())

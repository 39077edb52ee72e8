"""Baseline without entities: one multilayer perceptron over the union of all features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from agents.imitation.lam.entities import EntityTable, Schema
from agents.imitation.lam.language import Sentences
from agents.imitation.lam.networks.base import TRUNK, ChunkNetwork, Sizes, layers_before_actions
from agents.imitation.lam.networks.batch import LamBatch
from agents.imitation.lam.networks.heads import make_head


class MlpNetwork(ChunkNetwork):
    """Multilayer perceptron with three hidden layers.

    Its input is one vector: all features of all environments by name, each with a presence bit and zeros where it is
    absent; and the instruction, the mean of its encoded words. Nothing else reveals the task or the robot. It has
    neither geometry nor pointers, and names in an instruction are ordinary words.

    Args:
        schema: Entities that it knows, each with a row of its own; without images.
        robots: Names of the robots of the demonstrations; not used.
        action_size: Largest number A of numbers in an action.
        sizes: Sizes of the network; it has no layers of tokens.

    Raises:
        ValueError: The schema has images.
    """

    by_name: ClassVar[bool] = True

    def __init__(self, schema: Schema, robots: Sequence[str], action_size: int, sizes: Sizes) -> None:
        super().__init__(schema, robots, action_size, sizes)
        if schema.cameras and not schema.estimated_objects:
            raise ValueError(
                f"the network mlp cannot encode images (cameras: {', '.join(schema.cameras)}): set "
                "find_objects=true, or network=transformer"
            )
        hidden = TRUNK * sizes.width
        self.sentences = Sentences(sizes.width)
        used = torch.arange(max(schema.widths.values())) < torch.tensor(list(schema.widths.values()))[:, None]
        self.register_buffer("columns", used.flatten().nonzero()[:, 0], persistent=False)
        self.first = nn.Linear(int(used.sum()) + sizes.width, hidden)
        self.trunk = layers_before_actions(hidden)
        self.head = make_head(sizes.head, hidden, sizes.actions, action_size, 2 * sizes.width)

    def features(self, table: EntityTable) -> torch.Tensor:
        """Return standardized features and presence bits, shape (N, numbers); all are 0 for an absent entity."""
        standard = self.standardized(table, self.get_buffer("kind"))
        return torch.where(table.present[:, :, None], standard, 0.0).flatten(1)[:, self.get_buffer("columns")]

    def encode(self, batch: LamBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last hidden layer, and no motion; see :class:`ChunkNetwork`."""
        meaning, _ = self.sentences.encode(batch.words, batch.sentences, batch.mentions)
        inputs = torch.cat([self.features(batch.table), meaning[batch.sentences]], dim=1)
        return self.trunk(self.first(inputs)), inputs.new_zeros(())

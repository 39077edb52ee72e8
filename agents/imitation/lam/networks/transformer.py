"""Network of the Large Action Model: tokens of entities, an instruction that points at them, chunks of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from agents.imitation.lam.entities import EntityTable, Schema
from agents.imitation.lam.geometry import PointerHead, RelationLayer, relations
from agents.imitation.lam.language import Sentences
from agents.imitation.lam.networks.base import TRUNK, ChunkNetwork, Sizes, layers_before_actions
from agents.imitation.lam.networks.batch import LamBatch
from agents.imitation.lam.networks.cameras import CameraTokens
from agents.imitation.lam.networks.heads import make_head
from agents.policies.transformer import Attention, EncoderLayer

HEADS = 4


class LamNetwork(ChunkNetwork):
    """Transformer over the entities of a scene, with geometry and pointers.

    Args:
        schema: Entities that it knows.
        robots: Names of the robots that it knows.
        action_size: Largest number A of numbers in an action.
        sizes: Sizes of the network.
    """

    def __init__(self, schema: Schema, robots: Sequence[str], action_size: int, sizes: Sizes) -> None:
        super().__init__(schema, robots, action_size, sizes)
        width = sizes.width
        self.encoders = nn.ModuleList(nn.Linear(size, width) for size in schema.widths.values())
        self.types = nn.Embedding(1 + len(schema.types), width)
        self.robot = nn.Embedding(1 + len(self.robots), width)
        self.sentences = Sentences(width)
        self.instruction, self.mention = nn.Linear(width, width), nn.Linear(width, width)
        self.unmentioned = nn.Parameter(torch.zeros(width))
        self.readout = nn.Parameter(0.02 * torch.randn(width))
        self.relations = RelationLayer(width)
        self.layers = nn.ModuleList(EncoderLayer(width, HEADS, 0.0) for _ in range(sizes.layers - 1))
        self.last_norm, self.last = nn.LayerNorm(width), Attention(width, HEADS)
        self.norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        hidden = TRUNK * width
        self.begin = nn.Linear(width, hidden)
        self.summaries = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in schema.counts)
        self.trunk = layers_before_actions(hidden)
        self.head = make_head(sizes.head, hidden, sizes.actions, action_size, 2 * width)
        self.pointers = PointerHead(hidden, width, sizes.actions)
        self.cameras = CameraTokens(schema.cameras, sizes.image_readout, width, hidden) if schema.cameras else None

    def tokens(self, table: EntityTable, kinds: torch.Tensor) -> torch.Tensor:
        """Return tokens of entities, shape (N, S, W).

        Args:
            table: Entities.
            kinds: Number of the kind of each, in the order of the schema, shape (S,).
        """
        standard = self.standardized(table, kinds)
        parts = []
        for number, (encoder, width) in enumerate(zip(self.encoders, self.schema.widths.values(), strict=True)):
            chosen = (kinds == number).nonzero()[:, 0]
            if len(chosen):
                parts.append(encoder(standard[:, chosen, :width]))
        encoded: torch.Tensor = torch.cat(parts, dim=1) + self.types(table.types)
        return encoded

    def encode(self, batch: LamBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the last hidden layer, and the motions of the pointers; see :class:`ChunkNetwork`."""
        kinds = self.get_buffer("kind")
        if self.skips_absent:
            rows = batch.table.present.any(dim=0).nonzero()[:, 0]
            batch = replace(batch, table=batch.table.columns(rows), mentions=batch.mentions[:, rows])
            kinds = kinds[rows]
        tokens, is_pad = self._encoded(batch, kinds)
        normal = self.last_norm(tokens)
        readout = self.norm(tokens[:, :1] + self.last(normal[:, :1], normal, is_pad))[:, 0]
        count = 2 + len(kinds)
        entities = self.token_norm(tokens[:, 2:count])
        summary = self._summary(entities, batch.table.present, kinds)
        if self.cameras is not None and batch.images is not None:
            summary = summary + self.cameras.summary(self.token_norm(tokens[:, count:]).flatten(1))
        hidden = self.trunk(self.begin(readout) + summary)
        motion = self.pointers(hidden, entities, batch.table)
        motion = torch.where(batch.is_cartesian[:, None, None], motion, 0.0)
        # x and y follow the gripper.
        return hidden, nn.functional.pad(motion, (1, self.action_size - 3))

    def _summary(self, entities: torch.Tensor, present: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Return the contribution of the entities of each kind to the hidden layer, shape (N, hidden units).

        Args:
            entities: Tokens, shape (N, S, W).
            present: Shape (N, S).
            kinds: Number of the kind of each entity, shape (S,).
        """
        parts = []
        for number, layer in enumerate(self.summaries):
            shares = present * (kinds == number)
            shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1)
            parts.append(layer((shares[:, None] @ entities)[:, 0]))
        return torch.stack(parts).sum(dim=0)

    @torch.no_grad()
    def attention(self, batch: LamBatch) -> torch.Tensor:
        """Return the attention of the readout in the last layer, shape (N, 2 + S + P).

        Each row sums to 1: the readout itself, the instruction, each entity, which is 0 for absent ones, and each
        token of the images, if there are any.
        """
        tokens, is_pad = self._encoded(batch, self.get_buffer("kind"))
        normal = self.last_norm(tokens)
        return self.last.weights(normal[:, :1], normal, is_pad)[:, 0]

    def _encoded(self, batch: LamBatch, kinds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens before the last layer, and True for absent ones.

        Returns:
            Readout, instruction, entities and images, shape (N, 2 + S + P, W), without images (N, 2 + S, W); and
            shape (N, 2 + S + P).
        """
        table = batch.table
        meaning, mentioned = self.sentences.encode(batch.words, batch.sentences, batch.mentions)
        entities = self.tokens(table, kinds)
        entities = entities + torch.where(batch.mentions[:, :, None] >= 0, self.mention(mentioned), self.unmentioned)
        entities = self.relations(entities, relations(table), table.present)
        first = [self.readout + self.robot(batch.robots), self.instruction(meaning)[batch.sentences]]
        parts, is_pad = [torch.stack(first, dim=1), entities], nn.functional.pad(~table.present, (2, 0))
        if self.cameras is not None and batch.images is not None:
            parts.append(self.cameras(batch.images))
            is_pad = nn.functional.pad(is_pad, (0, self.cameras.tokens))
        tokens = torch.cat(parts, dim=1)
        for layer in self.layers:
            tokens = layer(tokens, is_pad)
        return tokens, is_pad

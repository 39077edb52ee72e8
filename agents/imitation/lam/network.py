"""Network of the Large Action Model: tokens of entities, an instruction that points at them, chunks of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from agents.imitation.lam.entities import POSITION, EntityTable, Schema
from agents.imitation.lam.geometry import PointerHead, RelationLayer, relations
from agents.imitation.lam.language import Sentences
from agents.policies.encoders.instructions import PADDING
from agents.policies.normalizer import MAX_STANDARDIZED, MIN_STD
from agents.policies.transformer import Attention, EncoderLayer

HEADS = 4
TRUNK = 4
"""Units of each hidden layer after the readout, as a multiple of the token size."""
UNKNOWN_ROBOT = 0
HIDDEN_SHARE = 0.1
"""Share of the examples whose robot a training hides, and of those whose instruction it hides: so unknown robots, and
environments that give no instruction, have a meaning."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network.

    Attributes:
        width: Numbers W in a token.
        layers: Layers in which tokens see each other.
        actions: Actions K of a chunk.
    """

    width: int
    layers: int
    actions: int


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

    def __len__(self) -> int:
        """Return the number of steps, N."""
        return len(self.sentences)

    def to(self, device: torch.device) -> LamBatch:
        """Return the minibatch on a device."""
        table = EntityTable(*(part.to(device) for part in vars(self.table).values()))
        return LamBatch(table, *(part.to(device) for name, part in vars(self).items() if name != "table"))


def gripper_first(actions: torch.Tensor) -> torch.Tensor:
    """Return actions, shape (..., A), with their last number, the gripper, first: then all robots have it there."""
    return actions.roll(1, dims=-1)


def gripper_last(actions: torch.Tensor) -> torch.Tensor:
    """Invert :func:`gripper_first`."""
    return actions.roll(-1, dims=-1)


class LamNetwork(nn.Module):
    """Network that is the same for all tasks, robots and instructions.

    Args:
        schema: Entities that it knows.
        robots: Names of the robots that it knows.
        action_size: Largest number A of numbers in an action.
        sizes: Sizes of the network.
    """

    def __init__(self, schema: Schema, robots: Sequence[str], action_size: int, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.schema, self.robots, self.sizes, self.action_size = schema, tuple(robots), sizes, action_size
        kinds, largest = list(schema.counts), max(schema.widths.values())
        self.encoders = nn.ModuleList(nn.Linear(size, width) for size in schema.widths.values())
        self.register_buffer("mean", torch.zeros(len(kinds), largest))
        self.register_buffer("spread", torch.ones(len(kinds), largest))
        self.register_buffer("quantity", _quantity_of_columns(schema, largest), persistent=False)
        self.register_buffer("kind", torch.tensor([kinds.index(kind) for kind in schema.kinds]), persistent=False)
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
        self.summaries = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in kinds)
        self.trunk = nn.Sequential(
            nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.head = nn.Linear(hidden, sizes.actions * action_size)
        self.pointers = PointerHead(hidden, width, sizes.actions)

    def fit(self, tables: Sequence[EntityTable]) -> None:
        """Set the normalizer: the deviation of each quantity, and the mean of positions; in others 0 has a meaning.

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

    def tokens(self, table: EntityTable, kinds: torch.Tensor) -> torch.Tensor:
        """Return tokens of entities, shape (N, S, W).

        Args:
            table: Entities.
            kinds: Number of the kind of each, in the order of the schema, shape (S,).
        """
        standard = (table.values - self.get_buffer("mean")[kinds]) / self.get_buffer("spread")[kinds]
        standard = standard.clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)
        standard = torch.where(self._known(table.values, kinds), standard, 0.0)
        parts = []
        for number, (encoder, width) in enumerate(zip(self.encoders, self.schema.widths.values(), strict=True)):
            chosen = (kinds == number).nonzero()[:, 0]
            if len(chosen):
                parts.append(encoder(standard[:, chosen, :width]))
        encoded: torch.Tensor = torch.cat(parts, dim=1) + self.types(table.types)
        return encoded

    def forward(self, batch: LamBatch) -> torch.Tensor:
        """Return chunks of actions, :func:`gripper_first`, shape (N, K, A)."""
        if self.training:
            batch = _partly_hidden(batch)
        # Entities that no step of the minibatch has would only cost time.
        rows = batch.table.present.any(dim=0).nonzero()[:, 0]
        batch = replace(batch, table=batch.table.columns(rows), mentions=batch.mentions[:, rows])
        kinds = self.get_buffer("kind")[rows]
        tokens, is_pad = self._encoded(batch, kinds)
        normal = self.last_norm(tokens)
        readout = self.norm(tokens[:, :1] + self.last(normal[:, :1], normal, is_pad))[:, 0]
        entities = self.token_norm(tokens[:, 2:])
        hidden = self.trunk(self.begin(readout) + self._summary(entities, batch.table.present, kinds))
        chunk: torch.Tensor = self.head(hidden).reshape(len(hidden), self.sizes.actions, self.action_size)
        motion = self.pointers(hidden, entities, batch.table)
        motion = torch.where(batch.is_cartesian[:, None, None], motion, 0.0)
        # After the gripper come x and y.
        return chunk + nn.functional.pad(motion, (1, self.action_size - 3))

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
        """Return the attention of the readout in the last layer, shape (N, 2 + S).

        Each row sums to 1: the readout itself, the instruction, and each entity; 0 for absent ones.
        """
        tokens, is_pad = self._encoded(batch, self.get_buffer("kind"))
        normal = self.last_norm(tokens)
        return self.last.weights(normal[:, :1], normal, is_pad)[:, 0]

    def _encoded(self, batch: LamBatch, kinds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens before the last layer, shape (N, 2 + S, W), and True for absent ones, (N, 2 + S)."""
        table = batch.table
        meaning, words = self.sentences(batch.words)
        entities = self.tokens(table, kinds)
        sentence = words[batch.sentences]
        places = batch.mentions.clamp(min=0)[:, :, None].expand(-1, -1, sentence.shape[2])
        mentioned = self.mention(torch.gather(sentence, 1, places))
        entities = entities + torch.where(batch.mentions[:, :, None] >= 0, mentioned, self.unmentioned)
        entities = self.relations(entities, relations(table), table.present)
        first = [self.readout + self.robot(batch.robots), self.instruction(meaning)[batch.sentences]]
        tokens = torch.cat([torch.stack(first, dim=1), entities], dim=1)
        is_pad = torch.cat([torch.zeros_like(table.present[:, :1]).expand(-1, 2), ~table.present], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, is_pad)
        return tokens, is_pad


def _partly_hidden(batch: LamBatch) -> LamBatch:
    """Return a minibatch with the robot hidden in some examples, and the instruction in others."""
    robot, instruction = torch.rand(2, len(batch), device=batch.robots.device) < HIDDEN_SHARE
    return replace(
        batch,
        words=torch.cat([batch.words, torch.full_like(batch.words[:1], PADDING)]),
        sentences=torch.where(instruction, len(batch.words), batch.sentences),
        mentions=torch.where(instruction[:, None], -1, batch.mentions),
        robots=torch.where(robot, UNKNOWN_ROBOT, batch.robots),
    )


def _quantity_of_columns(schema: Schema, largest: int) -> torch.Tensor:
    """Return the column of the flag of each column's quantity, shape (kinds, largest); -1 for flags and padding."""
    rows = []
    for sizes in schema.sizes.values():
        values = sum(sizes.values())
        row = [values + number for number, size in enumerate(sizes.values()) for _ in range(size)]
        rows.append(row + [-1] * (largest - len(row)))
    return torch.tensor(rows)


def chunk_loss(predicted: torch.Tensor, batch: LamBatch, decay: float) -> torch.Tensor:
    """Return the mean absolute error of chunks, shape ().

    The weight of step k is ``decay ** k``; steps after the end of an episode and numbers that a robot does not have
    have the weight 0.

    Args:
        predicted: Shape (N, K, A).
        batch: Minibatch with the demonstrated actions.
        decay: Factor of the weights from step to step.
    """
    weights = decay ** torch.arange(predicted.shape[1], device=predicted.device)
    mask = weights[None, :, None] * (~batch.is_pad)[:, :, None] * batch.is_used[:, None]
    return ((predicted - batch.actions).abs() * mask).sum() / mask.sum()

"""Network of the Large Action Model: tokens of entities, an instruction that points at them, chunks of actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from agents.imitation.lam.entities import OBJECT, POSITION, RELATIVE, ROBOT, EntityReader, EntityTable, Schema
from agents.imitation.lam.geometry import PointerHead, RelationLayer, relations
from agents.imitation.lam.language import ParsedSentence, Sentences, parse
from agents.policies.normalizer import MAX_STANDARDIZED, MIN_STD
from agents.policies.torch_policy import TorchPolicy
from agents.policies.transformer import Attention, EncoderLayer
from agents.types import Memory, Space, State, Tensors
from demos.datasets.statistics import Statistics
from lam_envs.observation.instructions import INSTRUCTION_KEY, STATE_KEY

HEADS = 4
UNKNOWN_ROBOT = 0
ROBOT_DROPOUT = 0.1
"""Share of the examples whose robot a training hides, so that a new robot has a meaning."""
CENTERED = POSITION
"""Ending of the quantities that are standardized with their mean; zero means something in the others."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the network.

    Attributes:
        width: Numbers W in a token.
        layers: Layers in which tokens see each other.
        actions: Actions K of a chunk.
        executed: Actions of a chunk that are executed before the next one is predicted.
    """

    width: int
    layers: int
    actions: int
    executed: int


@dataclass(frozen=True)
class LamBatch:
    """Minibatch of N steps of different tasks.

    Attributes:
        table: Entities before the step.
        words: Numbers of the words of U different sentences, shape (U, words).
        sentences: Number of the sentence of each step, shape (N,).
        mentions: Position of each entity's first mention among the words, shape (N, S); -1 without one.
        robots: Number of the robot, shape (N,).
        actions: Next actions, gripper first, padded with zeros, shape (N, K, A).
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
        largest = max(schema.widths.values())
        self._rows = {kind: [row for row, each in enumerate(schema.kinds) if each == kind] for kind in schema.counts}
        self.encoders = nn.ModuleDict({kind: nn.Linear(size, width) for kind, size in schema.widths.items()})
        self.register_buffer("mean", torch.zeros(len(schema.counts), largest))
        self.register_buffer("spread", torch.ones(len(schema.counts), largest))
        self.register_buffer("quantity", _quantity_of_columns(schema, largest), persistent=False)
        self.register_buffer(
            "kind", torch.tensor([list(schema.counts).index(kind) for kind in schema.kinds]), persistent=False
        )
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
        self.head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, sizes.actions * action_size)
        )
        self.pointers = PointerHead(width, sizes.actions)

    def fit(self, tables: Sequence[EntityTable]) -> None:
        """Set the normalizer.

        Args:
            tables: Entities of demonstrations; all count alike.
        """
        mean, spread = self.get_buffer("mean"), self.get_buffer("spread")
        for number, (kind, rows) in enumerate(self._rows.items()):
            sums = torch.zeros(3, mean.shape[1], dtype=torch.float64)
            for table in tables:
                values = table.values[:, rows].double()
                known = (self._known(table.values)[:, rows] & table.present[:, rows, None]).double()
                total = known.sum().clamp(min=1.0)
                sums += torch.stack(
                    [each.sum(dim=(0, 1)) / total for each in (known, known * values, known * values**2)]
                )
            count = sums[0].clamp(min=1e-9)
            average = sums[1] / count
            column = 0
            for quantity, size in self.schema.sizes[kind].items():
                if not quantity.endswith(CENTERED) or quantity.endswith(RELATIVE):
                    average[column : column + size] = 0.0
                column += size
            deviation = (sums[2] / count - 2.0 * average * sums[1] / count + average**2).clamp(min=0.0).sqrt()
            deviation = torch.where(deviation < MIN_STD, 1.0, deviation)
            average[column:], deviation[column:] = 0.0, 1.0
            mean[number].copy_(average)
            spread[number].copy_(deviation)

    def _known(self, values: torch.Tensor) -> torch.Tensor:
        """Return True for the values of quantities that a layout has, shape (N, S, largest width)."""
        quantity = self.get_buffer("quantity")[self.get_buffer("kind")[: values.shape[1]]]
        flags = torch.gather(values, 2, quantity.expand(len(values), -1, -1).clamp(min=0))
        return torch.where(quantity >= 0, flags > 0.5, True)

    def tokens(self, table: EntityTable, rows: torch.Tensor) -> torch.Tensor:
        """Return tokens of entities, shape (N, S, W).

        Args:
            table: Entities.
            rows: Rows of the schema's table that ``table`` has, shape (S,).
        """
        kind = self.get_buffer("kind")[rows]
        quantity = self.get_buffer("quantity")[kind]
        flags = torch.gather(table.values, 2, quantity.expand(len(table.values), -1, -1).clamp(min=0))
        standard = (table.values - self.get_buffer("mean")[kind]) / self.get_buffer("spread")[kind]
        standard = standard.clamp(-MAX_STANDARDIZED, MAX_STANDARDIZED)
        standard = torch.where((quantity < 0) | (flags > 0.5), standard, 0.0)
        parts = []
        for number, (name, encoder) in enumerate(self.encoders.items()):
            chosen = (kind == number).nonzero()[:, 0]
            if len(chosen):
                parts.append(encoder(standard[:, chosen, : self.schema.widths[name]]))
        encoded: torch.Tensor = torch.cat(parts, dim=1) + self.types(table.types)
        return encoded

    def forward(self, batch: LamBatch, rows: torch.Tensor) -> torch.Tensor:
        """Return chunks of actions, gripper first, shape (N, K, A).

        Args:
            batch: Minibatch.
            rows: Rows of the schema's table that the minibatch has, shape (S,).
        """
        table = batch.table
        meaning, words = self.sentences(batch.words)
        entities = self.tokens(table, rows)
        sentence = words[batch.sentences]
        places = batch.mentions.clamp(min=0)[:, :, None].expand(-1, -1, sentence.shape[2])
        mentioned = self.mention(torch.gather(sentence, 1, places))
        entities = entities + torch.where(batch.mentions[:, :, None] >= 0, mentioned, self.unmentioned)
        entities = self.relations(entities, relations(table), table.present)
        robots = batch.robots
        if self.training:
            hidden = torch.rand(len(robots), device=robots.device) < ROBOT_DROPOUT
            robots = torch.where(hidden, UNKNOWN_ROBOT, robots)
        first = torch.stack([self.readout + self.robot(robots), self.instruction(meaning)[batch.sentences]], dim=1)
        tokens = torch.cat([first, entities], dim=1)
        is_pad = torch.cat([torch.zeros_like(table.present[:, :1]).expand(-1, 2), ~table.present], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, is_pad)
        normal = self.last_norm(tokens)
        readout = self.norm(tokens[:, :1] + self.last(normal[:, :1], normal, is_pad))[:, 0]
        chunk: torch.Tensor = self.head(readout).reshape(len(readout), self.sizes.actions, self.action_size)
        motion = self.pointers(readout, self.token_norm(tokens[:, 2:]), table)
        motion = torch.where(batch.is_cartesian[:, None, None], motion, 0.0)
        return chunk + nn.functional.pad(motion, (1, self.action_size - 3))


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


class LamPolicy(TorchPolicy[LamBatch]):
    """Policy with the network of the Large Action Model, in the environment that its layout is of.

    Args:
        observation_space: Box of features, or a Dict of them and of the instruction.
        action_space: Box.
        network: Network.
        reader: Reader of the environment's entities; None before there is one.
        robot: Name of the robot.
        is_cartesian: True if actions move the tool along x, y and z.
        decay: See :func:`chunk_loss`.
    """

    def __init__(
        self,
        observation_space: Space,
        action_space: spaces.Box,
        network: LamNetwork,
        reader: EntityReader,
        robot: str,
        *,
        is_cartesian: bool,
        decay: float,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.network, self.reader, self.decay = network, reader, decay
        self.is_cartesian = is_cartesian
        self.robot = 1 + network.robots.index(robot) if robot in network.robots else UNKNOWN_ROBOT
        self._size = action_space.shape[0]
        self._parsed: dict[bytes, tuple[torch.Tensor, tuple[int, ...]]] = {}

    def compute_loss(self, batch: LamBatch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss of a minibatch; see :class:`TorchPolicy`."""
        kept = batch.table.present.any(dim=0).nonzero()[:, 0]
        loss = chunk_loss(self.network(trimmed(batch, kept), kept), batch, self.decay)
        return loss, {"loss": loss.detach()}

    def fit_normalizer(self, statistics: Mapping[str, Statistics], masked: Sequence[int] = ()) -> None:
        """Not used: :meth:`LamNetwork.fit` sets the normalizer."""

    def initial_memory(self, count: int) -> State:
        """Return the memory at the start of N episodes: the rest of a chunk, and its length."""
        sizes, device = self.network.sizes, self.device
        return {
            "chunk": torch.zeros(count, sizes.actions, self.network.action_size, device=device),
            "left": torch.zeros(count, dtype=torch.int64, device=device),
        }

    def predict_action(
        self, observation: Tensors, memory: Memory = None, *, deterministic: bool = True
    ) -> tuple[torch.Tensor, Memory]:
        """Return the next action of each row's chunk, shape (N, numbers), and the memory."""
        assert memory is not None  # noqa: S101  (initial_memory is never None)
        chunk, left = memory["chunk"], memory["left"]
        needed = left == 0
        if bool(needed.any()):
            batch = self.batch_of(observation, needed)
            kept = batch.table.present.any(dim=0).nonzero()[:, 0]
            chunk, left = chunk.clone(), left.clone()
            chunk[needed] = self.network(trimmed(batch, kept), kept)
            left[needed] = self.network.sizes.executed
        codes = chunk[:, 0]
        action = torch.cat([codes[:, 1 : self._size], codes[:, :1]], dim=1)
        following: State = {"chunk": torch.cat([chunk[:, 1:], chunk[:, -1:]], dim=1), "left": left - 1}
        return action, following

    def batch_of(self, observation: Tensors, rows: torch.Tensor) -> LamBatch:
        """Return the inputs of the network for some rows of observations; actions are zeros."""
        parts = observation if isinstance(observation, dict) else {STATE_KEY: observation}
        table = self.reader(parts[STATE_KEY][rows])
        count, sizes = len(table.values), self.network.sizes
        if INSTRUCTION_KEY in parts:
            encoded = parts[INSTRUCTION_KEY][rows].cpu().numpy()
        else:
            encoded = np.zeros((count, 1), dtype=np.uint8)
        found = [self._parse(row.tobytes()) for row in encoded]
        device = self.device
        return LamBatch(
            table,
            torch.stack([words for words, _ in found]).to(device),
            torch.arange(count, device=device),
            torch.tensor([mentions for _, mentions in found], device=device),
            torch.full((count,), self.robot, device=device),
            torch.zeros(count, sizes.actions, self.network.action_size, device=device),
            torch.ones(count, self.network.action_size, dtype=torch.bool, device=device),
            torch.zeros(count, sizes.actions, dtype=torch.bool, device=device),
            torch.full((count,), self.is_cartesian, device=device),
        )

    def parsed(self, encoded: bytes) -> ParsedSentence:
        """Return an encoded instruction with its mentions of entities."""
        return parse(encoded.rstrip(b"\0").decode(errors="replace"), self.reader.names)

    def _parse(self, encoded: bytes) -> tuple[torch.Tensor, tuple[int, ...]]:
        if encoded not in self._parsed:
            found = self.parsed(encoded)
            if len(self._parsed) >= 512:
                self._parsed.clear()
            self._parsed[encoded] = self.network.sentences.numbers([found])[0], found.mentions
        return self._parsed[encoded]


def trimmed(batch: LamBatch, kept: torch.Tensor) -> LamBatch:
    """Return a minibatch with some entities alone."""
    changed = {"table": batch.table.columns(kept), "mentions": batch.mentions[:, kept]}
    return LamBatch(**{**vars(batch), **changed})


__all__ = ["OBJECT", "ROBOT", "LamBatch", "LamNetwork", "LamPolicy", "Sizes", "chunk_loss", "trimmed"]

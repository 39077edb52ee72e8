"""Geometry between entities, and actions that point: what a network of plain numbers learns slowly."""

from __future__ import annotations

import torch
from torch import nn

from agents.imitation.lam.entities import EntityTable

RELATIONS = 16
"""Numbers that describe the relation of one entity to another."""
UNIT_DISTANCE = 0.1
"""Distance that counts as 1, meters."""
FINE_DISTANCE = 0.02
"""Scale of asinh(x / scale): linear below it, logarithmic above it, meters."""
UNIT_SPEED = 0.1
"""Speed that counts as 1, meters per second."""
TINY = 1e-3
"""Smallest distance with a direction, meters."""


def directions(vectors: torch.Tensor) -> torch.Tensor:
    """Return unit vectors in the plane of the table, shape (..., 2); shorter for vectors below 1 mm."""
    flat = vectors[..., :2]
    unit: torch.Tensor = flat / flat.norm(dim=-1, keepdim=True).clamp(min=TINY)
    return unit


def perpendicular(vectors: torch.Tensor) -> torch.Tensor:
    """Return vectors of the plane, turned by a quarter to the left, shape (..., 2)."""
    return torch.stack([-vectors[..., 1], vectors[..., 0]], dim=-1)


def _dot_and_cross(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return dot and cross products of vectors of the plane, shape (..., 2)."""
    return torch.stack([(one * other).sum(dim=-1), (perpendicular(one) * other).sum(dim=-1)], dim=-1)


def relations(table: EntityTable) -> torch.Tensor:
    """Return the relation of each entity to each other one, shape (N, S, S, :data:`RELATIONS`).

    For entities i and j: their distance and difference of heights; the vector from the tool to i and its unit vector,
    relative to the direction from i to j (dot and cross product); the velocities of i and of the tool, and the
    heading of i, relative to the direction from i to j; and a flag that both have positions, without which all is 0.

    Distances are scaled nonlinearly: near contact, differences of a millimeter matter.
    """
    between = table.positions[:, None] - table.positions[:, :, None]
    toward = directions(between)
    count, rows = table.present.shape
    tool = table.positions[:, :1]

    def spread(vectors: torch.Tensor) -> torch.Tensor:
        return vectors[:, :, None].expand(count, rows, rows, vectors.shape[-1])

    reached = directions(table.positions - tool)
    distance = between[..., :2].norm(dim=-1, keepdim=True) / UNIT_DISTANCE
    heading = table.headings[..., :2]
    parts = torch.cat(
        [
            distance.clamp(max=5.0) - 1.0,
            2.0 * torch.log(distance + 0.1),
            torch.asinh(between[..., 2:] / FINE_DISTANCE),
            torch.asinh(_dot_and_cross(spread(table.positions - tool)[..., :2], toward) / FINE_DISTANCE),
            _dot_and_cross(spread(reached), toward),
            _dot_and_cross(spread(table.velocities[..., :2]), toward) / UNIT_SPEED,
            _dot_and_cross(spread(table.velocities[:, :1, :2].expand(-1, rows, -1)), toward) / UNIT_SPEED,
            # A cube looks the same after a quarter turn: four times the angle.
            _four_times(_dot_and_cross(spread(heading), toward)),
            _dot_and_cross(spread(heading), toward),
            torch.ones_like(distance),
        ],
        dim=-1,
    )
    both = (table.located[:, :, None] & table.located[:, None])[..., None]
    return torch.where(both, parts, 0.0)


def _four_times(turned: torch.Tensor) -> torch.Tensor:
    """Return cosine and sine of four times an angle, from its cosine and sine, shape (..., 2)."""
    cosine, sine = turned[..., 0], turned[..., 1]
    double_cosine, double_sine = cosine**2 - sine**2, 2.0 * cosine * sine
    return torch.stack([double_cosine**2 - double_sine**2, 2.0 * double_cosine * double_sine], dim=-1)


class RelationLayer(nn.Module):
    """Layer in which each entity gathers its relations to the others.

    Args:
        width: Numbers W in a token.
        hidden: Units of the network of one relation.
    """

    def __init__(self, width: int, hidden: int = 128) -> None:
        super().__init__()
        self.relation = nn.Linear(RELATIONS, hidden)
        self.here, self.there = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
        self.output = nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor, relations: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape.

        Args:
            tokens: Tokens of S entities, shape (N, S, W).
            relations: See :func:`relations`.
            present: Shape (N, S).
        """
        hidden = self.relation(relations) + self.here(tokens)[:, :, None] + self.there(tokens)[:, None]
        seen = nn.functional.gelu(hidden).masked_fill(~present[:, None, :, None], 0.0)
        gathered: torch.Tensor = tokens + self.output(seen.sum(dim=2))
        return gathered


class PointerHead(nn.Module):
    """Head that moves the tool along the directions to entities and across them.

    Args:
        hidden: Size H of the last hidden layer.
        width: Numbers W in a token.
        steps: Steps K of a chunk.
    """

    def __init__(self, hidden: int, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.query = nn.Linear(hidden, 2 * steps * 16)
        self.key = nn.Linear(width, 16)

    def forward(self, hidden: torch.Tensor, tokens: torch.Tensor, table: EntityTable) -> torch.Tensor:
        """Return motions in the plane of the table, shape (N, K, 2).

        Args:
            hidden: Output of the last hidden layer, shape (N, H).
            tokens: Tokens of S entities, shape (N, S, W).
            table: Their positions.
        """
        queries = self.query(hidden).reshape(len(hidden), 2 * self.steps, 16)
        weights = (queries @ self.key(tokens).transpose(1, 2) / 4.0).masked_fill(~table.located[:, None], 0.0)
        along, across = weights.chunk(2, dim=1)
        toward = directions(table.positions - table.positions[:, :1])
        motion: torch.Tensor = along @ toward + across @ perpendicular(toward)
        return motion

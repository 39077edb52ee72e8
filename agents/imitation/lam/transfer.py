"""Weights of a model in a larger model, which also knows other entities, features, words, robots or actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch

from agents.imitation.lam.networks.base import ChunkNetwork
from agents.imitation.lam.networks.batch import UNKNOWN_ROBOT
from agents.imitation.lam.networks.mlp import MlpNetwork
from agents.imitation.lam.networks.transformer import LamNetwork

RESIZED = (
    "encoders.",
    "first.weight",
    "mean",
    "spread",
    "types.",
    "robot.",
    "summaries.",
    "head.weight",
    "head.bias",
    "head.denoiser.first.weight",
    "head.denoiser.last.",
)
"""Prefixes of the names of weights whose shapes follow from entities, robots and actions."""


@torch.no_grad()
def transfer(source: ChunkNetwork, target: ChunkNetwork) -> None:
    """Copy all weights, and the normalizer, of a network to one that knows at least as much.

    In scenes that the source knows, both then give the same actions. A robot that the source does not know starts
    with the weights of unknown robots. Words get the numbers that they have in the source, so the target's vocabulary
    has to begin with the source's.

    Args:
        source: Network.
        target: Network of the same class and sizes, whose schema includes that of the source.
    """
    parts = target.state_dict()
    for name, values in source.state_dict().items():
        if not name.startswith(RESIZED):
            parts[name].copy_(values)
    target.sentences.vocabulary.reset()
    moves = _moves(source, target)
    for number, here, old, new in moves:
        for name in ("mean", "spread"):
            target.get_buffer(name)[here, new] = source.get_buffer(name)[number, old]
    if isinstance(source, LamNetwork) and isinstance(target, LamNetwork):
        _transfer_tokens(source, target, moves)
    elif isinstance(source, MlpNetwork) and isinstance(target, MlpNetwork):
        _transfer_features(source, target, moves)
    for name, values in source.state_dict().items():
        if name in ("head.weight", "head.bias", "head.denoiser.last.weight", "head.denoiser.last.bias"):
            _transfer_actions(values, parts[name], source)
        elif name == "head.denoiser.first.weight":
            _transfer_actions(values.T, parts[name].T, source)


def _transfer_actions(values: torch.Tensor, target: torch.Tensor, source: ChunkNetwork) -> None:
    """Copy rows for the numbers of the actions of a chunk, shape (K * A, ...)."""
    steps = source.sizes.actions
    rows = target.view(steps, -1, *target.shape[1:])
    rows[:, : source.action_size] = values.view(steps, -1, *values.shape[1:])


Move: TypeAlias = tuple[int, int, list[int], list[int]]
"""Numbers of a kind in the source and the target, and its columns in both."""


def _moves(source: ChunkNetwork, target: ChunkNetwork) -> list[Move]:
    """Return the columns of each kind that the source knows."""
    moves, kinds = [], list(target.schema.sizes)
    for number, kind in enumerate(source.schema.sizes):
        before, after = _columns(source.schema.sizes[kind]), _columns(target.schema.sizes[kind])
        old = [column for columns in before.values() for column in columns]
        # A quantity may have more numbers in the target: the flag is the last column in both.
        new = [column for name in before for column in (*after[name][: len(before[name]) - 1], after[name][-1])]
        moves.append((number, kinds.index(kind), old, new))
    return moves


def _transfer_tokens(source: LamNetwork, target: LamNetwork, moves: Sequence[Move]) -> None:
    """Copy encoders and summaries of kinds, and the embeddings of words for entities and of robots."""
    before, after = source.state_dict(), target.state_dict()
    for number, here, old, new in moves:
        after[f"encoders.{here}.weight"][:, new] = before[f"encoders.{number}.weight"][:, old]
        after[f"encoders.{here}.bias"].copy_(before[f"encoders.{number}.bias"])
        after[f"summaries.{here}.weight"].copy_(before[f"summaries.{number}.weight"])
    target.types.weight[0] = source.types.weight[0]
    for number, word in enumerate(source.schema.types):
        target.types.weight[1 + target.schema.types.index(word)] = source.types.weight[1 + number]
    target.robot.weight[:] = source.robot.weight[UNKNOWN_ROBOT]
    for number, robot in enumerate(source.robots):
        target.robot.weight[1 + target.robots.index(robot)] = source.robot.weight[1 + number]


def _transfer_features(source: MlpNetwork, target: MlpNetwork, moves: Sequence[Move]) -> None:
    """Copy the columns of the first layer: those of each feature, then those of the instruction."""
    starts = [np.cumsum([0, *network.schema.widths.values()]) for network in (source, target)]
    for number, here, old, new in moves:
        before, after = (
            start[at] + np.array(columns)
            for start, at, columns in zip(starts, (number, here), (old, new), strict=True)
        )
        target.first.weight[:, after] = source.first.weight[:, before]
    target.first.weight[:, starts[1][-1] :] = source.first.weight[:, starts[0][-1] :]


def _columns(sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the columns of each quantity of a kind: its values, and last its flag."""
    found, start, flags = {}, 0, sum(sizes.values())
    for number, (name, size) in enumerate(sizes.items()):
        found[name] = [*range(start, start + size), flags + number]
        start += size
    return found

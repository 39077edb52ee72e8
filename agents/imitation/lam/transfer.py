"""Weights of a model in a larger model, which also knows other entities, features, words, robots or actions."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from agents.imitation.lam.network import UNKNOWN_ROBOT, LamNetwork


@torch.no_grad()
def transfer(source: LamNetwork, target: LamNetwork) -> None:
    """Copy all weights, and the normalizer, of a network to one that knows at least as much.

    In scenes that the source knows, both then give the same actions. A robot that the source does not know starts
    with the weights of unknown robots. Words get the numbers that they have in the source, so the target's vocabulary
    has to begin with the source's.

    Args:
        source: Network.
        target: Network of the same sizes, whose schema includes that of the source.
    """
    parts = target.state_dict()
    special = ("encoders.", "mean", "spread", "types.", "robot.", "summaries.", "head.")
    for name, values in source.state_dict().items():
        if not name.startswith(special):
            parts[name].copy_(values)
    target.sentences.vocabulary.reset()
    old_kinds, new_kinds = list(source.schema.sizes), list(target.schema.sizes)
    for number, kind in enumerate(old_kinds):
        before, after = _columns(source.schema.sizes[kind]), _columns(target.schema.sizes[kind])
        old = [column for columns in before.values() for column in columns]
        # A quantity may have more numbers in the target: the flag is the last column in both.
        new = [column for name in before for column in (*after[name][: len(before[name]) - 1], after[name][-1])]
        here = new_kinds.index(kind)
        parts[f"encoders.{here}.weight"][:, new] = source.state_dict()[f"encoders.{number}.weight"][:, old]
        parts[f"encoders.{here}.bias"].copy_(source.state_dict()[f"encoders.{number}.bias"])
        parts[f"summaries.{here}.weight"].copy_(source.state_dict()[f"summaries.{number}.weight"])
        for name in ("mean", "spread"):
            target.get_buffer(name)[here, new] = source.get_buffer(name)[number, old]
    target.types.weight[0] = source.types.weight[0]
    for number, word in enumerate(source.schema.types):
        target.types.weight[1 + target.schema.types.index(word)] = source.types.weight[1 + number]
    target.robot.weight[:] = source.robot.weight[UNKNOWN_ROBOT]
    for number, robot in enumerate(source.robots):
        target.robot.weight[1 + target.robots.index(robot)] = source.robot.weight[1 + number]
    chunk = (source.sizes.actions, -1)
    for name in ("head.weight", "head.bias"):
        values = source.state_dict()[name]
        rows = parts[name].reshape(*chunk, *values.shape[1:])
        rows[:, : source.action_size] = values.reshape(*chunk, *values.shape[1:])


def _columns(sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the columns of each quantity of a kind: its values, and last its flag."""
    found, start, flags = {}, 0, sum(sizes.values())
    for number, (name, size) in enumerate(sizes.items()):
        found[name] = [*range(start, start + size), flags + number]
        start += size
    return found

"""Rollouts in the changed environment, in which an expert labels each state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from agents.data.demonstrations import Transitions
from agents.imitation.labels import Labels
from agents.training.stable_baselines.training import SeededEpisodes
from agents.types import Array, Memory, Observation
from demos.collection.recording import Policy, stack
from demos.datasets.tree import tree_map

Labeled: TypeAlias = tuple[Observation, Array]
"""Observation, and the action that the expert would take."""


def rollout(env: SeededEpisodes, actor: Policy, expert: Policy) -> tuple[list[Labeled], bool]:
    """Act for an episode, and have an expert label each state.

    Args:
        env: Changed environment.
        actor: Policy that acts: the expert itself, or an agent, whose memory is reset at the start.
        expert: Policy that labels.

    Returns:
        The labeled steps, and True if the episode ended in success.
    """
    observation, info = env.reset()
    steps: list[Labeled] = []
    memory: Memory = None
    start, ended = np.array([True]), False
    while not ended:
        label = np.asarray(expert.predict(observation, deterministic=True)[0], dtype=env.action_space.dtype)
        steps.append((observation, label))
        action = label
        if actor is not expert:
            action, memory = actor.predict(observation, memory, start, deterministic=True)
        observation, _, terminated, truncated, info = env.step(action)
        start, ended = np.array([False]), terminated or truncated
    return steps, bool(info.get("is_success", False))


def labels_of(episodes: Sequence[Sequence[Labeled]]) -> Labels:
    """Return the labels of episodes, at least one."""
    observations, actions = zip(*(step for episode in episodes for step in episode), strict=True)
    steps = Transitions(tree_map(torch.from_numpy, stack(observations)), torch.from_numpy(np.stack(actions)))
    return Labels(steps, tuple(len(episode) for episode in episodes))

"""Small policies of the sequence agents, and random minibatches for them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.data.sequences import SequenceBatch
from agents.imitation.sequence.act import ACTPolicy, ACTSettings
from agents.imitation.sequence.bc_rnn import RecurrentPolicy, RecurrentSettings
from agents.imitation.sequence.diffusion import DiffusionPolicy, DiffusionSettings
from agents.policies.encoders.observations import EncoderSettings
from agents.policies.sequence_policy import SequencePolicy
from agents.training.randomness import isolated_rng

NAMES = ("bc-rnn", "act", "diffusion")
SMALL: dict[str, dict[str, Any]] = {
    "bc-rnn": {"width": 8, "hidden_size": 16, "obs_horizon": 4},
    "act": {"width": 8, "heads": 2, "encoder_layers": 1, "decoder_layers": 1},
    "diffusion": {"width": 8, "hidden_size": 16, "layers": 1},
}
"""Settings of a small network."""
KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    "bc-rnn": (RecurrentPolicy, RecurrentSettings),
    "act": (ACTPolicy, ACTSettings),
    "diffusion": (DiffusionPolicy, DiffusionSettings),
}
OBSERVATIONS = gym.spaces.Box(-1.0, 1.0, (3,))
ACTIONS = gym.spaces.Box(-1.0, 1.0, (2,))
DISCRETE = gym.spaces.Discrete(5)


def policy(name: str, action_space: gym.Space[Any] = ACTIONS, **settings: Any) -> SequencePolicy:
    """Return a small untrained policy, the same in every call."""
    kind, of = KINDS[name]
    chosen = of(**{**SMALL[name], **settings})
    with isolated_rng(0):
        made: SequencePolicy = kind(OBSERVATIONS, action_space, EncoderSettings(chosen.width), chosen)
    return made


def batch(
    made: SequencePolicy, count: int = 6, *, past: int = 0, before: Any = None, after: Any = None
) -> SequenceBatch:
    """Return random windows for a policy.

    Args:
        made: The policy.
        count: Number of windows.
        past: Number of past actions.
        before: Padded observations of each window; by default drawn.
        after: Padded actions at the end of each window; by default drawn.
    """
    rng = np.random.default_rng(0)
    horizon, actions = made.horizons.observations, past + made.horizons.actions
    before = rng.integers(0, horizon, count) if before is None else np.broadcast_to(before, count)
    after = rng.integers(0, made.horizons.actions, count) if after is None else np.broadcast_to(after, count)
    position = np.arange(actions) - past
    shape = (count, actions, *(made.action_space.shape or ()))
    done = rng.integers(0, 5, shape) if made.codec.is_discrete else rng.uniform(-1.0, 1.0, shape)
    early = position < (before - (horizon - 1))[:, None] if past else np.zeros((count, actions), dtype=bool)
    late = position >= (made.horizons.actions - after)[:, None]
    return SequenceBatch(
        torch.from_numpy(rng.uniform(-1.0, 1.0, (count, horizon, 3)).astype(np.float32)),
        torch.from_numpy(np.arange(horizon) < before[:, None]),
        torch.from_numpy(done.astype(np.int64 if made.codec.is_discrete else np.float32)),
        torch.from_numpy(early | late),
        torch.arange(count),
    )

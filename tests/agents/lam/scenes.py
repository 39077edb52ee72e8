"""Small networks of the agent lam, and minibatches of real scenes for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.imitation.lam.entities import Schema
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.networks.base import Sizes
from agents.imitation.lam.networks.transformer import LamNetwork
from agents.imitation.lam.policy import LamPolicy
from agents.training.randomness import isolated_rng
from lam_envs.observation.features import Feature, Layout

SMALL: dict[str, Any] = {"width": 16, "batches": 2, "batch_size": 32}
"""Settings of a small agent that is trained for a moment."""
SIZES = Sizes(16, 2, 4)


def policy_of(env: gym.Env[Any, Any], executed: int = 2) -> LamPolicy:
    """Return a small untrained policy that knows the environment, the same in every call."""
    interface = Interface.of(env)
    schema = Schema.of([interface.layout])
    with isolated_rng(0):
        network = LamNetwork(schema, ["panda"], interface.action_size, SIZES)
        # A new network gives all entities the same weight.
        torch.nn.init.normal_(network.pointers.query.weight, std=0.5)
        torch.nn.init.normal_(network.unmentioned)
    return LamPolicy(interface, network, executed=executed, decay=0.9).eval()


def observations_of(env: gym.Env[Any, Any], seeds: Sequence[int]) -> Any:
    """Return the first observations of episodes, stacked."""
    found = [env.reset(seed=seed)[0] for seed in seeds]
    if isinstance(found[0], dict):
        return {name: np.stack([each[name] for each in found]) for name in found[0]}
    return np.stack(found)


def things_layout(*names: str) -> Layout:
    """Return a layout of a tool and objects that can be absent."""
    features = [Feature("tool/position", 3, "m", "tool", 0.0, 1.0, 10.0)]
    for name in names:
        features += [
            Feature(f"{name}/present", 1, "1", "1 if it is there", 0.5, 0.5, 0.5),
            Feature(f"{name}/position", 3, "m", "its position", (0.5, 0.0, 0.0), 0.2, 10.0),
            Feature(f"{name}/rotation", 6, "1", "its rotation", 0.0, 1.0, 1.0),
            Feature(f"{name}/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
        ]
    return Layout(features)

"""Robot-manipulation environments for learning from demonstrations.

``import lam_envs`` registers the ids with Gymnasium. ``gym.make("lam_envs:LamGrasp-v0")`` imports this package by
itself, also in worker processes that have not imported it. Gymnasium 0.29 needs neither: it loads the entry point
``gymnasium.envs``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# First: Gymnasium 0.29 loads the entry point during its own import, and would find this package partly imported.
import gymnasium as gym  # noqa: F401

from lam_envs.registration import ENV_IDS, env_id, register_envs

if TYPE_CHECKING:
    from lam_envs.control import ToolCommand
    from lam_envs.env import ManipulationEnv
    from lam_envs.randomization import Randomization

__version__ = "0.1.0"

register_envs()

__all__ = ["ENV_IDS", "ManipulationEnv", "Randomization", "ToolCommand", "env_id", "register_envs"]


LAZY = {
    "ManipulationEnv": "lam_envs.env",
    "Randomization": "lam_envs.randomization",
    "ToolCommand": "lam_envs.control",
}
"""Imported at their first use: ``import lam_envs`` must not load Bullet."""


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Robot-manipulation environments for learning from demonstrations.

``import lam_envs`` registers the ids with Gymnasium. So does installing the package, by an entry point and, for
Gymnasium 1.0 and newer, by ``_lam_envs_autoload.py``: ``gym.make("LamGrasp-v0")`` needs no import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# First of all: Gymnasium loads the entry point while it is imported, and finds this package half imported then.
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
"""Gymnasium imports this package while it is imported itself, so Bullet must wait for its first use."""


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

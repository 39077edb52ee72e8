"""Robot-manipulation environments for learning from demonstrations.

``import lam_envs`` registers the ids with Gymnasium. ``gym.make("lam_envs:LamGrasp-v0")`` imports this package
automatically, also in worker processes. Gymnasium 0.29 needs neither: it loads the entry point ``gymnasium.envs``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Must be first: Gymnasium 0.29 loads the entry point during its own import, and this package would be partly
# imported.
import gymnasium as gym  # noqa: F401

from lam_envs.registration import ENV_IDS, env_id, register_envs

if TYPE_CHECKING:
    from lam_envs.control import ToolCommand
    from lam_envs.env import ManipulationEnv
    from lam_envs.observation.instructions import decode_instruction, encode_instruction
    from lam_envs.randomization import Randomization

__version__ = "0.2.0"

register_envs()

__all__ = [
    "ENV_IDS",
    "ManipulationEnv",
    "Randomization",
    "ToolCommand",
    "decode_instruction",
    "encode_instruction",
    "env_id",
    "register_envs",
]


LAZY = {
    "ManipulationEnv": "lam_envs.env",
    "Randomization": "lam_envs.randomization",
    "ToolCommand": "lam_envs.control",
    "decode_instruction": "lam_envs.observation.instructions",
    "encode_instruction": "lam_envs.observation.instructions",
}
"""Names that are imported at their first use: ``import lam_envs`` must not load Bullet."""


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return getattr(importlib.import_module(LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Types of environments, arrays and JSON documents."""

from __future__ import annotations

from typing import Any, TypeAlias

import gymnasium as gym

from lam_envs.observation import Action, Array, Info, Observation

__all__ = [
    "Action", "Array", "Arrays", "Env", "Info", "JsonObject", "Keywords", "Memory", "Metadata", "Observation", "Space"
]  # fmt: skip

Env: TypeAlias = gym.Env[Any, Any]
"""Environment of any observations and actions."""
Space: TypeAlias = gym.Space[Any]
"""Space of any observations or actions."""
Arrays: TypeAlias = dict[str, Array]
"""Arrays by name or path."""
Keywords: TypeAlias = dict[str, Any]
"""Keywords of a function, such as ``gym.make``."""
Memory: TypeAlias = Any
"""Memory of a policy between steps, as the policy defines it; None at the start of an episode."""
JsonObject: TypeAlias = dict[str, Any]
"""JSON object: dicts, lists, texts, numbers, booleans and None by name."""
Metadata: TypeAlias = JsonObject
"""Content of a dataset's ``metadata.json``, which need not be trusted."""

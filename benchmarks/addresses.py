"""Addresses: a hash of all that determines a result, its code included."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from agents.provenance import versions


def address(determined_by: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Returns a hash of all that determines a result.

    Args:
        determined_by: Plain data.
        versions: Of the code.
    """
    content = json.dumps([determined_by, versions], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def versions_of(agent: str, environment: str) -> dict[str, str]:
    """Versions of all that decides an agent's result in an environment.

    Of a stranger's model counts its file, of an environment that is not ours its module.

    Args:
        agent: See :func:`agents.agent.find`.
        environment: An id.
    """
    found = versions(agent, environment.rpartition("-v")[0])
    if Path(agent).is_file():
        found["model"] = hashlib.sha256(Path(agent).read_bytes()).hexdigest()[:16]
    own = environment.rpartition(":")[2]
    if own not in lam_envs.ENV_IDS and own in gym.registry:
        origin = _origin(gym.registry[own].entry_point)
        if origin is not None:
            found["environment"] = hashlib.sha256(origin.read_bytes()).hexdigest()[:16]
    return found


def _origin(entry_point: Any) -> Path | None:
    """The file that an environment's class is in."""
    module = entry_point.partition(":")[0] if isinstance(entry_point, str) else entry_point.__module__
    spec = importlib.util.find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin)

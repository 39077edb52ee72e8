"""Addresses: a hash of all that determines a result, its code included."""

from __future__ import annotations

import hashlib
import importlib
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

    Of a stranger's model counts its file, of an environment that is not ours the modules it is made of.

    Args:
        agent: See :func:`agents.agent.find`.
        environment: An id.
    """
    found = versions(agent, environment.rpartition("-v")[0])
    if Path(agent).is_file():
        found["model"] = hashlib.sha256(Path(agent).read_bytes()).hexdigest()[:16]
    module, _, own = environment.rpartition(":")
    if module:
        importlib.import_module(module)
    if own not in lam_envs.ENV_IDS and own in gym.registry:
        found["environment"] = _fingerprint(module, gym.registry[own])
    return found


def _fingerprint(module: str, spec: Any) -> str:
    """A hash of the files of an environment that is not ours: what registers it, its class, what it is made of."""
    entry = spec.entry_point
    modules = {module, entry.partition(":")[0] if isinstance(entry, str) else entry.__module__}
    modules |= {type(value).__module__ for value in spec.kwargs.values()}
    digest = hashlib.sha256()
    for name in sorted(modules - {"", "builtins"}):
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None and Path(found.origin).is_file():
            digest.update(Path(found.origin).read_bytes())
    return digest.hexdigest()[:16]

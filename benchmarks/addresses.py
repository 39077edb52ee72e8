"""Addresses: a hash of all that determines a result, its code included."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym

import lam_envs
from agents.agent import AGENTS, is_saved, place_of, read_description
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

    Of a stranger's agent counts its module, of a saved one what was saved, and of an environment that is not ours
    what registers it, its class and what it is made of; and of both all that these import which is neither Python's
    own nor installed, or of the same package.

    Args:
        agent: See :func:`agents.agent.find`.
        environment: An id.
    """
    stem = environment.rpartition("-v")[0]
    saved = sorted(Path(agent).iterdir()) if is_saved(agent) else [Path(agent)] if Path(agent).is_file() else []
    if is_saved(agent):
        agent = str(read_description(agent)["agent"])
    place = place_of(agent)
    strange = agent not in AGENTS and ":" in place
    try:
        found = versions(place if strange else agent, stem)
    except (SyntaxError, ValueError):
        # Of a stranger's compiled code the bytes count.
        found = versions("", stem)
    if strange:
        found["agent"] = _fingerprint(frozenset({place.partition(":")[0]}))
    if saved:
        found["model"] = hashlib.sha256(b"".join(path.read_bytes() for path in saved)).hexdigest()[:16]
    module, _, own = environment.rpartition(":")
    if module:
        importlib.import_module(module)
    if own not in lam_envs.ENV_IDS and own in gym.registry:
        found["environment"] = _fingerprint(_modules_of(module, gym.registry[own]))
    return found


def _modules_of(module: str, spec: Any) -> frozenset[str]:
    """What registers an environment that is not ours, its class, and what it is made of."""
    entry = spec.entry_point
    modules = {module, entry.partition(":")[0] if isinstance(entry, str) else entry.__module__}
    modules |= {type(value).__module__ for value in spec.kwargs.values()}
    return frozenset(modules - {"", "builtins"})


@cache
def _fingerprint(modules: frozenset[str]) -> str:
    """A hash of the files of modules and of what these import; code does not change while a process runs."""
    packages = {name.partition(".")[0] for name in modules}
    digest = hashlib.sha256()
    waiting, seen = sorted(modules), set[str]()
    files: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in seen or path is None or not (name.partition(".")[0] in packages or _is_loose(path)):
            continue
        seen.add(name)
        files[name] = path.read_bytes()
        waiting += _imports(name, files[name]) if path.suffix == ".py" else []
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return None
    return Path(found.origin)


def _is_loose(path: Path) -> bool:
    """Whether a file is neither Python's own nor installed."""
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return not any(path.is_relative_to(place) for place in places)


def _imports(module: str, source: bytes) -> list[str]:
    """Names that a module imports, wherever in its code; some may be no modules."""
    names: list[str] = []
    is_package = (_file_of(module) or Path()).name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except (ImportError, ValueError):
                continue
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return names

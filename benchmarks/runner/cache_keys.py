"""Cache keys: hashes of all that decides a result. A result is outdated when the key of its cell has changed.

A key depends on versions of parts, settings, seeds and major versions of libraries. It does not depend on our
source code: renaming a module, changing a message or adding a task makes no result outdated. The code of a
third-party agent or environment, which has no version, is hashed. Of a remote policy, the metadata of its server are.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

import lam_envs
from agents.deployment.adaptation.methods import adaptation_settings, adaptation_versions
from agents.folders import EXPORTED_DESCRIPTION, EXPORTED_MODEL, is_exported, is_saved, read_description
from agents.pretraining.methods import pretraining_settings, pretraining_versions
from agents.registry import AGENTS, ARCHIVE, import_path_of, is_remote
from agents.training.provenance import PACKAGES, agent_versions, effective_settings
from agents.training.saving.zoo import agent_path
from agents.types import JsonObject, Keywords
from benchmarks.suite.stages import Adaptation, Pretraining
from demos.collection.environment_versions import environment_versions
from demos.collection.human_demonstrator import HUMAN
from demos.collection.plan import Plan
from demos.collection.versions import demonstration_versions, expert_versions, library_versions, major_versions
from demos.experts import ExpertPolicy
from demos.runtime.import_paths import import_object

ACTING = ("gymnasium", "numpy", "pybullet")
"""Libraries that decide the results of our agents that do not learn, and of remote policies."""
EXPORTED = (*ACTING, "onnxruntime")
"""Libraries that decide the results of exported policies."""
SERVER = "server"
"""Name of the identity of a policy server among the sources of a result."""


@dataclass(frozen=True)
class Provenance:
    """Versions, settings, libraries and code that decide a result, besides what the suite asks for.

    Attributes:
        versions: Version of each part of ours that is used.
        settings: Settings that the agent is trained with.
        libraries: Versions of libraries; their major versions count.
        sources: Hashes of what has no version of ours: code of a third-party agent or environment, files of a saved
            model, metadata of a policy server.
    """

    versions: dict[str, int]
    settings: Keywords
    libraries: dict[str, str] = field(compare=False)
    sources: dict[str, str] = field(default_factory=dict)

    def key(self, request: Mapping[str, object]) -> str:
        """Return the cache key of a result.

        Args:
            request: Request of the suite, as plain data.
        """
        libraries = major_versions(self.libraries)
        content = [request, self.versions, self.settings, libraries, self.sources]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def as_json(self) -> JsonObject:
        """Return it as plain data."""
        return asdict(self)


def provenance_of(
    agent: str,
    environment: str,
    settings: Mapping[str, object],
    *,
    env_kwargs: Keywords | None = None,
    demonstrator: str | None = None,
    learns: bool,
) -> Provenance:
    """Return the provenance of an agent's training in an environment, or of its actions if it does not learn.

    Args:
        agent: See :func:`agents.registry.find`; also a saved or pretrained agent.
        environment: An id.
        settings: Settings that differ from the agent's own.
        env_kwargs: Keywords for ``gym.make``.
        demonstrator: Name of the demonstrator that it learns from; None without demonstrations.
        learns: True if it learns.
    """
    module, _, env_id = environment.rpartition(":")
    if module:
        importlib.import_module(module)
    # A saved agent, archive or exported policy has learned already: its files count.
    location = agent_path(agent)
    saved = _files_of(location)
    description = read_description(location) if is_saved(location) else {}
    name = str(description.get("agent")) if description else agent
    keywords = env_kwargs or {}
    parts = environment_versions(env_id, **keywords)
    if demonstrator is not None:
        acting = (HUMAN,) if demonstrator == HUMAN else Plan(env_id, demonstrator=demonstrator).demonstrators
        parts |= demonstration_versions(env_id, keywords, demonstrators=acting)
    elif _is_expert(name):
        parts |= expert_versions(env_id, **keywords)
    sources = _remote_sources(agent, settings) if is_remote(agent) else {}
    place, _, named = import_path_of(name).partition(":")
    if name not in AGENTS and not is_remote(name) and named and _file_of(place) is not None:
        sources["agent"] = _fingerprint(frozenset({place}))
    if saved:
        sources["model"] = hashlib.sha256(b"".join(path.read_bytes() for path in saved)).hexdigest()[:16]
    if env_id not in lam_envs.ENV_IDS and env_id in gym.registry:
        sources["environment"] = _fingerprint(_modules_of(module, gym.registry[env_id]))
    chosen = dict(settings) if saved else effective_settings(name, settings, env_id.rpartition("-v")[0])
    trained = name not in AGENTS and not is_remote(name)
    libraries: tuple[str, ...] = PACKAGES if learns or saved or trained else ACTING
    if is_exported(agent):
        libraries = EXPORTED
    versions = agent_versions(name, {**(description.get("settings") or {}), **chosen})
    return Provenance({**parts, **versions}, chosen, library_versions(libraries), sources)


def _files_of(agent: str) -> list[Path]:
    """Return the files that hold a trained agent; empty for one that is not given by its files."""
    inside: Iterable[Path] = ()
    if is_exported(agent):
        inside = [Path(agent) / EXPORTED_DESCRIPTION, Path(agent) / EXPORTED_MODEL]
    elif is_saved(agent):
        inside = Path(agent).rglob("*")
    elif agent.endswith(ARCHIVE):
        inside = [Path(agent)]
    return sorted(path for path in inside if path.is_file())


def encoder_provenance(pretraining: Pretraining) -> Provenance:
    """Return the provenance of a pre-trained encoder."""
    versions = dict(pretraining_versions(pretraining.method))
    for dataset in pretraining.datasets:
        env_id = dataset.environment.rpartition(":")[2]
        acting = Plan(env_id, demonstrator=dataset.demonstrator).demonstrators
        versions |= demonstration_versions(env_id, dataset.env, demonstrators=acting)
    settings = pretraining_settings(pretraining.method, pretraining.settings).model_dump()
    return Provenance(versions, settings, library_versions(PACKAGES))


def adaptation_provenance(adaptation: Adaptation, environment: str, keywords: Keywords) -> Provenance:
    """Return the provenance of an adaptation, apart from that of the agent.

    Args:
        adaptation: Adaptation.
        environment: Id of the environment of the training.
        keywords: Keywords of the changed environment.
    """
    env_id = environment.rpartition(":")[2]
    versions = {**environment_versions(env_id, **keywords), **expert_versions(env_id, **keywords)}
    settings = adaptation_settings(adaptation.method, adaptation.settings).model_dump()
    return Provenance({**versions, **adaptation_versions(adaptation.method)}, settings, library_versions(PACKAGES))


def _is_expert(agent: str) -> bool:
    """Return True if an agent of ours is the scripted expert."""
    return agent in AGENTS and issubclass(import_object(AGENTS[agent], "agent"), ExpertPolicy)


def _remote_sources(address: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Return the hashes of a server's metadata and of the file of names; what is not known is absent."""
    from agents.deployment.remote.identity import names_hash, server_identity  # late: an optional package

    known = {SERVER: server_identity(address), "names": names_hash(settings)}
    return {name: identity for name, identity in known.items() if identity is not None}


def _modules_of(module: str, spec: EnvSpec) -> frozenset[str]:
    """Return the modules of an environment that is not ours: those of its registration, class and keywords."""
    entry = spec.entry_point
    modules = {module, entry.partition(":")[0] if isinstance(entry, str) else entry.__module__}
    modules |= {type(value).__module__ for value in spec.kwargs.values()}
    return frozenset(modules - {"", "builtins"})


@cache
def _fingerprint(modules: frozenset[str]) -> str:
    """Return a hash of the files of modules and of their imports. Code does not change while a process runs."""
    packages = {name.partition(".")[0] for name in modules}
    digest = hashlib.sha256()
    waiting, seen = sorted(modules), set[str]()
    files: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        path = _file_of(name)
        if path is None or not (name.partition(".")[0] in packages or _is_loose(path)):
            continue
        files[name] = path.read_bytes()
        waiting += _imports(name, files[name]) if path.suffix == ".py" else []
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # The package of a third party's module is run, and may raise anything.
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return Path(spec.origin)


def _is_loose(path: Path) -> bool:
    """Return True if a file is neither Python's own nor installed."""
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return not any(path.is_relative_to(place) for place in places)


def _imports(module: str, source: bytes) -> list[str]:
    """Return the names that a module imports anywhere in its code; some may not be modules."""
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

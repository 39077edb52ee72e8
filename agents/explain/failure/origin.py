"""Origin of a monitor: agent, environment, demonstrations and ensemble, and checks that a later use has the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import torch

from agents.data.demonstrations import DemonstrationData
from agents.explain.failure.monitor import Monitor
from agents.explain.functions import function_of
from agents.spec import spec_of
from agents.types import Env, JsonObject
from demos.collection.plan import COMMAND_LIMIT
from demos.collection.recording import Policy
from demos.datasets.metadata import RENDER_KEYWORDS

FREE_KEYWORDS = (*RENDER_KEYWORDS, COMMAND_LIMIT)
"""Keywords of an environment that may differ from those of the fit: rendering and the time limit."""


def agent_record(agent: Policy) -> JsonObject:
    """Return the name of an agent and the SHA-256 of its weights as the origin of a monitor.

    Empty for an agent without a network of PyTorch, which cannot be monitored.
    """
    function = function_of(agent)
    if function is None:
        return {}
    digest = hashlib.sha256()
    for name, values in sorted(function.module.state_dict().items()):
        if isinstance(values, torch.Tensor):
            digest.update(f"{name} {values.dtype} {tuple(values.shape)} ".encode())
            digest.update(values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {"agent": spec_of(agent).name, "weights": digest.hexdigest()}


def check_agent(monitor: Monitor, agent: Policy) -> None:
    """Check that an agent is the one that a monitor was fitted to, as far as that is recorded.

    Raises:
        ValueError: The agent's name or weights differ from those recorded.
    """
    origin, used = monitor.origin, agent_record(agent)
    if _differs(origin, used):
        raise ValueError(
            f"the monitor was fitted to agent {_described_agent(origin)}; this agent is {_described_agent(used)}: "
            "use the monitor of this agent, or fit one with `python -m agents monitor`; to explain without it, "
            "choose other methods than failure by --method"
        )


def _differs(origin: JsonObject, used: JsonObject) -> bool:
    """Return True if anything that is recorded differs from what is used."""
    return any(origin.get(name, value) != value for name, value in used.items())


def _described_agent(agent: JsonObject) -> str:
    return f"{agent.get('agent')!r} (weights SHA-256 {str(agent.get('weights'))[:12]}...)"


def demonstrations_record(data: DemonstrationData) -> JsonObject:
    """Return the id and the checksum of demonstrations as the origin of a monitor."""
    return {"demonstrations": data.id, "demonstrations_checksum": data.checksum}


def check_demonstrations(monitor: Monitor, data: DemonstrationData) -> None:
    """Check that demonstrations are those that a monitor was fitted with, as far as that is recorded.

    Raises:
        ValueError: They have other episodes.
    """
    origin, checksum = monitor.origin, "demonstrations_checksum"
    if _differs(origin, {checksum: data.checksum}):
        raise ValueError(
            f"the monitor was fitted with demonstrations {origin.get('demonstrations')} (checksum "
            f"{str(origin[checksum])[:12]}...); these are {data.id} (checksum {data.checksum[:12]}...): use the "
            "demonstrations that the monitor was fitted with, or fit it again with `python -m agents monitor`; to "
            "explain without it, choose other methods than failure by --method"
        )


def environment_of(env: Env) -> JsonObject:
    """Return the id and keywords of an environment as the origin of a monitor; empty for one without a spec."""
    spec = env.spec
    if spec is None:
        return {}
    keywords = {name: value for name, value in sorted(spec.kwargs.items()) if name not in FREE_KEYWORDS}
    # Objects, such as a user's own task, are recorded by their type.
    return {
        "environment": spec.id,
        "keywords": json.loads(json.dumps(keywords, default=lambda value: type(value).__name__)),
    }


def check_environment(monitor: Monitor, env: Env) -> None:
    """Check that an environment is the one that a monitor was fitted in, as far as that is recorded.

    Raises:
        ValueError: It is another one.
    """
    origin, used = monitor.origin, environment_of(env)
    if _differs(origin, used):
        raise ValueError(
            f"the monitor was fitted in {_described(origin)}; this environment is {_described(used)}. Use the "
            "environment of the monitor, or fit a monitor in this one; to explain without it, choose other methods "
            "than failure by --method"
        )


def _described(environment: JsonObject) -> str:
    keywords = environment.get("keywords") or {}
    return " ".join([str(environment.get("environment")), *(f"{name}={value}" for name, value in keywords.items())])


def resolved(names: Iterable[str]) -> list[str]:
    """Return folders of agents as absolute paths, and names of pretrained agents as they are.

    Args:
        names: Paths of folders, and names of pretrained agents.
    """
    return [str(Path(name).resolve()) if Path(name).exists() else name for name in names]


def ensemble_of(monitor: Monitor | None, given: list[str]) -> list[str]:
    """Return the agents to compare with: those that are given, or those that the monitor was fitted with.

    Raises:
        ValueError: Others are given than those of the monitor, to which its thresholds belong.
    """
    recorded = None if monitor is None else monitor.origin.get("ensemble")
    if not isinstance(recorded, list):
        return given
    members = [str(each) for each in recorded]
    if given and set(resolved(given)) != set(resolved(members)):
        raise ValueError(
            f"--ensemble {', '.join(given)}: the monitor was fitted with {', '.join(members) or 'none'}. "
            "Remove --ensemble, fit a monitor with it, or choose other methods than failure by --method"
        )
    return members

"""Settings of agents: ``configs/<agent>.yaml``, which has defaults for all environments and what differs in some.

A file that says ``like: bc`` has the settings of that agent too, as far as its own has them, and its own besides.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
import yaml

from lam_envs.env import ManipulationEnv

CONFIGS = Path(__file__).with_name("configs")
DEFAULT = "default"
SEARCH = "search"
"""The section that says where to look for better settings."""
LIKE = "like"
"""Names the agent whose settings a file shares."""

SettingsType = TypeVar("SettingsType")


def read_settings(
    name: str, kind: type[SettingsType], changed: Mapping[str, Any], env: gym.Env[Any, Any] | None = None
) -> SettingsType:
    """Returns an agent's settings: those of all environments, those of this one, and changes.

    Args:
        name: Of the agent.
        kind: A dataclass.
        changed: Fields that differ from the file.
        env: What the agent is for; by default no environment that the file names.

    Raises:
        ValueError: A field that the dataclass does not have, or a value of another type or out of range.
    """
    return settings_of(name, kind, changed, stem(env))


def settings_of(name: str, kind: type[SettingsType], changed: Mapping[str, Any], section: str) -> SettingsType:
    """Return an agent's settings for an environment, given its name in files of settings.

    Args:
        name: Name of the agent.
        kind: Dataclass of its settings.
        changed: Fields that differ from the file.
        section: Name of the environment in files of settings (:func:`stem`).

    Raises:
        ValueError: See :func:`read_settings`.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass
    sections = shipped(name, fields)
    merged: dict[str, Any] = {**sections[DEFAULT], **sections.get(section, {}), **changed}
    for key in merged:
        if key not in fields:
            raise ValueError(f"unknown setting {key!r} of agent {name}; expected one of {', '.join(fields)}")
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()}
    for key, value in frozen.items():
        _check_type(name, key, value, str(fields[key].type))
    return kind(**frozen)


def shipped(name: str, fields: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Returns the settings of an agent's file: the defaults, and what differs in which environment.

    Args:
        name: Of the agent.
        fields: Which settings it has: of those of an agent that it is like, these count.
    """
    path = CONFIGS / f"{name}.yaml"
    content = _parsed(path, path.stat().st_mtime_ns)
    own = {key: values for key, values in content.items() if key not in (SEARCH, LIKE)}
    if LIKE not in content:
        return own
    known = set(fields)
    other = {
        section: {key: value for key, value in values.items() if key in known}
        for section, values in shipped(content[LIKE], known).items()
    }
    # What a file says itself of all environments goes before what the other says of one.
    return {
        section: {
            **{key: value for key, value in other.get(section, {}).items() if key not in own[DEFAULT]},
            **own.get(section, {}),
        }
        for section in {**other, **own}
    }


@cache
def _parsed(path: Path, modified: int) -> dict[str, Any]:
    """The content of a file, parsed once while it does not change: a suite asks for it with each of its cells."""
    return dict(yaml.safe_load(path.read_text()))


SPACES = ("control", "obs")
"""Keywords that change what is seen and done: settings that were tuned for an id are not for those."""


def stem(env: gym.Env[Any, Any] | None) -> str:
    """Returns the name that settings have for an environment: its id without the version, such as ``LamGrasp``.

    One that was made with other actions or observations than its id stands for has no name.
    """
    spec = None if env is None else env.spec
    if spec is None:
        return ""
    usual = gym.registry[spec.id].kwargs if spec.id in gym.registry else {}
    parameters = inspect.signature(ManipulationEnv.__init__).parameters
    for keyword in SPACES:
        if keyword in spec.kwargs and spec.kwargs[keyword] != usual.get(keyword, parameters[keyword].default):
            return ""
    return spec.id.rpartition("-v")[0]


def _check_type(name: str, key: str, value: Any, expected: str) -> None:
    """Refuses a value that is not of the type that the dataclass declares."""
    if expected == "float" and isinstance(value, int) and not isinstance(value, bool):
        return
    if expected in ("tuple[int, ...]", "tuple[str, ...]"):
        fits = isinstance(value, tuple) and all(f"tuple[{type(part).__name__}, ...]" == expected for part in value)
    else:
        fits = type(value).__name__ == expected
    if not fits:
        raise ValueError(f"setting {key} of agent {name} is {value!r}; expected {expected}")


def at_least(least: float, **settings: float) -> None:
    """Refuses settings that are too small, or no number.

    Raises:
        ValueError: One is.
    """
    for what, number in settings.items():
        if not least <= number < float("inf"):
            raise ValueError(f"{what} is {number}; expected at least {least}")


SEEDS = 2**32
"""Seeds of trainings are below this: so many the libraries know."""


def check_seed(seed: int) -> None:
    """Refuses a seed that a training cannot have.

    Raises:
        ValueError: It is negative or too large.
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed is {seed}; expected at least 0 and below {SEEDS}")


def positive(**settings: float) -> None:
    """Refuses settings that are not above 0.

    Raises:
        ValueError: One is not.
    """
    for what, number in settings.items():
        if not 0.0 < number < float("inf"):
            raise ValueError(f"{what} is {number}; expected a positive number")

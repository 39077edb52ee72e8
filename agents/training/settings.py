"""Settings of agents: defaults in code, and what differs in some environments in ``configs/*/<agent>.yaml``.

A section is for an id without its version, such as ``LamGrasp``. The section ``Pixels`` is for all ids whose names
end in ``Pixels``; the settings in a section of one such id come before those. A file with ``inherits: bc`` also uses
the environment sections in the file of that agent, for the settings that both agents have.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import gymnasium as gym
import numpy as np
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from agents.types import Env, JsonObject
from lam_envs.env import ManipulationEnv
from lam_envs.registration import TASKS, env_id

CONFIGS = Path(__file__).with_name("configs")
SEARCH = "search"
"""Section of a file with the ranges in which ``agents tune`` searches."""
INHERITS = "inherits"
"""Key of a file that names the agent whose file it builds on."""
PIXELS = "Pixels"
"""Section of a file for all ids of the variant ``Pixels``."""
MAX_UNITS = 2048
"""Largest layer. A saved agent is a third party's file: the memory that it may ask for is bounded."""
MAX_LAYERS = 8

Count = Annotated[int, Field(ge=1)]
"""A whole number of at least 1."""
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number from 0 to 1."""
Discount = Annotated[float, Field(ge=0.0, lt=1.0)]
LogStd = Annotated[float, Field(ge=-20.0, allow_inf_nan=False)]
"""Natural logarithm of a standard deviation."""
Units = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Layers = Annotated[tuple[Units, ...], Field(min_length=1, max_length=MAX_LAYERS)]
"""Units of each hidden layer."""
OptionalLayers = Annotated[tuple[Units, ...], Field(max_length=MAX_LAYERS)]
"""Units of each hidden layer; empty for none."""


class AgentSettings(BaseModel):
    """Base of the settings of an agent: immutable, without conversion of types, without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    later: ClassVar[frozenset[str]] = frozenset()
    """Settings that were added after results were published. Records leave them out where they have their default."""
    acting: ClassVar[frozenset[str]] = frozenset()
    """Settings that may change after the training, because the weights do not depend on them."""

    @model_serializer(mode="wrap")
    def _without_later(self, serialize: SerializerFunctionWrapHandler) -> JsonObject:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in serialize(self).items()
            if not (name in self.later and value == fields[name].default)
        }


SettingsType = TypeVar("SettingsType", bound=AgentSettings)


def read_settings(
    name: str, kind: type[SettingsType], changed: Mapping[str, object], env: Env | None = None
) -> SettingsType:
    """Return an agent's settings: its defaults, what its file changes for this environment, and ``changed``.

    Args:
        name: Name of the agent.
        kind: Class of its settings.
        changed: Settings that differ, by name.
        env: Environment that the agent is for; None for one that the file does not name.

    Raises:
        ValueError: A setting that the agent does not have, or a value of another type or out of range.
    """
    return settings_of(name, kind, changed, settings_section(env))


def settings_of(name: str, kind: type[SettingsType], changed: Mapping[str, object], section: str) -> SettingsType:
    """Return an agent's settings for an environment, given its name in files of settings.

    Args:
        name: Name of the agent.
        kind: Class of its settings.
        changed: Settings that differ, by name.
        section: Name of the environment in files of settings (:func:`settings_section`).

    Raises:
        ValueError: See :func:`read_settings`.
    """
    sections = file_settings(name, kind.model_fields)
    shared = sections.get(PIXELS, {}) if section in _pixel_sections() else {}
    given = {**shared, **sections.get(section, {}), **changed}
    return checked_settings(f"agent {name}", kind, given)


def recorded_settings(kind: type[AgentSettings], recorded: Mapping[str, object]) -> JsonObject:
    """Return all settings of a record, which leaves out later settings that have their default.

    Args:
        kind: Class of the settings.
        recorded: Settings in the record.
    """
    left_out = {name: field.default for name, field in kind.model_fields.items() if name in kind.later}
    return {**left_out, **recorded}


def checked_settings(owner: str, kind: type[SettingsType], given: Mapping[str, object]) -> SettingsType:
    """Return settings.

    Args:
        owner: Name of the owner in errors, such as ``agent bc``.
        kind: Class of the settings.
        given: Settings that differ from the defaults, by name.

    Raises:
        ValueError: An unknown setting, or a value of another type or out of range.
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    try:
        return kind(**values)
    except ValidationError as error:
        raise ValueError(_first_problem(owner, kind, values, error)) from None


def _first_problem(
    owner: str, kind: type[AgentSettings], values: Mapping[str, object], error: ValidationError
) -> str:
    """Return the first problem of settings: the value, what is expected."""
    first_error = error.errors()[0]
    if not first_error["loc"]:
        return str(first_error["ctx"]["error"])
    key = str(first_error["loc"][0])
    if first_error["type"] == "missing":
        return f"setting {key} of {owner} is missing: give it, or restore the file that it was read from"
    if first_error["type"] == "extra_forbidden":
        return f"unknown setting {key!r} of {owner}; expected one of {', '.join(kind.model_fields)}"
    bounds = {
        "greater_than_equal": "at least",
        "greater_than": "above",
        "less_than_equal": "at most",
        "less_than": "below",
    }
    sizes = {"too_long": ("at most", "max_length"), "too_short": ("at least", "min_length")}
    if first_error["type"] in bounds:
        expected = f"{bounds[first_error['type']]} {next(iter(first_error['ctx'].values())):g}"
    elif first_error["type"] in sizes:
        words, bound = sizes[first_error["type"]]
        expected = f"{words} {first_error['ctx'][bound]} items"
    else:
        expected = first_error["msg"].removeprefix("Input should be ")
    return f"setting {key} of {owner} is {values[key]!r}; expected {expected}"


def settings_files() -> dict[str, Path]:
    """Return the file of each agent that has one."""
    return {file.stem: file for file in sorted(CONFIGS.rglob("*.yaml"))}


def file_settings(name: str, known: Iterable[str]) -> dict[str, JsonObject]:
    """Return what an agent's file changes, by the name of the environment.

    Args:
        name: Name of the agent.
        known: Names of the agent's settings; inherited settings that it does not have are left out.
    """
    path = settings_files()[name]
    content = _parsed(path, path.stat().st_mtime_ns)
    overrides = {section: values for section, values in content.items() if section not in (SEARCH, INHERITS)}
    if INHERITS not in content:
        return overrides
    names = set(known)
    inherited = {
        section: {key: value for key, value in values.items() if key in names}
        for section, values in file_settings(content[INHERITS], names).items()
    }
    return {
        section: {**inherited.get(section, {}), **overrides.get(section, {})}
        for section in {**inherited, **overrides}
    }


@cache
def _pixel_sections() -> frozenset[str]:
    """Return the names of the ids of the variant ``Pixels`` in files of settings."""
    return frozenset(env_id(task, PIXELS).rpartition("-v")[0] for task in TASKS)


@cache
def _parsed(path: Path, modified: int) -> JsonObject:
    """Return the content of a file; it is parsed once while it does not change."""
    return dict(yaml.safe_load(path.read_text()))


SPACES = ("control", "obs")
"""Keywords that change observations or actions: settings that were tuned for an id do not hold for them."""


def settings_section(env: Env | None) -> str:
    """Return the name of an environment in files of settings: its id without the version, such as ``LamGrasp``.

    Args:
        env: Environment. One with other actions or observations than its id stands for has no name.
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


def check_budget(budget: object, unit: str) -> None:
    """Check that a budget is valid.

    Args:
        budget: Budget; None for the default.
        unit: Its unit, such as ``epochs``.

    Raises:
        ValueError: It is not a whole number, or is below 1.
    """
    if budget is None:
        return
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)):
        raise ValueError(f"the budget is {budget!r} {unit}; expected a whole number of at least 1")
    if budget < 1:
        raise ValueError(f"the budget is {budget} {unit}; expected at least 1")


SEED_LIMIT = 2**32
"""Seeds of training runs are below this, the largest that the libraries take."""


def check_seed(seed: object) -> None:
    """Check that a seed is valid.

    Raises:
        ValueError: It is not a whole number, or is negative or too large.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"seed is {seed!r}; expected a whole number of at least 0 and below {SEED_LIMIT}")
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed is {seed}; expected at least 0 and below {SEED_LIMIT}")

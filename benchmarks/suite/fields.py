"""Base and field types of the models that suites are read with."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Annotated, TypeVar

import gymnasium as gym
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

import lam_envs
from agents.types import Keywords
from lam_envs.validation import unknown_name

T = TypeVar("T")

RESERVED = {"render_mode", "autoreset"}
"""Keywords of ``gym.make`` that the evaluation itself sets."""


class SuiteModel(BaseModel):
    """Base of the parts of a suite: immutable, without conversion of types, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def call_third_party(call: Callable[..., T], *arguments: object) -> T:
    """Call a function that runs third-party code, and convert every error to a ValueError.

    Args:
        call: Function that runs third-party code, which may raise anything.
        arguments: Its arguments.
    """
    try:
        return call(*arguments)
    except (Exception, SystemExit) as error:
        raise ValueError(str(error) or repr(error)) from error


def problem_of(error: Exception) -> str:
    """Return an error in one line; of a validation, its first problem."""
    if not isinstance(error, ValidationError):
        return repr(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}"


def _text(text: str) -> str:
    # Names of rows join the label and other parts by commas.
    if not text.isprintable() or not text.strip() or set("|,") & set(text):
        raise ValueError(f"found {text!r}; expected a text in one line without '|' and ','")
    return text


def _paragraph(text: str) -> str:
    words = " ".join(text.split())
    if not words or not words.isprintable():
        raise ValueError(f"found {text!r}; expected a non-empty text without control characters")
    return words


def _environment(name: str) -> str:
    module, colon, own = name.rpartition(":")
    try:
        if colon:
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"cannot import the module of environment {name!r}: {error}. Put it into this folder or PYTHONPATH"
        ) from error
    except (Exception, SystemExit) as error:
        raise ValueError(f"module {module!r} of {name} fails when it is imported: {error!r}") from error
    if own not in gym.registry:
        raise ValueError(f"{unknown_name('environment', name, lam_envs.ENV_IDS)}. Or give module:Id-v0 of your own")
    return name


def _distinct(items: tuple[T, ...]) -> tuple[T, ...]:
    twice = next((item for place, item in enumerate(items) if item in items[:place]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice; expected each item once")
    return items


def _not_reserved(env: Keywords) -> Keywords:
    reserved = ", ".join(sorted(RESERVED & set(env)))
    if reserved:
        raise ValueError(f"env has {reserved}, which the evaluation itself sets: remove it")
    return env


def _listed(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


Count = Annotated[int, Field(ge=1, lt=2**32)]
"""A whole number of at least 1."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Text = Annotated[str, AfterValidator(_text)]
"""String without control characters, "|" and ",", for tables."""
Paragraph = Annotated[str, AfterValidator(_paragraph)]
"""A text of one or several lines, which become one."""
Items = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]
"""A list of at least one item."""
Distinct = Annotated[Items[T], AfterValidator(_distinct)]
"""A list of at least one item, all different."""
OneOrMore = Annotated[Distinct[T], BeforeValidator(_listed)]
"""The same; a single item stands for a list of it."""
EnvKeywords = Annotated[Keywords, AfterValidator(_not_reserved)]
"""Keywords for ``gym.make``."""
EnvironmentId = Annotated[str, AfterValidator(_environment)]
"""Id of an environment of lam_envs, or ``module:Id`` of a third-party environment."""

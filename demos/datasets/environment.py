"""Make the environment that a dataset was collected in."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import minari
from gymnasium.envs.registration import registry

import lam_envs
from demos.datasets.metadata import plan_of
from demos.runtime.types import Env
from lam_envs.registration import is_lam_env

PLAIN_TEXT = re.compile(r"[\w -]*")
"""Texts that name no file and no code."""


def make_env(dataset: minari.MinariDataset, **kwargs: Any) -> Env:
    """Make the environment that a dataset was collected in.

    Only environments that are registered in this process can be made: a dataset cannot name code to import.

    Args:
        dataset: Minari dataset.
        kwargs: Additional keywords, such as ``render_mode``.

    Raises:
        ValueError: The dataset names no environment, or the environment is not registered or cannot be made.
    """
    plan = plan_of(dataset)
    env_id, env_kwargs = plan["env_id"], plan.get("env_kwargs") or {}
    if env_id not in registry:
        raise ValueError(
            f"dataset {dataset.id} was collected in {env_id!r}, which is not registered: import the module that "
            f"registers it (python -m demos --import MODULE ...). Known: {', '.join(lam_envs.ENV_IDS)}"
        )
    if not isinstance(env_kwargs, dict):
        raise ValueError(f"dataset {dataset.id} has env_kwargs {env_kwargs!r}; expected a dict")
    if not is_lam_env(env_id) and not _is_plain(env_kwargs):
        raise ValueError(
            f"dataset {dataset.id} was collected in {env_id!r} with {env_kwargs}; for environments outside of "
            "lam_envs, "
            "expected numbers and plain names: other values could name files or code"
        )
    return gym.make(env_id, **{**env_kwargs, **kwargs})


def _is_plain(value: object) -> bool:
    """Return True if a JSON value holds only numbers, and texts that name no file and no code."""
    if isinstance(value, dict):
        return all(_is_plain(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or PLAIN_TEXT.fullmatch(value) is not None

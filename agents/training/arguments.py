"""Arguments of the command that trains: demonstrations, environments, settings, and the folder to save in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minari

import demos
from agents.evaluation.evaluation import make_env
from agents.registry import AgentSpec
from agents.types import Env, Keywords
from demos.datasets.environment import make_env as make_env_of
from demos.datasets.metadata import plan_of
from demos.runtime.console import parse_keywords


def read_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Read the settings of an agent from ``name=value``.

    Raises:
        ValueError: An assignment has no value, or its name is reserved.
    """
    given = parse_keywords(list(assignments), "--config")
    for name in ("self", "env"):
        if name in given:
            raise ValueError(f"--config {name}: no agent has such a setting")
    return given


def load_datasets(
    name: str, spec: AgentSpec, given: Sequence[str], root: Path | None
) -> list[minari.MinariDataset] | None:
    """Load the demonstrations of an agent; None if it needs none.

    Args:
        name: Name of the agent.
        spec: Its spec.
        given: Ids or folders of datasets.
        root: Folder of all datasets.

    Raises:
        ValueError: It needs demonstrations, and none are given, or the other way around.
    """
    if not spec.needs_demonstrations:
        if given:
            raise ValueError(f"agent {name} learns from reward alone: remove --demos")
        return None
    if not given:
        raise ValueError(f"agent {name} needs demonstrations: give a dataset by --demos")
    return [demos.load(each, root) for each in given]


def training_environments(
    name: str, spec: AgentSpec, env_ids: Sequence[str], keywords: Keywords, given: Sequence[str], root: Path | None
) -> list[Env]:
    """Make the environments of a training.

    Args:
        name: Name of the agent.
        spec: Its spec.
        env_ids: Ids of environments. Without them, an agent that takes several environments gets those of its
            demonstrations, with instructions.
        keywords: Keywords of each environment.
        given: Ids or folders of datasets.
        root: Folder of all datasets.

    Raises:
        ValueError: No environment, or several for an agent that takes one.
    """
    if len(env_ids) > 1 and not spec.takes_several_environments:
        raise ValueError(f"agent {name} is trained in one environment: give --env once")
    if env_ids:
        return [make_env(each, **keywords) for each in env_ids]
    if not spec.takes_several_environments:
        raise ValueError(f"agent {name} needs an environment: give one by --env")
    datasets = {
        repr((plan["env_id"], plan.get("env_kwargs"))): dataset
        for dataset, plan in ((each, plan_of(each)) for each in load_datasets(name, spec, given, root) or ())
    }
    return [make_env_of(dataset, **{"instruct": True, **keywords}) for dataset in datasets.values()]


def check_free(out: Path, *, overwrite: bool) -> None:
    """Check that no agent would be replaced without ``--overwrite``; an empty folder is free.

    Raises:
        FileExistsError: The folder holds an agent.
    """
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileExistsError(
            f"{out} holds an agent already: choose another --out, or --overwrite it. A finished training cannot be "
            "continued with a larger --budget, because its learning rate follows the budget: train from scratch with "
            "the larger budget, or fine-tune the agent with RL (docs/training.md)"
        )

"""Saved agents: settings and spaces as JSON, weights as safetensors. Loading one runs none of its code."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import lam_envs
from agents.data.spaces import brief
from agents.registry import DESCRIPTION, read_description

WEIGHTS = "weights.safetensors"


def save_agent(
    directory: str | Path,
    name: str,
    settings: Mapping[str, Any],
    spaces: Mapping[str, str],
    weights: Mapping[str, torch.Tensor],
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a saved agent; a folder of that name appears, or is replaced, when it is complete.

    Args:
        directory: The folder.
        name: Of the agent.
        settings: Of the agent.
        spaces: Of :func:`spaces_of`.
        weights: Of its networks.
        training: Of :func:`agents.training.provenance.training_of`; None for an agent that has learned nothing.

    Returns:
        The folder.

    Raises:
        FileExistsError: There is something else of that name.
        ValueError: A weight is no number.
    """
    broken = _not_numbers(weights)
    if broken:
        raise ValueError(f"the training diverged: {broken} is no number. Try a lower learning_rate")
    target = check_target(directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".writing", dir=target.parent))
    description = {
        "agent": name,
        "lam_envs": lam_envs.__version__,
        "settings": dict(settings),
        **spaces,
        "training": training,
    }
    try:
        (writing / DESCRIPTION).write_text(json.dumps(description, indent=1))
        save_file({key: value.contiguous() for key, value in weights.items()}, writing / WEIGHTS)
        writing.chmod(0o755)
        (writing / WEIGHTS).chmod(0o644)
        if target.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".replaced", dir=target.parent))
            os.replace(target, replaced)
            os.replace(writing, target)
            shutil.rmtree(replaced)
        else:
            os.replace(writing, target)
    except SafetensorError as error:
        raise OSError(f"the weights could not be written to {target}: {error}") from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return target


def _not_numbers(weights: Mapping[str, torch.Tensor]) -> str:
    """The name of the first weights that hold what is no number; empty if none do. Infinity is one."""
    return next((name for name, value in weights.items() if bool(torch.isnan(value).any())), "")


def check_target(directory: str | Path) -> Path:
    """Returns the folder to save an agent in, if it may be written or replaced.

    Raises:
        FileExistsError: It is a file, or holds something else than a saved agent.
    """
    target = Path(directory).resolve()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file: choose a folder to save the agent in")
    strange = sorted(
        file.name for file in (target.iterdir() if target.exists() else ()) if file.name not in (DESCRIPTION, WEIGHTS)
    )
    if strange:
        raise FileExistsError(f"{target} holds {strange[0]!r}, which no saved agent does: choose another folder")
    return target


def read_weights(
    directory: str | Path, name: str, spaces: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Reads a saved agent's description and weights.

    Args:
        directory: What :func:`save_agent` wrote.
        name: Of the agent that reads.
        spaces: Of the environment it is read for.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: It is damaged, of another agent, or for other spaces; or a file of it leads out of the folder.
    """
    for name_of_file in (DESCRIPTION, WEIGHTS):
        file = Path(directory) / name_of_file
        if file.exists() and file.resolve().parent != Path(directory).resolve():
            raise ValueError(f"{file} leads out of its folder, to {file.resolve()}: copy what it leads to there")
    description = read_description(directory)
    if description.get("agent") != name:
        raise ValueError(f"{directory} holds agent {description.get('agent')!r}, not {name!r}")
    for what, own in spaces.items():
        if description.get(what) != own:
            raise ValueError(
                f"the agent in {directory} was trained with {what.replace('_', ' ')} "
                f"{brief(str(description.get(what)))}; this environment has {brief(own)}"
            )
    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"no weights in {directory}: there is no {WEIGHTS}")
    # safetensors reports a file that may not be read as missing: open raises the right error.
    path.open("rb").close()
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    broken = _not_numbers(weights)
    if broken:
        raise ValueError(f"{path} is damaged: {broken} is no number")
    settings = description.get("settings")
    # They become keywords beside the environment.
    if not isinstance(settings, dict) or {"self", "env"} & settings.keys():
        raise ValueError(f"{Path(directory) / DESCRIPTION} is damaged: it has no settings")
    return description, weights

"""Saved agents: settings and spaces as JSON, weights as safetensors. Loading runs no code of the files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import lam_envs
from agents.data.spaces import brief
from agents.folders import DESCRIPTION, MONITOR, MONITOR_FIGURE, read_description
from agents.training.provenance import changed_task
from agents.types import Env, JsonObject

WEIGHTS = "weights.safetensors"


def save_agent(
    directory: str | Path,
    name: str,
    settings: Mapping[str, object],
    spaces: Mapping[str, str],
    weights: Mapping[str, torch.Tensor],
    training: Mapping[str, object] | None = None,
    model: Mapping[str, object] | None = None,
) -> Path:
    """Write a saved agent; the folder appears, or is replaced, when it is complete.

    Args:
        directory: Folder.
        name: Name of the agent.
        settings: Settings of the agent.
        spaces: Spaces as :func:`agents.data.spaces.spaces_of` returns them.
        weights: Weights of the networks.
        training: Record of the training (:func:`agents.training.provenance.training_record`); None before a training
            run.
        model: What a network needs besides its settings; None for nothing.

    Returns:
        The folder.

    Raises:
        FileExistsError: The folder is a file, or holds other files.
        ValueError: A weight is NaN.
    """
    description = {
        "agent": name,
        "lam_envs": lam_envs.__version__,
        "settings": dict(settings),
        **spaces,
        "training": training,
        **({} if model is None else {"model": dict(model)}),
    }
    return write_folder(directory, DESCRIPTION, description, weights)


def write_folder(
    directory: str | Path, file: str, description: Mapping[str, object], weights: Mapping[str, torch.Tensor]
) -> Path:
    """Write a folder with a JSON file and weights; it appears, or is replaced, when it is complete.

    Args:
        directory: Folder.
        file: Name of the JSON file.
        description: Content of the JSON file.
        weights: Weights of the networks.

    Returns:
        The folder.

    Raises:
        FileExistsError: The folder is a file, or holds other files.
        ValueError: A weight is NaN.
    """
    broken = _first_nan(weights)
    if broken:
        raise ValueError(f"the training diverged: {broken} is NaN. Try a lower learning_rate")
    target = check_target(directory, file)
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".writing", dir=target.parent))
    try:
        (writing / file).write_text(json.dumps(description, indent=1))
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
        raise OSError(f"cannot write weights to {target}: {error}") from error
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return target


def _first_nan(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the name of the first weights with a NaN; empty without any."""
    return next((name for name, value in weights.items() if bool(torch.isnan(value).any())), "")


def check_target(directory: str | Path, description: str = DESCRIPTION) -> Path:
    """Return the folder to save an agent or an encoder in, if it can be written or replaced.

    Args:
        directory: Folder.
        description: Name of its JSON file.

    Raises:
        FileExistsError: The folder is a file, or holds other files than a saved agent.
    """
    target, saved = Path(directory).resolve(), f"a saved {Path(description).stem}"
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file: choose a folder to save the {Path(description).stem} in")
    names = {file.name for file in target.iterdir()} if target.exists() else set()
    # A monitor belongs to the agent beside it, and is replaced with it.
    monitor = (MONITOR, MONITOR_FIGURE) if description == DESCRIPTION and DESCRIPTION in names else ()
    strange = sorted(names - {description, WEIGHTS, *monitor})
    if strange:
        raise FileExistsError(f"{target} holds {strange[0]!r}, which is not part of {saved}: choose another folder")
    return target


def read_weights(
    directory: str | Path, name: str, spaces: Mapping[str, str], env: Env | None = None
) -> tuple[JsonObject, dict[str, torch.Tensor]]:
    """Read a saved agent's description and weights.

    Args:
        directory: Folder that :func:`save_agent` wrote.
        name: Name of the expected agent.
        spaces: Spaces of the environment (:func:`agents.data.spaces.spaces_of`).
        env: Environment; its versions explain other spaces.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: The agent is damaged, another agent, or for other spaces; or a file is a link out of the folder.
    """
    check_links(directory, DESCRIPTION)
    description = read_description(directory)
    if description.get("agent") != name:
        raise ValueError(f"{directory} holds agent {description.get('agent')!r}, not {name!r}")
    for kind, space in spaces.items():
        if description.get(kind) != space:
            changed = "" if env is None else changed_task(directory, description.get("training"), env)
            raise ValueError(
                f"{changed}the agent in {directory} was trained with {kind.replace('_', ' ')} "
                f"{brief(str(description.get(kind)))}; this environment has {brief(space)}"
            )
    weights = read_tensors(directory)
    settings = description.get("settings")
    # They become keyword arguments beside the environment.
    if not isinstance(settings, dict) or {"self", "env"} & settings.keys():
        raise ValueError(f"{Path(directory) / DESCRIPTION} is damaged: it has no settings")
    return description, weights


def check_links(directory: str | Path, description: str) -> None:
    """Check that the files of a folder are in this folder.

    Args:
        directory: Folder that :func:`write_folder` wrote.
        description: Name of its JSON file.

    Raises:
        ValueError: A file is a link out of the folder.
    """
    for name in (description, WEIGHTS):
        file = Path(directory) / name
        if file.exists() and file.resolve().parent != Path(directory).resolve():
            raise ValueError(
                f"{file} is a link out of its folder, to {file.resolve()}: replace the link by a copy of that file"
            )


def read_tensors(directory: str | Path) -> dict[str, torch.Tensor]:
    """Read the weights in a folder that :func:`write_folder` wrote.

    Raises:
        FileNotFoundError: There are no weights.
        ValueError: They are damaged.
    """
    path = Path(directory) / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"no weights in {directory}: there is no {WEIGHTS}")
    # safetensors reports an unreadable file as missing: open raises the right error.
    path.open("rb").close()
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    broken = _first_nan(weights)
    if broken:
        raise ValueError(f"{path} is damaged: {broken} is NaN")
    return weights

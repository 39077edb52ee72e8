"""List and load the agents of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.evaluation.evaluation import make_env
from agents.folders import read_description
from agents.training.provenance import environments_of
from agents.training.saving.loading import load
from agents.training.saving.zoo import checked_folder, published_names, zoo_folder
from agents.types import Env


def pretrained_agents(env_id: str | None = None, *, zoo: str | Path | None = None) -> list[str]:
    """Return the names of the published agents, such as ``bc/LamGrasp-v0``.

    Args:
        env_id: Only those that were trained in this environment; None for all.
        zoo: Folder of published agents; by default that of the project.

    Raises:
        FileNotFoundError: There are no published agents in the folder.
        ValueError: The file of checksums is damaged.
    """
    folder = zoo_folder() if zoo is None else Path(zoo)
    names = published_names(folder)
    if env_id is None:
        return names
    return [
        name for name in names if env_id in (each for each, _ in environments_of(read_description(folder / name)))
    ]


def load_pretrained(name: str, env: Env | None = None, *, zoo: str | Path | None = None) -> Any:
    """Load a published agent after its files are checked.

    Args:
        name: One of :func:`pretrained_agents`.
        env: Environment with the spaces that the agent was trained with; by default the one that it was trained in.
        zoo: Folder of published agents; by default that of the project.

    Raises:
        FileNotFoundError: There are no published agents in the folder.
        ValueError: The name is unknown; a file is missing or differs from the published one; or the environment has
            other spaces.
    """
    folder = checked_folder(name, zoo_folder() if zoo is None else Path(zoo))
    if env is not None:
        return load(folder, env)
    env_id, keywords = environments_of(read_description(folder))[0]
    made = make_env(env_id, **keywords)
    try:
        return load(folder, made)
    finally:
        made.close()

"""Commands of measured episodes, in environments that sample a command per episode.

Results do not hold them. A reset with the seed of an episode gives its command again, without any step. The commands
are stored beside the results, so that a report is made from files alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter

import lam_envs
from benchmarks.runner.results import CellResult
from benchmarks.suite.fields import problem_of
from demos.runtime.files import write_atomically
from lam_envs.env import ManipulationEnv
from lam_envs.tasks.table.commands import VERBS, command_name

COMMANDS_FILE = "commands.json"
TASK = "task table"
"""Part of an environment whose commands have names; it is among the versions of the environment."""
Commands = Mapping[str, Sequence[str]]
"""Names of the commands of episodes, such as ``"stack red_cube blue_cube"``, by :func:`commands_key`."""
_COMMANDS = TypeAdapter(dict[str, list[str]])


def commands_key(result: CellResult) -> str | None:
    """Return the key of the commands of a result's episodes: a hash of all that decides them.

    None if the commands have no names, or if an episode has several: those after the first one depend on the agent.
    """
    cell = result.cell
    condition = cell.perturbation
    if cell.environment not in lam_envs.ENV_IDS or condition.env.get("chain", 1) != 1:
        return None
    versions = condition.versions(cell.environment)
    if TASK not in versions:
        return None
    recorded = {name: result.provenance.versions.get(name) for name in versions}
    changes = condition.model_dump(mode="json", exclude_defaults=True)
    content = [cell.environment, changes, cell.first_seed, cell.episodes, recorded]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return f"{cell.environment}-{digest}"


def write_commands(folder: Path, results: Sequence[CellResult]) -> Path | None:
    """Write the commands of the episodes of results; what is stored already is not determined again.

    The commands of a result that another version of its environment gave are skipped.

    Args:
        folder: Results folder.
        results: Its results.

    Returns:
        The file; None if no result has commands with names.

    Raises:
        ValueError: The file that is there is damaged.
    """
    stored = read_commands(folder)
    found: dict[str, list[str]] = {}
    for result in results:
        key = commands_key(result)
        if key is None or key in found:
            continue
        if key in stored and len(stored[key]) == result.cell.episodes:
            found[key] = list(stored[key])
        elif _is_current(result):
            found[key] = _commands(result)
    if not found:
        return None
    path = folder / COMMANDS_FILE
    if found != stored:
        # A line for each condition keeps differences readable.
        lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(names)}" for key, names in found.items())
        write_atomically(path, f"{{\n{lines}\n}}\n")
    return path


def read_commands(folder: Path) -> Commands:
    """Return the stored commands of a results folder; empty without any.

    Raises:
        ValueError: The file is damaged.
    """
    path = folder / COMMANDS_FILE
    if not path.is_file():
        return {}
    try:
        commands = _COMMANDS.validate_json(path.read_bytes(), strict=True)
        unknown = {verb_of(name) for names in commands.values() for name in names} - set(VERBS)
        if unknown:
            raise ValueError(f"unknown verbs {', '.join(sorted(unknown))}; expected {', '.join(VERBS)}")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({problem_of(error)}): remove it and run the report again") from error
    return commands


def verb_of(command: str) -> str:
    """Return the verb of the name of a command."""
    return command.partition(" ")[0]


def _is_current(result: CellResult) -> bool:
    """Return True if the environment has the versions that the result was measured with."""
    versions = result.cell.perturbation.versions(result.cell.environment)
    return all(result.provenance.versions.get(name) == version for name, version in versions.items())


def _commands(result: CellResult) -> list[str]:
    """Return the name of the command of each episode, from resets with their seeds."""
    env = result.cell.perturbation.make(result.cell.environment)
    try:
        inner = env.unwrapped
        if not isinstance(inner, ManipulationEnv):
            raise TypeError(f"{env} has no commands; expected an environment of lam_envs")
        names = []
        for episode in result.evaluation.episodes:
            env.reset(seed=episode.seed)
            names.append(command_name(inner.command))
    finally:
        env.close()
    return names

"""The zoo: a folder of published agents, each in a folder ``ALGORITHM/ID``, with a file of checksums."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from agents.evaluation.evaluation import make_env
from agents.registry import load, read_description
from agents.training.provenance import environments_of
from agents.types import Env

CHECKSUMS = "SHA256SUMS"
"""File with the SHA-256 of each file of the published agents, as the program ``sha256sum`` writes and checks it."""
PACKAGE = "lam_envs_zoo"
"""Package that holds the zoo."""
CHECKOUT = Path(__file__).parents[3] / "zoo" / PACKAGE
"""Folder of the zoo in a checkout of the repository."""


def zoo_folder() -> Path:
    """Return the folder of the zoo: in this checkout, or else in the installed package ``lam-envs-zoo``.

    Raises:
        FileNotFoundError: Neither exists.
    """
    if CHECKOUT.is_dir():
        return CHECKOUT
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("no pretrained agents found: install them with pip install lam-envs-zoo")
    return Path(spec.origin).parent


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
    names = sorted({file.rpartition("/")[0] for file in read_checksums(folder)})
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


def checked_folder(name: str, zoo: Path) -> Path:
    """Return the folder of a published agent after its checksums are verified.

    Args:
        name: Name of the agent.
        zoo: Folder of published agents.

    Raises:
        FileNotFoundError: There are no published agents in the folder.
        ValueError: The name is unknown, or a file is missing or differs from the published one.
    """
    checksums = read_checksums(zoo)
    files = [file for file in checksums if file.rpartition("/")[0] == name]
    if not files:
        raise ValueError(
            f"unknown pretrained agent {name!r}; expected one of {', '.join(pretrained_agents(zoo=zoo)) or 'none'}"
        )
    for file in files:
        actual = sha256(zoo / file) if (zoo / file).is_file() else "missing"
        if actual != checksums[file]:
            raise ValueError(
                f"{zoo / file} is not the published file: its SHA-256 is {actual}; expected {checksums[file]}. "
                "Install lam-envs-zoo again, or restore the file from the repository"
            )
    return zoo / name


def read_checksums(zoo: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of the published agents, by path in the zoo.

    Raises:
        FileNotFoundError: There are no published agents in the folder.
        ValueError: The file of checksums is damaged.
    """
    path = zoo / CHECKSUMS
    if not path.is_file():
        raise FileNotFoundError(f"no published agents in {zoo}: there is no {CHECKSUMS}")
    checksums = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        checksum, _, file = line.partition("  ")
        if len(checksum) != 64 or file.startswith("/") or "/" not in file or ".." in Path(file).parts:
            raise ValueError(f"{path}:{number} is damaged: expected a SHA-256 and a path in the zoo, not {line!r}")
        checksums[file] = checksum
    return checksums


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    return hashlib.sha256(file.read_bytes()).hexdigest()

"""The zoo: a folder of published agents, each in a folder ``ALGORITHM/ID``, with a file of checksums."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from agents.registry import ARCHIVE

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
        raise FileNotFoundError(
            "no pretrained agents found: install them with pip install ./zoo in a checkout of the repository"
        )
    return Path(spec.origin).parent


def published_names(zoo: Path) -> list[str]:
    """Return the names of the published agents in a folder, such as ``bc/LamGrasp-v0``.

    Raises:
        FileNotFoundError: There are no published agents in the folder.
        ValueError: The file of checksums is damaged.
    """
    return sorted({file.rpartition("/")[0] for file in read_checksums(zoo)})


def agent_path(name: str) -> str:
    """Return the folder of a published agent, after its checksums are verified; other names are returned unchanged.

    It is the one that every command and suite uses. An existing path comes before a published agent of the same name.

    Args:
        name: Name of a published agent, path of a saved agent, or another name that :func:`agents.registry.find`
            knows.

    Raises:
        FileNotFoundError: The name has a slash, like a path and a published agent, and neither exists.
        ValueError: A file of the published agent is missing or differs from the published one.
    """
    if "/" not in name or ":" in name or name.endswith(ARCHIVE) or Path(name).exists():
        return name
    try:
        zoo = zoo_folder()
        names = published_names(zoo)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no folder {name}; expected a saved agent ({error})") from error
    if name in names:
        return str(checked_folder(name, zoo))
    raise FileNotFoundError(
        f"there is no folder {name}, and no pretrained agent of this name; expected the folder of a saved agent, or "
        f"one of {', '.join(names)}"
    )


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
            f"unknown pretrained agent {name!r}; expected one of {', '.join(published_names(zoo)) or 'none'}"
        )
    for file in files:
        actual = sha256(zoo / file) if (zoo / file).is_file() else "missing"
        if actual != checksums[file]:
            raise ValueError(
                f"{zoo / file} is not the published file: its SHA-256 is {actual}; expected {checksums[file]}. "
                "Restore the file from the repository; then install it again with pip install ./zoo"
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

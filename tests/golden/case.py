"""A golden case: a short canonical run, the versions that decide it, and its recorded output."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demos.runtime.files import write_json

FOLDER = Path(__file__).parent
RELATIVE = 1e-4
"""Largest relative difference of numbers of trainings: processors round differently."""
ABSOLUTE = 1e-6


@dataclass(frozen=True)
class Case:
    """A canonical run.

    Attributes:
        group: Name of the file that holds the output.
        name: Name of the case in this file.
        versions: Versions of the parts that decide the output.
        run: Returns the output: a hash, or nested lists and dicts of numbers.
    """

    group: str
    name: str
    versions: dict[str, int]
    run: Callable[[], Any]

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


def path_of(group: str, folder: Path = FOLDER) -> Path:
    """Return the file of a group of cases."""
    return folder / f"{group}.json"


def recorded(group: str, folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Return versions and output of each case of a group; empty if nothing is recorded."""
    path = path_of(group, folder)
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def digest(parts: Iterable[Any]) -> str:
    """Return a SHA-256 of arrays, numbers and dicts of them, bit for bit; names of dicts only order their values."""
    found = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, dict):
            for name in sorted(part):
                add(part[name])
        else:
            array = np.asarray(part)
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(array.tobytes())

    for part in parts:
        add(part)
    return found.hexdigest()


def difference(expected: Any, found: Any, at: str = "output") -> str | None:
    """Return where two outputs differ, or None: texts exactly, numbers by more than :data:`RELATIVE`."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        differences = (difference(expected[name], found[name], f"{at}.{name}") for name in expected)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        differences = (difference(*pair, f"{at}[{index}]") for index, pair in pairs)
    elif type(expected) is float and type(found) is float:
        near = math.isclose(expected, found, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
        return None if near else f"{at} was {expected!r} and is {found!r}"
    else:
        return None if expected == found else f"{at} was {expected!r} and is {found!r}"
    return next((each for each in differences if each is not None), None)


def unraised(case: Case, entry: dict[str, Any]) -> bool:
    """Return whether no version of a case was raised since it was recorded."""
    return all(case.versions.get(name, 0) <= version for name, version in entry["versions"].items())


def update(cases: Iterable[Case], folder: Path = FOLDER) -> list[str]:
    """Record the output of cases, and refuse those that changed while no version was raised.

    Args:
        cases: What to run.
        folder: Where the files are.

    Returns:
        A message for each case that was refused; its recorded output stays.
    """
    refused = []
    groups: dict[str, dict[str, Any]] = {}
    for case in cases:
        before = recorded(case.group, folder)
        entry = before.get(case.name)
        found = {"versions": case.versions, "output": case.run()}
        changed = None if entry is None else difference(entry["output"], found["output"])
        if entry is not None and changed is None:
            # Rounding of this processor is not recorded.
            found["output"] = entry["output"]
        elif entry is not None and unraised(case, entry):
            refused.append(message(case, str(changed)))
            found = entry
        groups.setdefault(case.group, {})[case.name] = found
    for group, entries in groups.items():
        write_json(path_of(group, folder), entries)
    return refused


def message(case: Case, changed: str) -> str:
    """Return an explanation of a difference, with the versions that may be raised."""
    return (
        f"{case} behaves differently: {changed}. If that is intended, raise the version of the part that changed "
        f"({', '.join(case.versions)}) and run make golden; results and datasets of the part are then outdated."
    )

"""Folders of saved agents and of exported policies: names of their files, and the description in them."""

from __future__ import annotations

import json
from pathlib import Path

from agents.types import JsonObject

DESCRIPTION = "agent.json"
"""Name of the JSON file of a saved agent."""
PARTS = ("demonstrations", "keywords", "libraries", "settings", "versions")
"""Objects in the record of a training run."""
RESERVED = ("self", "env_id", "id")
"""Names that environment keywords cannot have: they are other arguments of the functions that make one."""
EXPORTED_MODEL, EXPORTED_DESCRIPTION = "model.onnx", "model.json"
"""Names of the files of an exported policy: the model, and its inputs and outputs."""
MONITOR, MONITOR_FIGURE = "monitor.json", "monitor.png"
"""Names of the files of a failure monitor, beside a saved agent or exported policy."""


def is_exported(name: str) -> bool:
    """Return True if a name is the folder of an exported policy; a saved agent comes first."""
    folder = Path(name)
    return not is_saved(name) and (folder / EXPORTED_MODEL).is_file() and (folder / EXPORTED_DESCRIPTION).is_file()


def is_saved(name: str) -> bool:
    """Return True if a name is the folder of a saved agent."""
    return (Path(name) / DESCRIPTION).is_file()


def read_description(directory: str | Path) -> JsonObject:
    """Read the JSON part of a saved agent.

    Raises:
        FileNotFoundError: There is no saved agent.
        ValueError: The file is damaged.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"no saved agent in {directory}: there is no {DESCRIPTION}")
    try:
        description = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(description, dict):
        raise ValueError(f"{path} is damaged: expected an object")
    training = description.get("training")
    for where, part in (
        ("settings", description.get("settings")),
        ("training", training),
        *((f"training.{name}", training.get(name)) for name in PARTS if isinstance(training, dict)),
    ):
        if not (part is None or isinstance(part, dict)):
            raise ValueError(f"{path} is damaged: {where} is {part!r}; expected an object")
    several = (training or {}).get("environments", [])
    if not (isinstance(several, list) and all(isinstance(each, dict) for each in several)):
        raise ValueError(f"{path} is damaged: training.environments is {several!r}; expected a list of objects")
    check_keywords(path, "training.keywords", (training or {}).get("keywords"))
    for number, each in enumerate(several):
        check_keywords(path, f"training.environments[{number}].keywords", each.get("keywords"))
    return description


def check_keywords(path: Path, where: str, keywords: object) -> None:
    """Check recorded keywords of an environment, which become keyword arguments.

    Args:
        path: File that holds them.
        where: Their position in the file.
        keywords: Keywords by name; None for none.

    Raises:
        ValueError: They are not an object, or one of them has a reserved name.
    """
    if not (keywords is None or (isinstance(keywords, dict) and not set(RESERVED) & keywords.keys())):
        raise ValueError(
            f"{path} is damaged: {where} is {keywords!r}; expected an object without the keys {', '.join(RESERVED)}"
        )

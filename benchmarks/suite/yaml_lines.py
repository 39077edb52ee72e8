"""Read YAML with the line of each key, so that errors can name the line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class Mapping(dict[str, Any]):
    """Mapping of a YAML file.

    Attributes:
        line: Line where it begins, counted from 1.
        lines: Line of each key.
    """

    line: int
    lines: dict[str, int]


class Sequence(list[Any]):
    """List of a YAML file.

    Attributes:
        line: Line where it begins, counted from 1.
        lines: Line of each item.
    """

    line: int
    lines: list[int]


class _Loader(yaml.SafeLoader):
    """Loader of these classes that rejects duplicate keys."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Mapping:
    own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    seen: list[object] = []
    for key in own:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {name!r}", key.start_mark)
        seen.append(name)
    loader.flatten_mapping(node)
    made = Mapping()
    made.line = node.start_mark.line + 1
    made.lines = {}
    for key, value in node.value:
        name = str(loader.construct_object(key, deep=True))
        made[name] = loader.construct_object(value, deep=True)
        made.lines[name] = key.start_mark.line + 1
    return made


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> Sequence:
    made = Sequence(loader.construct_object(item, deep=True) for item in node.value)
    made.line = node.start_mark.line + 1
    made.lines = [item.start_mark.line + 1 for item in node.value]
    return made


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _sequence)


def read(path: Path) -> Any:
    """Read a file.

    Raises:
        ValueError: The file is not valid YAML, or has a duplicate key.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ValueError(f"{path}{line}: invalid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error


def plain(value: object) -> Any:
    """Return the same content as plain dicts and lists."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def line_of(data: object, key_path: Iterable[str | int]) -> int:
    """Return the line of a key, or of its nearest enclosing key in the file.

    Args:
        data: Content that :func:`read` returns.
        key_path: Keys and indices that lead to the value.
    """
    line = getattr(data, "line", 1)
    for key in key_path:
        if isinstance(data, Mapping) and key in data:
            line, data = data.lines[str(key)], data[str(key)]
        elif isinstance(data, Sequence) and isinstance(key, int) and key < len(data):
            line, data = data.lines[key], data[key]
        else:
            break
    return int(line)

"""Check the values of a YAML file one by one; an error names file, line and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.suite.yaml_lines import Mapping, Sequence, plain

LARGEST = 2**32
"""Seeds and numbers are below it."""


class Checks:
    """Checks of what one file says; each raises a ValueError that names the place.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(
        self, data: Any, line: int, key: str, *, needed: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> Mapping:
        """Returns a mapping that has what is needed, and nothing that is unknown."""
        if not isinstance(data, Mapping):
            self.fail(line, key, f"found {plain(data)!r}; expected a mapping with {', '.join(needed or optional)}")
        for name in data:
            if name not in (*needed, *optional):
                expected = ", ".join((*needed, *optional))
                self.fail(data.lines[name], key, f"unknown key {name!r}; expected some of {expected}")
        missing = [name for name in needed if name not in data]
        if missing:
            self.fail(line, key, f"lacks {', '.join(missing)}")
        return data

    def items(self, data: Mapping, key: str) -> Sequence:
        """Returns the list under a key, which is not empty."""
        if not isinstance(data[key], Sequence) or not data[key]:
            self.fail(data.lines[key], key, f"found {plain(data[key])!r}; expected a list of at least one")
        found: Sequence = data[key]
        return found

    def numbers(
        self,
        data: Mapping,
        key: str,
        needed: tuple[str, ...],
        optional: tuple[str, ...] = (),
        from_0: tuple[str, ...] = (),
    ) -> dict[str, int]:
        """Returns the whole numbers of a mapping under a key."""
        part = self.mapping(data[key], data.lines[key], key, needed=needed, optional=optional)
        return {
            name: self.whole(value, part.lines[name], f"{key}.{name}", at_least=0 if name in from_0 else 1)
            for name, value in part.items()
        }

    def whole(self, number: Any, line: int, key: str, *, at_least: int) -> int:
        """Returns a whole number."""
        if type(number) is not int or not at_least <= number < LARGEST:
            self.fail(
                line, key, f"found {plain(number)!r}; expected a whole number of at least {at_least}, below 2**32"
            )
        return int(number)

    def tried(self, call: Callable[[], Any], line: int, key: str) -> Any:
        """Calls something; what it raises is the error of this place."""
        try:
            return call()
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything
            self.fail(line, key, str(error) or repr(error))

    def fail(self, line: int, key: str, problem: str) -> NoReturn:
        """Tells what is wrong, and where."""
        raise ValueError(f"{self.path}, line {line}, {key}: {problem}")

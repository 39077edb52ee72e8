"""Write the pages of the API reference: directives of Sphinx's autodoc for the public names of the packages."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType

from agents.registry import AGENTS
from docs.tables import docstring, table, title
from lam_envs.registration import TASKS
from lam_envs.tasks import make_task

PACKAGES = {
    "lam_envs": ("lam_envs.tasks", "lam_envs.robots", "lam_envs.control", "lam_envs.observation"),
    "demos": ("demos.experts",),
    "agents": (),
    "benchmarks": (),
}
"""Packages, and those of their modules that you extend."""
EXTENDED = {
    "lam_envs.observation": ("Feature",),
}
"""Names of modules without ``__all__``."""


def reference() -> dict[str, str]:
    """Return the pages of the API reference: file and text."""
    documented: dict[type, str] = {}
    rows = [[f"[`{name}`](api/{name}.md)", _first_line(importlib.import_module(name))] for name in PACKAGES]
    pages = {f"api/{name}.md": _package(name, documented) for name in PACKAGES}
    intro = "# API reference\n\nPublic functions and classes of each package. Other names may change without notice."
    return {"api.md": f"{intro}\n\n{table(['package', 'content'], rows)}\n", **pages}


def _package(name: str, documented: dict[type, str]) -> str:
    """Return the page of a package; add its classes to those that are documented."""
    parts = [f"# `{name}`", _first_line(importlib.import_module(name)), *_entries(name, documented)]
    for extended in PACKAGES[name]:
        parts += [f"## `{extended}`", _first_line(importlib.import_module(extended)), *_entries(extended, documented)]
    if name == "lam_envs":
        parts += ["## Tasks", _tasks()]
    if name == "agents":
        parts += [
            "## Classes of agents",
            "Make them by `agents.make`.",
            *(_class(place.replace(":", ".")) for place in AGENTS.values()),
        ]
    return "\n\n".join(parts) + "\n"


def _entries(module: str, documented: dict[type, str]) -> list[str]:
    """Return a directive for each public function and class of a module, and a list of its constants."""
    loaded = importlib.import_module(module)
    parts, constants = [], []
    for name in EXTENDED.get(module) or loaded.__all__:
        value, place = getattr(loaded, name), f"{module}.{name}"
        if inspect.isclass(value) and value in documented:
            # Sphinx documents a class once.
            parts.append(f"`{place}` is `{documented[value]}`.")
        elif inspect.isclass(value):
            documented[value] = place
            parts.append(_class(place))
        elif inspect.isroutine(value):
            parts.append(_directive("autofunction", place))
        else:
            constants.append(f"`{place}`")
    return [*parts, f"Constants: {', '.join(constants)}."] if constants else parts


def _class(place: str) -> str:
    """Return the directive of a class, given as ``package.module.Class``."""
    return _directive("autoclass", place, ":members:")


def _directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   {option}" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def _tasks() -> str:
    """Return the table of the classes of tasks; their docstrings are the pages of the tasks."""
    rows = []
    for task in TASKS:
        own = type(make_task(task))
        rows.append([f"[{title(task)}](../tasks/{task}.md)", f"`{own.__module__}.{own.__name__}`", _first_line(own)])
    return table(["task", "class", "description"], rows)


def _first_line(of: ModuleType | type) -> str:
    return docstring(of).partition("\n")[0]

"""Tables of actions and observations, made from the spaces and layouts of the code.

A task's docstring is its page. ``python -m docs.tables`` writes its sections **Actions.**, **Observations.** and
**Randomisation.** again, in the file of the task; ``make docs`` calls it first.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Layout
from lam_envs.randomization import PRESETS
from lam_envs.registration import TASKS, env_id
from lam_envs.tasks import Task, make_task

SECTIONS = (
    "Scene",
    "Start",
    "Actions",
    "Observations",
    "Success",
    "Reward",
    "Goal",
    "Randomisation",
    "Version history",
)
"""What a task's docstring has after its first line, in this order."""
INDENT = "    "
MAX_LINE = 118
"""As in ``pyproject.toml``."""
OBSERVATION_COLUMNS = ("feature", "slice", "unit", "centre", "scale", "observed range", "meaning")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")


def default(keyword: str) -> Any:
    """Returns what ``gym.make`` takes when a keyword is not given."""
    return inspect.signature(ManipulationEnv.__init__).parameters[keyword].default


def docstring(of: Any) -> str:
    """Returns a docstring as Markdown: without indentation, roles as plain code."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", inspect.cleandoc(of.__doc__ or ""))


def space_text(space: spaces.Space[Any]) -> str:
    """Returns a space in one line; boxes are of float32 if not told otherwise."""
    if isinstance(space, spaces.Dict):
        return "Dict(" + ", ".join(f"{name}: {space_text(part)}" for name, part in space.items()) + ")"
    if isinstance(space, spaces.Discrete):
        return f"Discrete({space.n})"
    if isinstance(space, spaces.Box):
        shape = f"({', '.join(str(number) for number in space.shape)}{',' if len(space.shape) == 1 else ''})"
        low, high = np.unique(space.low), np.unique(space.high)
        bounds = f"{low[0]:g}, {high[0]:g}, " if low.size == high.size == 1 else ""
        return f"Box({bounds}{shape}{'' if space.dtype == np.float32 else f', {space.dtype}'})"
    return str(space)


def title(task: str) -> str:
    """Returns a task's name for people."""
    return task.replace("_", " ").capitalize()


def action_table(control: str) -> str:
    """Returns the table of a control: the first one of its class docstring."""
    lines = docstring(CONTROLS[control]).splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("|")), None)
    if start is None:
        raise ValueError(f"the docstring of {CONTROLS[control].__name__} has no table of what an action means")
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("|")), len(lines))
    return "\n".join(lines[start:end])


def observation_rows(layout: Layout) -> list[tuple[str, ...]]:
    """Returns a row for each feature, in the order of :data:`OBSERVATION_COLUMNS`."""
    return [
        (
            f"`{name}`",
            f"{part.slice.start}:{part.slice.stop}",
            part.unit,
            _numbers(part.center),
            f"{part.scale:g}",
            f"{_numbers(part.low)} to {_numbers(part.high)}",
            part.description,
        )
        for name, part in layout.items()
    ]


def _numbers(numbers: Sequence[float]) -> str:
    different = dict.fromkeys(f"{number:g}" for number in numbers)
    return next(iter(different)) if len(different) == 1 else ", ".join(f"{number:g}" for number in numbers)


def sections(task: str) -> dict[str, str]:
    """Returns the sections of a task's docstring that follow from the code, each with its heading."""
    env: Any = gym.make(env_id(task)).unwrapped
    control, layout = env.spec.kwargs.get("control", default("control")), env.layout
    told = f'`control="{control}"`, `{space_text(env.action_space)}`'
    seen = f'`obs="{default("obs")}"`, `robot="{default("robot")}"`, `{space_text(env.observation_space)}`'
    env.close()
    return {
        "Actions": f"**Actions.** {told}:\n\n{action_table(control)}",
        "Observations": f"**Observations.** {seen}; each number is (value - centre) / scale:\n\n"
        + table(OBSERVATION_COLUMNS, observation_rows(layout)),
        "Randomisation": f'**Randomisation.** `randomize="{default("randomize")}"`; besides there are '
        + ", ".join(f"`{name}`" for name in PRESETS if name != default("randomize"))
        + " and ranges of one's own.",
    }


def with_sections(text: str, task: str) -> str:
    """Returns a task's docstring with the sections that follow from the code.

    Args:
        text: The docstring, without indentation.
        task: A name of ``lam_envs.registration.TASKS``.

    Raises:
        ValueError: A line would be too long for a file of code.
    """
    for name, content in sections(task).items():
        for line in content.splitlines():
            if len(INDENT + line) > MAX_LINE:
                raise ValueError(
                    f"{task}: {len(INDENT + line) - MAX_LINE} characters too long, say it shorter: {line}"
                )
        found = re.search(rf"^\*\*{name}\.\*\*.*?(?=^\*\*[A-Z]|\Z)", text, re.MULTILINE | re.DOTALL)
        if found:
            text = text[: found.start()] + content + "\n\n" + text[found.end() :]
        else:
            later = [text.find(f"**{other}.**") for other in SECTIONS[SECTIONS.index(name) + 1 :]]
            place = min((start for start in later if start >= 0), default=len(text))
            text = f"{text[:place].rstrip()}\n\n{content}\n\n{text[place:]}"
    return text.rstrip()


def headings(task: str) -> list[str]:
    """Returns the sections that a task's docstring has, in order."""
    return re.findall(r"^\*\*([A-Z][^*]*)\.\*\*", docstring(make_task(task)), re.MULTILINE)


def write(task: str) -> bool:
    """Writes the sections into the file of a task; returns whether that changed it."""
    task_class: type[Task] = type(make_task(task))
    file = Path(inspect.getfile(task_class))
    lines = file.read_text().splitlines()
    tree = ast.parse("\n".join(lines))
    node = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == task_class.__name__)
    literal = node.body[0]
    if not (isinstance(literal, ast.Expr) and isinstance(literal.value, ast.Constant)) or literal.end_lineno is None:
        raise ValueError(f"{task_class.__name__} has no docstring")
    text = with_sections(inspect.cleandoc(str(literal.value.value)), task)
    first, *rest = text.splitlines()
    written = [f'{INDENT}"""{first}', *(INDENT + line if line else "" for line in rest), f'{INDENT}"""']
    if lines[literal.lineno - 1 : literal.end_lineno] == written:
        return False
    lines[literal.lineno - 1 : literal.end_lineno] = written
    file.write_text("\n".join(lines) + "\n")
    return True


if __name__ == "__main__":
    for name in TASKS:
        print(f"{name}: {'written again' if write(name) else 'as it was'}")  # noqa: T201

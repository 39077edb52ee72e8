"""Tables of actions and observations, made from the spaces and layouts of the code when the site is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Layout
from lam_envs.randomization import PRESETS
from lam_envs.registration import env_id
from lam_envs.tasks import make_task

SECTIONS = ("Task", "Randomization", "Success", "Reward", "Goal", "Version history")
"""Sections of a task's docstring after its first line, in this order."""
OBSERVATION_COLUMNS = ("feature", "slice", "unit", "center", "scale", "observed range", "meaning")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")


def default(keyword: str) -> Any:
    """Return the default of a keyword of ``gym.make``."""
    return inspect.signature(ManipulationEnv.__init__).parameters[keyword].default


def docstring(of: Any) -> str:
    """Return a docstring as Markdown: without indentation, and with roles as code."""
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", inspect.cleandoc(of.__doc__ or ""))


def space_text(space: spaces.Space[Any]) -> str:
    """Return a space in one line. The dtype of a box is float32 if it is not in the line."""
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
    """Return the title of a task."""
    return task.replace("_", " ").capitalize()


def action_table(control: str) -> str:
    """Return the table of the actions of a control: the first one of its class docstring."""
    lines = docstring(CONTROLS[control]).splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("|")), None)
    if start is None:
        raise ValueError(f"the docstring of {CONTROLS[control].__name__} has no table of actions: add one")
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("|")), len(lines))
    return "\n".join(lines[start:end])


def observation_rows(layout: Layout) -> list[tuple[str, ...]]:
    """Return a row for each feature, in the order of :data:`OBSERVATION_COLUMNS`."""
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
    unique = dict.fromkeys(f"{number:g}" for number in numbers)
    return next(iter(unique)) if len(unique) == 1 else ", ".join(f"{number:g}" for number in numbers)


def generated_sections(task: str) -> list[str]:
    """Return the sections of a task's page that follow from the code: randomization, actions and observations."""
    env: Any = gym.make(env_id(task)).unwrapped
    control, layout = env.spec.kwargs.get("control", default("control")), env.layout
    actions = f'`control="{control}"`, `{space_text(env.action_space)}`'
    observations = f'`obs="{default("obs")}"`, `robot="{default("robot")}"`, `{space_text(env.observation_space)}`'
    env.close()
    presets = ", ".join(f"`{name}`" for name in PRESETS if name != default("randomize"))
    return [
        f"The keyword `randomize` adds more randomization: {presets}, or your own ranges. Its default is "
        f'`"{default("randomize")}"`.',
        f"**Actions.** {actions}:",
        action_table(control),
        f"**Observations.** {observations}; each number is (value - center) / scale:",
        table(OBSERVATION_COLUMNS, observation_rows(layout)),
    ]


def headings(task: str) -> list[str]:
    """Return the sections of a task's docstring, in order."""
    return re.findall(r"^\*\*([A-Z][^*]*)\.\*\*", docstring(make_task(task)), re.MULTILINE)

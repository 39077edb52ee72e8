"""Pages of environments: tasks, controls, observations, randomization and robots."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym

from docs import images
from docs.environment_texts import CAMERA_MATRICES, ENVIRONMENTS, INSTRUCTIONS, PANDA_GYM, RESET_OPTIONS, SPACES
from docs.tables import (
    OBSERVATION_COLUMNS,
    action_table,
    default,
    docstring,
    generated_sections,
    observation_rows,
    space_text,
    table,
    title,
)
from lam_envs import observation
from lam_envs import robots as robot_files
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Layout
from lam_envs.randomization import PRESETS, Randomization
from lam_envs.registration import TASKS, VARIANTS, env_id
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene.observer import OBSERVATIONS
from lam_envs.scene.reset_options import CHANGES, REQUESTS
from lam_envs.tasks import make_task


def environments(task_link: Callable[[str], str], folder: str) -> str:
    """Return the overview of the environments.

    Args:
        task_link: Function that returns the link to a task's page.
        folder: Folder of the images.
    """
    spaces = SPACES.format(actions=action_table(default("control")))
    shown = [
        [
            f"[{title(task)}]({task_link(task)})",
            docstring(make_task(task)).splitlines()[0],
            *(f"![{task} with {robot}]({folder}/{images.path(task, robot).name})" for robot in ROBOTS),
        ]
        for task in TASKS
    ]
    parts = [ENVIRONMENTS, table(["task", "description", *ROBOTS], shown), "\n\n## Ids\n\n", ids(list(TASKS))]
    parts += [spaces, "\n## Keywords\n\n", keywords()]
    return "".join([*parts, INSTRUCTIONS, RESET_OPTIONS, reset_options(), CAMERA_MATRICES, PANDA_GYM])


def ids(tasks: list[str]) -> str:
    """Return the table of the tasks' ids and spaces."""
    rows = []
    for task in tasks:
        for variant, given in VARIANTS.items():
            env = gym.make(env_id(task, variant))
            rows.append(
                [
                    f"`{env_id(task, variant)}`",
                    ", ".join(f"`{name}={value!r}`".replace("'", '"') for name, value in given.items()) or "-",
                    str(TASKS[task].max_episode_steps),
                    f"`{space_text(env.action_space)}`",
                    f"`{space_text(env.observation_space)}`",
                ]
            )
            env.close()
    return table(["id", "keywords", "steps", "actions", "observations"], rows)


def keywords() -> str:
    """Return the table of the keywords of ``gym.make``."""
    known = inspect.signature(ManipulationEnv.__init__).parameters
    rows = [
        [f"`{name}`", f"`{known[name].default!r}`".replace("'", '"'), meaning]
        for name, meaning in entries(ManipulationEnv, "Args").items()
        if name in known and known[name].default is not inspect.Parameter.empty
    ]
    return table(["keyword", "default", "meaning"], rows)


def reset_options() -> str:
    """Return the table of the options of ``reset``."""
    rows = [[f"`{name}`", entries(change, "Args")["value"]] for name, change in {**CHANGES, **REQUESTS}.items()]
    return table(["option", "value"], rows)


def entries(of: Any, section: str) -> dict[str, str]:
    """Return the entries of a docstring's section, such as ``Args``: name and meaning."""
    found = re.search(rf"^{section}:\n((?: .*\n?|\n)*)", docstring(of), re.MULTILINE)
    listed = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", found[1] if found else "", re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in listed}


def prose(of: Any) -> str:
    """Return a docstring without its sections ``Args``, ``Attributes``, ``Returns`` and ``Raises``."""
    return re.split(r"^(?:Args|Attributes|Returns|Raises):$", docstring(of), flags=re.MULTILINE)[0].strip()


def task_page(task: str) -> str:
    """Return the page of a task: its docstring, images, and tables of actions and observations."""
    first, _, rest = prose(make_task(task)).partition("\n")
    before, heading, after = rest.strip().partition("**Success.**")
    shown = {robot: f"![{task} with {robot}](../images/{images.path(task, robot).name})" for robot in ROBOTS}
    parts = [
        f"# {title(task)}",
        first,
        gallery(shown),
        ids([task]),
        before.strip(),
        *generated_sections(task),
        *_other_robots(task),
        heading + after,
        *_own_keywords(task),
        f'## Try it\n\n```python\nimport gymnasium as gym\n\nimport lam_envs\n\nenv = gym.make("{env_id(task)}")\n'
        "observation, info = env.reset(seed=0)\n"
        "observation, reward, terminated, truncated, info = env.step(env.action_space.sample())\n"
        'print(env.unwrapped.features(), reward, info["is_success"])\nenv.close()\n```',
        "See also: [controls](../controls.md) and [observations](../observations.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _own_keywords(task: str) -> list[str]:
    """Return the table of the keywords that only this task has."""
    parameters = inspect.signature(type(make_task(task))).parameters.items()
    meanings = entries(make_task(task), "Args")
    rows = [[f"`{name}`", f"`{one.default!r}`".replace("'", '"'), meanings[name]] for name, one in parameters]
    if not rows:
        return []
    intro = "Keywords of `gym.make` that only this task has:"
    return ["## Keywords", intro, table(["keyword", "default", "meaning"], rows)]


def gallery(shown: dict[str, str]) -> str:
    """Return images with their names above, a few in a row."""
    names = list(shown)
    rows = [names[start : start + images.COLUMNS] for start in range(0, len(names), images.COLUMNS)]
    return "\n\n".join(table(row, [[shown[name] for name in row]]) for row in rows)


def _other_robots(task: str) -> list[str]:
    """Return the rows of the observation table that another robot changes."""

    def rows(robot: str) -> list[tuple[str, ...]]:
        env: Any = gym.make(env_id(task), robot=robot).unwrapped
        env.close()
        return observation_rows(env.layout)

    usual = rows(default("robot"))
    others = [robot for robot in ROBOTS if robot != default("robot")]
    changed = [[f"`{robot}`", *row] for robot in others for row in rows(robot) if row not in usual]
    if not changed:
        return []
    return ["With other robots these features differ:", table(["robot", *OBSERVATION_COLUMNS], changed)]


def controls() -> str:
    """Return the page of the controls."""
    parts = [f"# Controls\n\n{_after_first_line(importlib.import_module('lam_envs.control'))}"]
    for name, control in CONTROLS.items():
        rows = []
        for robot in ROBOTS:
            env = gym.make(env_id(next(iter(TASKS))), robot=robot, control=name)
            rows.append([f"`{robot}`", f"`{space_text(env.action_space)}`"])
            env.close()
        parts += [f"## `{name}`", prose(control), table(["robot", "action space"], rows)]
    return "\n\n".join(parts) + "\n"


def _after_first_line(module: ModuleType) -> str:
    return docstring(module).partition("\n")[2].strip()


def observations() -> str:
    """Return the page of the observation modes and of the features of every task."""
    spaces = []
    for name in OBSERVATIONS:
        env = gym.make(env_id(next(iter(TASKS))), obs=name)
        spaces.append([f"`{name}`", f"`{space_text(env.observation_space)}`"])
        env.close()
    parts = [
        f"# Observations\n\n{_after_first_line(observation)}",
        f"`obs`: {entries(ManipulationEnv, 'Args')['obs']}",
        f"With {title(next(iter(TASKS)))}, for example:",
        table(["`obs`", "observation space"], spaces),
        "## Features of every task",
    ]
    usual = ROBOTS[default("robot")]
    groups: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for name in CONTROLS:
        groups.setdefault(_own_rows(usual, name), []).append(f"`{name}`")
    for rows, names in groups.items():
        parts += [f"`control`: {', '.join(names)}", table(OBSERVATION_COLUMNS, rows)]
    return "\n\n".join([*parts, f"The table is for the robot `{default('robot')}`."]) + "\n"


def _own_rows(model: RobotModel, control: str) -> tuple[tuple[str, ...], ...]:
    return tuple(observation_rows(Layout(CONTROLS[control](model).features)))


def randomization() -> str:
    """Return the page of the randomization of episodes."""
    names = [field.name for field in dataclasses.fields(Randomization)]
    meanings = entries(Randomization, "Attributes")
    rows = [
        [f"`{name}`", meanings[name], *(_fact(getattr(preset, name)) for preset in PRESETS.values())]
        for name in names
    ]
    parts = [
        f"# Randomization\n\n{_after_first_line(importlib.import_module(Randomization.__module__))}",
        f"`randomize`: {entries(ManipulationEnv, 'Args')['randomize']}",
        table(["field", "meaning", *(f"`{name}`" for name in PRESETS)], rows),
    ]
    return "\n\n".join(parts) + "\n"


def robots() -> str:
    """Return the page of the robots."""
    parts = ["# Robots\n\nEvery task works with every robot: `gym.make(..., robot=name)`."]
    for name, model in ROBOTS.items():
        shown = {title(task): f"![{task} with {name}](images/{images.path(task, name).name})" for task in TASKS}
        facts = [
            [f"`{field.name}`", _fact(getattr(model, field.name)), entries(RobotModel, "Attributes")[field.name]]
            for field in dataclasses.fields(model)
        ]
        parts += [f"## `{name}`", _robot_doc(model), gallery(shown)]
        parts.append(table(["setting", "value", "meaning"], facts))
    return "\n\n".join(parts) + "\n"


def _robot_doc(model: RobotModel) -> str:
    """Return the docstring of the file that defines a robot."""
    for found in pkgutil.iter_modules(robot_files.__path__):
        module = importlib.import_module(f"lam_envs.robots.{found.name}")
        if any(value is model for value in vars(module).values()):
            return docstring(module)
    return ""


def _fact(value: Any) -> str:
    if isinstance(value, Path):
        return f"`{value.name}`"
    if isinstance(value, tuple):
        return ", ".join(_fact(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else str(value)

"""Writes pages from the code and the results: nothing here names a task, a robot, a control or an agent.

``python -m docs.pages`` (``make docs``) writes what readers of the repository see: ``docs/environments.md``, and the
tables of :data:`WRITTEN`. The other pages are only in the site, which
``docs/website.py`` builds.
"""

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

from agents.registry import AGENTS, find, spec_of
from agents.training.settings import file_settings
from benchmarks.reports.report import markdown_overview
from docs import pictures, scaling
from docs.figures import CORE, brief, datasets, of_agent, results, speeds
from docs.tables import (
    OBSERVATION_COLUMNS,
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
from lam_envs.bullet.cameras import CAMERAS
from lam_envs.control import CONTROLS
from lam_envs.env import OBSERVATIONS, ManipulationEnv
from lam_envs.observation import Layout
from lam_envs.randomization import PRESETS, Randomization
from lam_envs.registration import TASKS, VARIANTS, env_id
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene.reset_options import OPTIONS
from lam_envs.tasks import make_task

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = f"""# Environments

*Written by `make docs` from the docstrings and spaces of the code.*

`import lam_envs` registers the ids. `gym.make("lam_envs:LamGrasp-v0")` imports it by itself: use this form where
another process makes the environment, such as spawned workers of an `AsyncVectorEnv` or a `SubprocVecEnv`.
`gym.make_vec("LamGrasp-v0", ...)` needs no prefix.

Every environment is the same class with keyword arguments. Control runs at 20 Hz of simulated time, physics at 240.
Episodes have a fixed length; success does not end them unless `terminate_on_success` says so. Evaluate an episode by
`info["is_success"]` at its last step.

`render()` gives `rgb_array`, `depth_array` (metres) or, in a window, `human`, from the cameras
{", ".join(f"`{name}`" for name in CAMERAS)}. The full-detail meshes take about 0.15 s an image on a CPU.

The same seed and actions give the same bits: observations, rewards and infos, in any process, after any other
episodes. `env.unwrapped.get_state()` returns an array from which `set_state` continues exactly.

## Tasks

"""
CAMERA_MATRICES = """

## Point clouds from depth

`env.unwrapped.camera_matrices()` returns the current 3x3 intrinsics and 4x4 pose of every camera, also of cameras
that `randomize` moves and of the one on the hand. The convention is OpenCV's: x points right in the image, y
down, z forward, and the pose transforms points from the camera's frame to the world's. For images of `render()` pass
their size, `camera_matrices(480, 480)`; in a vector environment use `envs.call("camera_matrices")`.

```python
import gymnasium as gym
import lam_envs
import numpy as np

CAMERAS = ("front", "overview", "side", "wrist")
env = gym.make("LamStackPixels-v0", cameras=CAMERAS, depth=True, randomize="visual")
observation, info = env.reset(seed=0)
clouds = []
for name, (intrinsics, pose) in env.unwrapped.camera_matrices().items():
    depth = observation[f"{name}_depth"]  # (height, width, 1), meters
    rows, columns = np.indices(depth.shape[:2])
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    points = depth * (pixels @ np.linalg.inv(intrinsics).T)  # in the camera's frame
    clouds.append((points @ pose[:3, :3].T + pose[:3, 3]).reshape(-1, 3))  # in the world
cloud = np.concatenate(clouds)
print(cloud.shape, (np.abs(cloud[:, 2]) < 0.001).mean())  # the table's top is the plane z = 0
env.close()
```
"""
RESET_OPTIONS = """

## Reset options

The seed draws the initial state. Options of `reset` set parts of it instead, in physical units, for one episode:

```python
import gymnasium as gym
import lam_envs

env = gym.make("LamPickPlaceGoal-v0")
goal = [0.5, 0.1, 0.02, 0.08, 1.0, 0.0]
cube = [0.45, -0.1, 0.02, 0.0, 0.0, 0.0, 1.0]
observation, info = env.reset(seed=0, options={"goal": goal, "poses": {"object": cube}})
assert abs(observation["desired_goal"] - goal).max() < 1e-6
```

The seed draws the rest. The same seed and options give the same bits; the episodes that follow are the same with and
without options. Objects start at rest, and bodies that overlap push each other apart. An unknown option or an invalid
value raises `ValueError` and changes nothing.

"""


# Environments


def environments(task_link: Callable[[str], str], folder: str) -> str:
    """Returns the overview of the environments.

    Args:
        task_link: Where the page of a task is.
        folder: Where the pictures are.
    """
    shown = [
        [
            f"[{title(task)}]({task_link(task)})",
            docstring(make_task(task)).splitlines()[0],
            *(f"![{task} with {robot}]({folder}/{pictures.path(task, robot).name})" for robot in ROBOTS),
        ]
        for task in TASKS
    ]
    parts = [ENVIRONMENTS, table(["task", "what to do", *ROBOTS], shown), "\n\n## Ids\n\n", ids(list(TASKS))]
    parts += ["\n\nThe page of each task explains its numbers.\n\n## Keywords\n\n", keywords()]
    return "".join([*parts, RESET_OPTIONS, reset_options(), CAMERA_MATRICES])


def ids(tasks: list[str]) -> str:
    """Returns the table of the tasks' ids and spaces."""
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
    """Returns the table of what ``gym.make`` takes."""
    known = inspect.signature(ManipulationEnv.__init__).parameters
    rows = [
        [f"`{name}`", f"`{known[name].default!r}`".replace("'", '"'), meaning]
        for name, meaning in entries(ManipulationEnv, "Args").items()
        if name in known and known[name].default is not inspect.Parameter.empty
    ]
    return table(["keyword", "default", "meaning"], rows)


def reset_options() -> str:
    """Return the table of the options of ``reset``."""
    rows = [[f"`{name}`", entries(change, "Args")["value"]] for name, change in OPTIONS.items()]
    return table(["option", "value"], rows)


def entries(of: Any, section: str) -> dict[str, str]:
    """Returns the entries of a docstring's section, such as ``Args``: name and meaning."""
    found = re.search(rf"^{section}:\n((?: .*\n?|\n)*)", docstring(of), re.MULTILINE)
    listed = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", found[1] if found else "", re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in listed}


def prose(of: Any) -> str:
    """Returns a docstring without its sections of arguments."""
    return re.split(r"^(?:Args|Attributes|Returns|Raises):$", docstring(of), flags=re.MULTILINE)[0].strip()


def task_page(task: str) -> str:
    """Return the page of a task: its docstring, images, and tables of actions and observations."""
    first, _, rest = docstring(make_task(task)).partition("\n")
    before, heading, after = rest.strip().partition("**Success.**")
    shown = {robot: f"![{task} with {robot}](../pictures/{pictures.path(task, robot).name})" for robot in ROBOTS}
    parts = [
        f"# {title(task)}",
        first,
        gallery(shown),
        ids([task]),
        before.strip(),
        *generated_sections(task),
        *_other_robots(task),
        heading + after,
        f'## Try it\n\n```python\nimport gymnasium as gym\n\nimport lam_envs\n\nenv = gym.make("{env_id(task)}")\n'
        "observation, info = env.reset(seed=0)\n"
        "observation, reward, terminated, truncated, info = env.step(env.action_space.sample())\n"
        'print(env.unwrapped.features(), reward, info["is_success"])\nenv.close()\n```',
        "What other actions mean: [controls](../controls.md). Other ways to observe: "
        "[observations](../observations.md).",
    ]
    return "\n\n".join(parts) + "\n"


def gallery(shown: dict[str, str]) -> str:
    """Returns pictures with their names above, a few in a row."""
    names = list(shown)
    rows = [names[start : start + pictures.COLUMNS] for start in range(0, len(names), pictures.COLUMNS)]
    return "\n\n".join(table(row, [[shown[name] for name in row]]) for row in rows)


def _other_robots(task: str) -> list[str]:
    """The rows of the observation table that another robot changes."""

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
    """Returns the page of the controls."""
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
    """Returns the page of the ways to observe, and of the features that every task has."""
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
        "## Features that every task has",
    ]
    usual = ROBOTS[default("robot")]
    groups: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for name in CONTROLS:
        groups.setdefault(_own_rows(usual, name), []).append(f"`{name}`")
    for rows, names in groups.items():
        parts += [f"`control`: {', '.join(names)}", table(OBSERVATION_COLUMNS, rows)]
    return "\n\n".join([*parts, f"The numbers are those of the robot `{default('robot')}`."]) + "\n"


def _own_rows(model: RobotModel, control: str) -> tuple[tuple[str, ...], ...]:
    return tuple(observation_rows(Layout(CONTROLS[control](model).features)))


def randomisation() -> str:
    """Returns the page of what may vary from episode to episode."""
    names = [field.name for field in dataclasses.fields(Randomization)]
    meanings = entries(Randomization, "Attributes")
    rows = [
        [f"`{name}`", meanings[name], *(_fact(getattr(preset, name)) for preset in PRESETS.values())]
        for name in names
    ]
    parts = [
        f"# Randomisation\n\n{_after_first_line(importlib.import_module(Randomization.__module__))}",
        f"`randomize`: {entries(ManipulationEnv, 'Args')['randomize']}",
        table(["field", "meaning", *(f"`{name}`" for name in PRESETS)], rows),
    ]
    return "\n\n".join(parts) + "\n"


def robots() -> str:
    """Returns the page of the robots."""
    parts = ["# Robots\n\nA robot is data, and every task can be done with each: `gym.make(..., robot=name)`."]
    for name, model in ROBOTS.items():
        shown = {title(task): f"![{task} with {name}](pictures/{pictures.path(task, name).name})" for task in TASKS}
        facts = [
            [f"`{field.name}`", _fact(getattr(model, field.name)), entries(RobotModel, "Attributes")[field.name]]
            for field in dataclasses.fields(model)
        ]
        parts += [f"## `{name}`", _robot_doc(model), gallery(shown)]
        parts.append(table(["setting", "value", "meaning"], facts))
    return "\n\n".join(parts) + "\n"


def _robot_doc(model: RobotModel) -> str:
    """The docstring of the file that defines a robot."""
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


# Agents


def agents(link: Callable[[str], str]) -> str:
    """Returns the overview of the agents that have a name.

    Args:
        link: Where the page of an agent is.
    """
    rows = [[f"[`{name}`]({link(name)})", docstring(find(name)).splitlines()[0]] for name in AGENTS]
    intro = "# Agents\n\nAnything with Stable-Baselines3's `predict` is an agent; these have a name.\n\n"
    return f"{intro}{table(['agent', 'idea'], rows)}\n"


def agent_page(name: str) -> str:
    """Returns the page of an agent: its docstring, its results, and its settings in every environment."""
    agent = find(name)
    parts = [f"# `{name}`", prose(agent)]
    kind = spec_of(agent).settings
    if kind is not None:
        sections = file_settings(name, kind.model_fields)
        rows = [
            [
                f"`{key}`",
                f"`{_yaml(field.default)}`",
                *(f"`{_yaml(own[key])}`" if key in own else "" for own in sections.values()),
                str(field.description),
            ]
            for key, field in kind.model_fields.items()
        ]
        if measured := of_agent(name):
            parts += ["## Results", measured]
        titles = ["setting", "default", *(f"in {stem}" for stem in sections), "description"]
        parts += ["## Settings", table(titles, rows)]
    return "\n\n".join(parts) + "\n"


def _yaml(value: Any) -> str:
    """Return a setting as a file of settings has it."""
    return str(list(value) if isinstance(value, tuple) else value)


# What readers of the repository see


def repository_page() -> str:
    """Returns the text of ``docs/environments.md``, which leads to the docstrings."""
    return environments(lambda task: "../" + task_file(task), "pictures")


def task_file(task: str) -> str:
    """Returns the file of a task, from the root of the repository."""
    return TASKS[task].entry_point.partition(":")[0].replace(".", "/") + ".py"


def readme(text: str) -> str:
    """Returns the README with the tables of the committed results between its marks."""
    text = _between(text, "results", markdown_overview(CORE))
    text = _between(text, "suites", brief())
    return _between(text, "speeds", speeds([env_id(task) for task in TASKS]))


def scale(text: str) -> str:
    """Returns the page on scale with the table of the committed results between its marks."""
    return _between(text, "scale", scaling.scale(CORE))


def demonstrations(text: str) -> str:
    """Returns the page on demonstrations with the table of the committed results between its marks."""
    return _between(text, "speeds", datasets())


def _between(text: str, mark: str, content: str) -> str:
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not rest or not after:
        raise ValueError(f"the page lacks the marks {start} and {end}")
    return f"{before}{start}\n{content}\n{end}{after}"


def generated() -> dict[str, str]:
    """Returns the pages of the site that are made from the code: file and text."""
    return {
        **{f"tasks/{task}.md": task_page(task) for task in TASKS},
        **{f"agents/{name}.md": agent_page(name) for name in AGENTS},
        "environments.md": environments(lambda task: f"tasks/{task}.md", "pictures"),
        "controls.md": controls(),
        "observations.md": observations(),
        "randomisation.md": randomisation(),
        "robots.md": robots(),
        "agents.md": agents(lambda name: f"agents/{name}.md"),
        "results.md": results(),
    }


WRITTEN = {"README.md": readme, "docs/demonstrations.md": demonstrations, "docs/scale.md": scale}
"""Pages by hand that hold tables of the committed results."""


def main() -> None:
    """Writes all of them."""
    (ROOT / "docs" / "environments.md").write_text(repository_page())
    for place, written in WRITTEN.items():
        (ROOT / place).write_text(written((ROOT / place).read_text()))


if __name__ == "__main__":
    main()

"""Versions of the parts that decide episodes. Results are up to date until one of them is raised."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from typing import Any, TypeVar

import gymnasium as gym

from lam_envs import randomization
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_ours
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene import viewer
from lam_envs.tasks import TASKS, Task, make_task

Part = TypeVar("Part")

DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(ManipulationEnv.__init__).parameters.items()
}
"""Of the keywords of environments."""


def environment_versions(env_id: str, **keywords: Any) -> dict[str, int]:
    """Return the version of each part that decides the episodes of an environment.

    Args:
        env_id: A registered id.
        keywords: Keywords for ``gym.make``.

    Returns:
        Versions by part, such as ``{"environment": 1, "task reach": 1, "robot panda": 1, "control ee": 1}``; empty
        for an environment that is not of this package.
    """
    if not is_ours(env_id):
        return {}
    made_with = {**gym.registry[env_id].kwargs, **keywords}

    def value(name: str) -> Any:
        return made_with.get(name, DEFAULTS[name])

    task = _part(value("task"), Task, TASKS, make_task)  # type: ignore[type-abstract]
    robot = _part(value("robot"), RobotModel, ROBOTS, ROBOTS.__getitem__)
    control = CONTROLS.get(value("control")) if isinstance(value("control"), str) else None
    versions = {"environment": ManipulationEnv.version}
    if task is not None:
        versions[f"task {task.name}"] = task.version
    if robot is not None:
        versions[f"robot {robot.name}"] = robot.version
    if control is not None:
        versions[f"control {control.name}"] = control.version
    if not _is_text(value("randomize"), "none"):
        versions["randomization"] = randomization.VERSION
    if _is_text(value("obs"), "pixels"):
        versions["images"] = viewer.VERSION
    return versions


def _part(given: Any, kind: type[Part], known: Container[str], find: Callable[[str], Part]) -> Part | None:
    """Return the part that a keyword stands for.

    None for a value that stands for none: it is refused where the environment is made, by a message that lists what
    is known.
    """
    if isinstance(given, kind):
        return given
    return find(given) if isinstance(given, str) and given in known else None


def _is_text(given: Any, text: str) -> bool:
    """Return whether a keyword is a text; other values, such as arrays, may compare to anything."""
    return isinstance(given, str) and given == text

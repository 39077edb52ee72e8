"""Versions of the parts that decide episodes. Results are up to date until one of them is raised."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym

from lam_envs import randomization, viewer
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_ours
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.tasks import Task, make_task

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

    task = value("task") if isinstance(value("task"), Task) else make_task(value("task"))
    robot = value("robot") if isinstance(value("robot"), RobotModel) else ROBOTS.get(value("robot"))
    control = CONTROLS.get(value("control"))
    versions = {"environment": ManipulationEnv.version, f"task {task.name}": task.version}
    # Making the environment refuses unknown names, and lists the known ones.
    if robot is not None:
        versions[f"robot {robot.name}"] = robot.version
    if control is not None:
        versions[f"control {control.name}"] = control.version
    if value("randomize") != "none":
        versions["randomization"] = randomization.VERSION
    if value("obs") == "pixels":
        versions["images"] = viewer.VERSION
    return versions

"""Versions of the parts that determine episodes. Results are outdated when one of them increases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from typing import Any, TypeVar

import gymnasium as gym

from lam_envs import randomization
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.registration import is_lam_env
from lam_envs.robots import ROBOTS, RobotModel
from lam_envs.scene import viewer
from lam_envs.tasks import TASKS, Task, make_task

Part = TypeVar("Part")

DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(ManipulationEnv.__init__).parameters.items()
}
"""Defaults of the keywords of environments."""


def part_name(env: gym.Env[Any, Any], keyword: str) -> str:
    """Return the name of an environment's task, robot or control.

    Args:
        env: Environment of lam_envs.
        keyword: ``task``, ``robot`` or ``control``.
    """
    given = {} if env.spec is None else env.spec.kwargs
    value = given.get(keyword, DEFAULTS[keyword])
    return str(getattr(value, "name", value))


def environment_versions(env_id: str, **keywords: object) -> dict[str, int]:
    """Return the version of each part that determines the episodes of an environment.

    Args:
        env_id: Registered id.
        keywords: Keywords of ``gym.make``.

    Returns:
        Versions by part, such as ``{"environment": 1, "task reach": 1, "robot panda": 1, "control ee": 1}``; empty
        for environments of other packages.
    """
    if not is_lam_env(env_id):
        return {}
    kwargs = {**gym.registry[env_id].kwargs, **keywords}

    def value(name: str) -> Any:
        return kwargs.get(name, DEFAULTS[name])

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
    if not _equals_string(value("randomize"), "none"):
        versions["randomization"] = randomization.VERSION
    if _equals_string(value("obs"), "pixels"):
        versions["images"] = viewer.VERSION
    return versions


def _part(value: object, kind: type[Part], known: Container[str], find: Callable[[str], Part]) -> Part | None:
    """Return the part that a keyword specifies, or None for an invalid value.

    Making the environment raises an error for an invalid value.
    """
    if isinstance(value, kind):
        return value
    return find(value) if isinstance(value, str) and value in known else None


def _equals_string(value: object, text: str) -> bool:
    """Return True if a value equals a string. Comparing other values, such as arrays, may not give a bool."""
    return isinstance(value, str) and value == text

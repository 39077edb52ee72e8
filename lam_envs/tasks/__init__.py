"""Tasks, one in each file. Their names are in ``lam_envs/registration.py``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import cast

from lam_envs.registration import TASKS
from lam_envs.tasks.task import InitialState, Task, TaskObservation


def make_task(name: str, /, **keywords: object) -> Task:
    """Make the task of a name of ``TASKS``.

    Args:
        name: The name.
        keywords: Keywords of the task, see :func:`task_keywords`.

    Raises:
        KeyError: The name is unknown.
    """
    return _task_class(name)(**keywords)


def task_keywords(name: str) -> list[str]:
    """Return the names of the keywords that a task has of its own: the arguments of its class.

    ``gym.make`` takes them too.

    Raises:
        KeyError: The name is unknown.
    """
    return list(inspect.signature(_task_class(name)).parameters)


def _task_class(name: str) -> Callable[..., Task]:
    module, _, class_name = TASKS[name].entry_point.partition(":")
    return cast("Callable[..., Task]", getattr(importlib.import_module(module), class_name))


__all__ = ["TASKS", "InitialState", "Task", "TaskObservation", "make_task", "task_keywords"]

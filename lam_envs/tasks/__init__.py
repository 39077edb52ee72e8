"""Tasks, one in each file. Their names are in ``lam_envs/registration.py``."""

from __future__ import annotations

import importlib
from typing import cast

from lam_envs.registration import TASKS
from lam_envs.tasks.task import InitialState, Task, TaskObservation


def make_task(name: str) -> Task:
    """Make the task of a name of ``TASKS``.

    Raises:
        KeyError: The name is unknown.
    """
    module, _, class_name = TASKS[name].entry_point.partition(":")
    task = cast(type[Task], getattr(importlib.import_module(module), class_name))
    return task()


__all__ = ["TASKS", "InitialState", "Task", "TaskObservation", "make_task"]

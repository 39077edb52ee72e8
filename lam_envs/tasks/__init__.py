"""The table of tasks. A new task is one file here, one expert in ``demos/experts``, one line in the table."""

from __future__ import annotations

from lam_envs.tasks.grasp import Grasp
from lam_envs.tasks.reach import Reach
from lam_envs.tasks.task import Draw, Reading, Task

TASKS: dict[str, type[Task]] = {"reach": Reach, "grasp": Grasp}

__all__ = ["TASKS", "Draw", "Grasp", "Reach", "Reading", "Task"]

"""Scripted experts, one for each task. Add the expert of a new task as a file here and a line in ``EXPERTS``."""

from __future__ import annotations

from demos.experts.clutter import ClutterExpert
from demos.experts.conveyor import ConveyorExpert
from demos.experts.drawer import DrawerExpert
from demos.experts.expert import COMMAND, Expert, ExpertPolicy
from demos.experts.grasp import GraspExpert
from demos.experts.insert import InsertExpert
from demos.experts.pick_place import PickPlaceExpert
from demos.experts.push import PushExpert
from demos.experts.reach import ReachExpert
from demos.experts.stack import StackExpert
from demos.experts.table import TableExpert
from demos.runtime.types import Env

EXPERTS: dict[str, Expert] = {
    "reach": ReachExpert(),
    "push": PushExpert(),
    "grasp": GraspExpert(),
    "pick_place": PickPlaceExpert(),
    "stack": StackExpert(),
    "insert": InsertExpert(),
    "drawer": DrawerExpert(),
    "conveyor": ConveyorExpert(),
    "clutter": ClutterExpert(),
    "table": TableExpert(),
}


def make_expert(env: Env) -> ExpertPolicy:
    """Return the expert of an environment's task, acting in the environment's own action space.

    Args:
        env: Environment of lam_envs, wrapped or not.

    Raises:
        TypeError: ``env`` is no environment, such as an id.
        ValueError: The environment is not one of lam_envs, or its task has no expert.
    """
    if not hasattr(env, "unwrapped"):
        raise TypeError(f"env is {env!r}: expected an environment: gym.make(...)")
    task = getattr(env.unwrapped, "task_name", None)
    if task not in EXPERTS:
        raise ValueError(f"no expert for the task {task!r} of {env}; expected one of {', '.join(EXPERTS)}")
    return ExpertPolicy(EXPERTS[task], env)


__all__ = ["COMMAND", "EXPERTS", "Expert", "ExpertPolicy", "make_expert"]

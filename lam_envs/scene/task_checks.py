"""Checks that initial states and observations of a task match its declarations, and that the robot reaches them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.geometry import Vector3
from lam_envs.scene.reset_options import check_goal
from lam_envs.tasks import InitialState, Task, TaskObservation
from lam_envs.tasks.goals.checks import check_initial_objects

TOOL_TOLERANCE = 0.02
"""Largest distance of the tool from its initial position, meters. Inverse kinematics of a position within reach are
more exact than 1 mm."""


def check_initial_state(task: Task, start: InitialState) -> None:
    """Check that an initial state matches the declarations of its task.

    Raises:
        ValueError: The goal has another size, is not finite or is outside of the goal space, or the objects are not
            those of the task.
    """
    method = f"{type(task).__name__}.sample_initial_state"
    _check_numbers(f"the desired goal of {method}", start.desired_goal, len(task.goal_low), "goal_low")
    check_goal(f"the desired goal of {method}", np.array(start.desired_goal, np.float32).tolist(), task)
    check_initial_objects(task, start)
    task.check_models(start.models)


def check_task_observation(task: Task, observed: TaskObservation, achieved: npt.NDArray[np.float32]) -> None:
    """Check that the first observation of a task matches its declarations.

    Args:
        task: The task.
        observed: Result of ``observe``.
        achieved: Its achieved goal, shape (goal size,).

    Raises:
        ValueError: Values or achieved goal have another size or are not finite, or the goal is outside of the goal
            space.
    """
    method = f"{type(task).__name__}.observe"
    size = sum(feature.size for feature in task.features)
    _check_numbers(f"the values of {method}", observed.values, size, "features")
    _check_numbers(f"the achieved goal of {method}", observed.achieved_goal, len(task.goal_low), "goal_low")
    check_goal(f"the achieved goal of {method}", achieved.tolist(), task)


def _check_numbers(name: str, numbers: Sequence[float], size: int, declared: str) -> None:
    if len(numbers) != size:
        raise ValueError(f"{name} has {len(numbers)} numbers; expected {size}, as in {declared}")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} is {list(numbers)}; expected finite numbers")


def is_reached(tool: Vector3, start: InitialState) -> bool:
    """Return True if the tool is where an episode begins.

    Args:
        tool: Position of the tool, meters.
        start: Initial state.
    """
    return math.dist(tool, start.tool_position) <= TOOL_TOLERANCE


def out_of_reach(task: Task, robot: str, tool: Vector3, start: InitialState) -> str:
    """Return the message that the robot does not reach the initial position of the tool.

    Args:
        task: The task.
        robot: Name of the robot.
        tool: Position of the tool that it reaches, meters.
        start: Initial state.
    """
    found, expected = (", ".join(f"{number:.3g}" for number in point) for point in (tool, start.tool_position))
    return (
        f"{type(task).__name__}.sample_initial_state places the tool at ({expected}), and the robot {robot} reaches "
        f"only ({found}); expected a position within its reach, with the hand pointing down"
    )

"""Checks that a task follows the interface of tasks: its declarations, and its functions of goals.

A task is checked when its environment is made and at the first reset, not in steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.articulated import ArticulatedBody
from lam_envs.bullet.bodies import Body
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import GOAL_PREFIX, Layout
from lam_envs.tasks import InitialState, Task
from lam_envs.tasks.goals.one_goal import OneGoal
from lam_envs.tasks.task import Flags

CLOSE = 1e-3
"""Largest difference of a goal feature from the value that ``observe`` returns, as a fraction of its scale."""
BATCH_HINT = "hindsight relabeling evaluates batches of goals: index them by goal[..., number]"


def check_declarations(task: Task) -> None:
    """Check that a task declares what it has to, and the limits of goals and of tool positions.

    Raises:
        ValueError: A declaration is missing, or limits differ in length, are empty or not finite, or a lower one is
            above its upper one.
    """
    for declared in ("name", "features", "goal_low", "goal_high"):
        if not hasattr(task, declared):
            raise ValueError(f"{type(task).__name__} has no {declared}; expected an attribute of the class")
    if not isinstance(task.name, str) or not task.name:
        raise ValueError(f"name of {type(task).__name__} is {task.name!r}; expected a text that is not empty")
    for low_name, high_name in (("goal_low", "goal_high"), ("tool_low", "tool_high")):
        low, high = getattr(task, low_name), getattr(task, high_name)
        names = f"{low_name} and {high_name} of {type(task).__name__}"
        if len(low) != len(high) or not len(low):
            raise ValueError(
                f"{names} have {len(low)} and {len(high)} numbers; expected the same number, at least one"
            )
        for index, (lowest, highest) in enumerate(zip(low, high, strict=True)):
            if not (math.isfinite(lowest) and math.isfinite(highest) and lowest <= highest):
                raise ValueError(
                    f"{names} are {lowest} and {highest} at number {index}; expected finite numbers, the lower one "
                    "first"
                )


def check_objects(task: Task, simulation: Simulation) -> None:
    """Check that a scene has the movable and articulated objects and the moving surfaces that its task declares.

    Raises:
        ValueError: An object or a surface is missing or not declared, or an articulated object has other joints.
    """
    added: tuple[tuple[Iterable[str], str, Sequence[Body]], ...] = (
        (task.movable_objects, "movable_objects", simulation.dynamic_bodies),
        (task.articulated_objects, "articulated_objects", simulation.articulated),
        (task.moving_surfaces, "moving_surfaces", simulation.moving_surfaces),
    )
    names_of_bodies = {body.id: name for name, body in simulation.bodies.items()}
    for names, declared, bodies in added:
        if missing := set(names) - set(simulation.bodies):
            raise ValueError(
                f"{declared} of {type(task).__name__} names {', '.join(sorted(missing))}, which its "
                "build_scene does not add; "
                f"it adds {', '.join(simulation.bodies)}"
            )
        if undeclared := {names_of_bodies[body.id] for body in bodies} - set(names):
            extra = ", ".join(sorted(undeclared))
            raise ValueError(
                f"{type(task).__name__}.build_scene adds {extra}, which {declared} does not include; expected "
                f"everything that can move to be declared: add {extra} to {declared}, and return the state of each "
                "in sample_initial_state"
            )
    for name, limits in task.articulated_objects.items():
        body = simulation.bodies[name]
        found = [(joint.low, joint.high) for joint in body.joints] if isinstance(body, ArticulatedBody) else []
        if found != list(limits):
            raise ValueError(
                f"articulated_objects of {type(task).__name__} declares the joint limits {list(limits)} of {name!r}, "
                f"and its build_scene adds joints with the limits {found}; use add_articulated, and declare the "
                "limits of its joints"
            )


def check_initial_objects(task: Task, start: InitialState) -> None:
    """Check that an initial state has the objects, numbers of joints and surfaces that its task declares.

    Raises:
        ValueError: Objects, joints or surfaces differ from the declared ones.
    """
    method = f"{type(task).__name__}.sample_initial_state"
    if set(start.objects) != set(task.movable_objects):
        raise ValueError(
            f"{method} returns poses of {', '.join(start.objects) or 'no objects'}; "
            f"expected those of movable_objects: {', '.join(task.movable_objects) or 'nothing'}"
        )
    found = {name: len(one.joints) for name, one in start.joints.items()}
    expected = {name: len(limits) for name, limits in task.articulated_objects.items()}
    if found != expected:
        raise ValueError(
            f"{method} returns joints of articulated objects in the numbers {found}; expected {expected}, as in "
            "articulated_objects"
        )
    if set(start.surfaces) != set(task.moving_surfaces):
        raise ValueError(
            f"{method} returns velocities of {', '.join(start.surfaces) or 'no surfaces'}; "
            f"expected those of moving_surfaces: {', '.join(task.moving_surfaces) or 'nothing'}"
        )


def check_goal_features(
    task: Task, layout: Layout, values: Sequence[float], desired: npt.NDArray[np.float32]
) -> None:
    """Check that ``goal_features`` returns the same features as ``observe``: goal observations rely on it.

    Args:
        task: The task.
        layout: All features.
        values: Physical values of the layout, as ``observe`` returned them.
        desired: The desired goal.

    Raises:
        ValueError: Names, shapes or values differ.
    """
    method = f"{type(task).__name__}.goal_features"
    features = layout.split(np.array(values))
    expected = {name: features.pop(name) for name in layout if name.startswith(GOAL_PREFIX)}
    given = task.goal_features(features, desired)
    if not isinstance(given, dict) or set(given) != set(expected):
        names = ", ".join(given) or "no features" if isinstance(given, dict) else repr(given)
        raise ValueError(
            f"{method} returns {names}; expected {', '.join(expected) or 'no features'}: "
            f"those of its features that begin with {GOAL_PREFIX}"
        )
    for name, value in expected.items():
        if np.shape(given[name]) != value.shape:
            raise ValueError(f"{method} returns {name} of shape {np.shape(given[name])}; expected {value.shape}")
        if not np.allclose(given[name], value, rtol=CLOSE, atol=CLOSE * layout[name].scale):
            raise ValueError(f"{method} returns {given[name]} for {name}; expected {value}, as observe returns it")


def check_batches_of_goals(
    task: Task, achieved: npt.NDArray[np.float64], desired: npt.NDArray[np.float64], *, dense: bool
) -> None:
    """Check that ``evaluate`` and ``progress`` return the same for a batch of goals as for each single goal.

    Args:
        task: The task.
        achieved: Achieved goal, shape (goal size,).
        desired: Desired goal, shape (goal size,).
        dense: True if ``progress`` is used.

    Raises:
        ValueError: The method fails for a batch of goals, or names, shapes or values differ.
    """
    # Goals between two goals are valid too. The batch has more goals than a goal has numbers: otherwise a function
    # that takes the first goal for the first number could return the right shape.
    count = 2 * (achieved.size + 1)
    fractions = np.linspace(0.0, 1.0, count)[:, None]
    pairs = (achieved + fractions * (desired - achieved), desired + fractions[::-1] * (achieved - desired))
    functions: dict[str, Callable[[Any, Any], Any]] = {"evaluate": task.evaluate}
    if dense:
        functions["progress"] = lambda *goals: {"progress": task.progress(*goals)}
    for name, function in functions.items():
        single = [function(OneGoal(one.tolist()), OneGoal(other.tolist())) for one, other in zip(*pairs, strict=True)]
        for shape in ((count,), (2, count // 2)):
            goals = [goal.reshape(*shape, -1) for goal in pairs]
            method = f"{type(task).__name__}.{name}"
            try:
                batch = function(*goals)
            except Exception as error:
                raise ValueError(
                    f"{method} fails for goals of shape {goals[0].shape} and not for a single goal: {error!r}. "
                    f"{BATCH_HINT}"
                ) from error
            _check_same(method, batch, single, goals[0].shape)


def _check_same(method: str, batch: dict[str, Flags], single: list[dict[str, Flags]], shape: tuple[int, ...]) -> None:
    if set(batch) != set(single[0]):
        raise ValueError(
            f"{method} returns {', '.join(batch)} for goals of shape {shape}; expected {', '.join(single[0])}, "
            "as for a single goal"
        )
    for name, values in batch.items():
        if np.shape(values) != shape[:-1]:
            raise ValueError(
                f"{method} returns {name} of shape {np.shape(values)} for goals of shape {shape}; "
                f"expected {shape[:-1]}. {BATCH_HINT}"
            )
        expected = np.reshape([result[name] for result in single], shape[:-1])
        if not np.allclose(np.multiply(values, 1.0), expected, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise ValueError(
                f"{method} returns another {name} for goals of shape {shape} than for each single goal. {BATCH_HINT}"
            )

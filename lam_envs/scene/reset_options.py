"""Options of ``reset``: parts of the initial state that the caller sets instead of sampling them.

An option is one line in :data:`CHANGES` or :data:`REQUESTS`, and one function that checks its value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lam_envs.bullet.geometry import check_orientation
from lam_envs.observation.instructions import Command
from lam_envs.scene.request import command_option, complete, instruction_option
from lam_envs.scene.state import MAX_NUMBER
from lam_envs.tasks import InitialState, Task
from lam_envs.validation import unknown_name

InitialStateUpdate = Callable[[InitialState], InitialState]
"""Function that replaces one part of a sampled initial state."""

POSE_SIZE = 7
"""Numbers of a pose: position 3, quaternion 4."""

WRAPPER_OPTIONS = ("minari_autoseed",)
"""Options of wrappers that also reach the environment (Minari's ``DataCollector``). Ignored here."""


def goal_change(value: object, task: Task) -> InitialStateUpdate:
    """Return a function that sets the desired goal of an initial state.

    Args:
        value: The desired goal, shape (goal size,), in the units of the task's page. In tasks with several commands,
            success then refers to this goal, and not to the command.
        task: The task.

    Raises:
        ValueError: The value has another shape, is not finite, or is outside of the goal space.
    """
    # Goals and their limits have 32 bits.
    desired = np.array(_numbers("reset option 'goal'", value, len(task.goal_low)), np.float32).tolist()
    check_desired_goal("reset option 'goal': the desired goal", desired, task)
    return lambda start: dataclasses.replace(start, desired_goal=tuple(desired))


def poses_change(value: object, task: Task) -> InitialStateUpdate:
    """Return the change that sets the poses of some movable or articulated objects.

    Args:
        value: A dict of poses by name of the task's objects. A pose has 7 numbers: the position x, y, z of the
            object's frame (of its base, if it has joints) in world coordinates (meters), and its orientation as a
            quaternion x, y, z, w. Objects that are not named keep the pose that the seed samples. Poses of objects
            that the episode lacks have no effect.
        task: The task.

    Raises:
        ValueError: A name is unknown, or a pose is invalid.
    """
    known = (*task.movable_objects, *task.articulated_objects)
    if not isinstance(value, Mapping):
        names = ", ".join(known) or "none"
        raise ValueError(f"reset option 'poses' is {value!r}; expected a dict of poses by object. Objects: {names}")
    poses: dict[str, Sequence[float]] = {}
    for name, pose in value.items():
        if name not in known:
            raise ValueError(f"reset option 'poses': {unknown_name('object', name, known)}")
        poses[name] = _numbers(
            f"reset option 'poses': the pose of {name}", pose, POSE_SIZE, " (x, y, z, qx, qy, qz, qw)"
        )
        check_orientation(f"reset option 'poses': the orientation of {name}", poses[name][3:])

    def change(start: InitialState) -> InitialState:
        objects, joints = dict(start.objects), dict(start.joints)
        for name, (x, y, z, qx, qy, qz, qw) in poses.items():
            if name in objects:
                if task.is_absent(name, objects[name]):
                    continue
                objects[name] = objects[name]._replace(position=(x, y, z), orientation=(qx, qy, qz, qw))
            else:
                joints[name] = joints[name]._replace(position=(x, y, z), orientation=(qx, qy, qz, qw))
        return dataclasses.replace(start, objects=objects, joints=joints)

    return change


def joints_change(value: object, task: Task) -> InitialStateUpdate:
    """Return the change that sets the joints of some articulated objects.

    Args:
        value: A dict of joint positions (meters or radians) by name of the task's articulated objects, each of shape
            (number of joints,). Objects that are not named keep the positions that the seed samples.
        task: The task.

    Raises:
        ValueError: A name is unknown, or positions are invalid.
    """
    known = task.articulated_objects
    if not isinstance(value, Mapping):
        names = ", ".join(known) or "none"
        raise ValueError(
            f"reset option 'joints' is {value!r}; expected a dict of joint positions by object. Objects: {names}"
        )
    positions: dict[str, Sequence[float]] = {}
    for name, numbers in value.items():
        if name not in known:
            raise ValueError(f"reset option 'joints': {unknown_name('object', name, known)}")
        what = f"reset option 'joints': the positions of {name}"
        positions[name] = _numbers(what, numbers, len(known[name]))
        if any(not low <= one <= high for one, (low, high) in zip(positions[name], known[name], strict=True)):
            limits = ", ".join(f"{low:g} to {high:g}" for low, high in known[name])
            raise ValueError(f"{what} is {numbers!r}; expected {limits}")

    def change(start: InitialState) -> InitialState:
        objects = dict(start.joints)
        for name, numbers in positions.items():
            old = objects[name].joints
            moved = [one._replace(position=position) for one, position in zip(old, numbers, strict=True)]
            objects[name] = objects[name]._replace(joints=tuple(moved))
        return dataclasses.replace(start, joints=objects)

    return change


CHANGES: dict[str, Callable[[Any, Task], InitialStateUpdate]] = {
    "goal": goal_change,
    "poses": poses_change,
    "joints": joints_change,
}
"""Options that change the initial state. Each function checks a value and returns the change that it makes."""
REQUESTS: dict[str, Callable[[Any, Task], Any]] = {"command": command_option, "instruction": instruction_option}
"""Options that set the request of the episode. Each function checks a value."""


class ResetOptions(NamedTuple):
    """Checked options of a reset."""

    changes: Sequence[InitialStateUpdate] = ()
    """Changes to the sampled initial state."""
    command: Command | None = None
    """Command in place of the sampled one."""
    instruction: str | None = None
    """Instruction in place of the sampled paraphrase."""


NO_OPTIONS = ResetOptions()


def parse_options(options: Any, task: Task) -> ResetOptions:
    """Check the options of a reset.

    Args:
        options: Maps names of :data:`CHANGES` and :data:`REQUESTS` to values; None and an empty dict change nothing.
        task: The task.

    Raises:
        ValueError: An option is unknown, or its value is invalid.
    """
    if options is None:
        return NO_OPTIONS
    if not isinstance(options, Mapping):
        known = ", ".join((*CHANGES, *REQUESTS))
        raise ValueError(f"the reset options are {options!r}; expected a dict with any of {known}")
    checks = {**CHANGES, **REQUESTS}
    for name in options:
        if name not in checks and name not in WRAPPER_OPTIONS:
            raise ValueError(unknown_name("reset option", name, checks))
    checked = {name: checks[name](value, task) for name, value in options.items() if name in checks}
    changes = [value for name, value in checked.items() if name in CHANGES]
    command, instruction = checked.get("command"), checked.get("instruction")
    return ResetOptions(changes, complete(command, instruction, task), instruction)


def check_goal(name: str, desired: Sequence[float], task: Task) -> None:
    """Check that a goal is inside of the goal space.

    Args:
        name: Name of the goal for the error message.
        desired: Goal, shape (goal size,).
        task: The task.

    Raises:
        ValueError: A number is out of range.
    """
    low, high = (np.array(ends, np.float32) for ends in (task.goal_low, task.goal_high))
    numbers = np.asarray(desired)
    outside = (numbers < low) | (numbers > high)
    if outside.any():
        index = int(np.argmax(outside))
        raise ValueError(f"{name}'s number {index} is {numbers[index]:g}; expected {low[index]:g} to {high[index]:g}")


def check_desired_goal(name: str, desired: Sequence[float], task: Task) -> None:
    """Check that a goal is inside of the goal space, and that an episode of the task can have it as desired goal.

    Args:
        name: Name of the goal for the error message.
        desired: Goal, shape (goal size,).
        task: The task.

    Raises:
        ValueError: A number is out of range, or the task refuses the goal.
    """
    check_goal(name, desired, task)
    try:
        task.check_desired_goal(desired)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _numbers(name: str, value: object, size: int, meaning: str = "") -> list[float]:
    """Return a value as finite numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    is_vector = array.shape == (size,) and array.dtype.kind in "fiu"
    # The comparison is also false for numbers that are not finite.
    if not is_vector or not (np.abs(array.astype(np.float64)) <= MAX_NUMBER).all():
        raise ValueError(
            f"{name} is {value!r}; expected {size} number{'s' * (size != 1)} of at most {MAX_NUMBER:g}{meaning}"
        )
    numbers: list[float] = array.astype(np.float64).tolist()
    return numbers

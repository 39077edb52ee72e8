"""Action spaces: what an action means, and which action does what is wanted.

A control turns an action into a commanded tool pose, and its inverse turns a wanted tool pose
(:class:`ToolCommand`) into the action that brings the tool nearest to it in one step. Experts only speak of
tool poses, so one expert serves every control.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from lam_envs.observation import Features
from lam_envs.simulation import Vector3

# Where the commanded tool position may be, metres: in front of the arm, above the table. The lowest point
# keeps the fingertips 3 mm off the table.
WORKSPACE_LOW: Vector3 = (0.28, -0.35, 0.012)
WORKSPACE_HIGH: Vector3 = (0.72, 0.35, 0.45)
# How far the command may run ahead of the tool on each axis, metres: what presses against something does not
# wind up, and turning back answers at once.
MAX_LEAD = 0.05
# 2 cm a step is 0.4 m/s, a brisk speed for such an arm (its maker allows 1.7 m/s).
MAX_STEP = 0.02
# Discrete steps, metres: far ways in few steps, and a fine one below every task's tolerance.
COARSE_STEP = 0.025
FINE_STEP = 0.006
# An error that a fine step would not lessen; the hundredth keeps rounding from stepping to and fro about half of it.
NEAR_ENOUGH = 0.51 * FINE_STEP


@dataclass(frozen=True)
class ToolCommand:
    """What an expert wants of the robot.

    Attributes:
        position: Where the tool should go, metres.
        width: How wide the gripper should open, metres.
    """

    position: tuple[float, float, float]
    width: float


@dataclass
class Target:
    """What the robot is told to reach: the commanded tool position and gripper opening, metres."""

    position: Vector3
    width: float


class Control(ABC):
    """One meaning of actions.

    Args:
        max_width: Widest opening of the robot's gripper, metres.
    """

    name: ClassVar[str]
    space: spaces.Space[Any]
    action_size: ClassVar[int]
    """How many numbers record an action."""

    def __init__(self, max_width: float) -> None:
        self.max_width = max_width

    @abstractmethod
    def command(self, action: Any, target: Target, tool: Vector3) -> tuple[Target, list[float]]:
        """Applies an action.

        Args:
            action: What the agent chose.
            target: The commanded pose before.
            tool: Where the tool is, metres.

        Returns:
            The commanded pose after, and the action as a list of ``action_size`` numbers.

        Raises:
            ValueError: The action is not finite, or has a wrong shape or type. Nothing has changed then.
        """

    @abstractmethod
    def inverse(self, command: ToolCommand, features: Features) -> Any:
        """Returns the action of :attr:`space` that brings the commanded pose nearest to what is wanted."""

    def displaced(self, target: Target, tool: Vector3, step: Vector3, width: float) -> Target:
        """Moves the commanded pose by a step, within the workspace and the allowed lead."""
        return Target(
            (
                self._bounded(0, target, tool, step),
                self._bounded(1, target, tool, step),
                self._bounded(2, target, tool, step),
            ),
            width,
        )

    @staticmethod
    def _bounded(axis: int, target: Target, tool: Vector3, step: Vector3) -> float:
        low = max(WORKSPACE_LOW[axis], tool[axis] - MAX_LEAD)
        high = min(WORKSPACE_HIGH[axis], tool[axis] + MAX_LEAD)
        # Should the tool ever be outside the workspace, the workspace wins.
        return min(max(min(max(target.position[axis] + step[axis], low), high), WORKSPACE_LOW[axis]),
                   WORKSPACE_HIGH[axis])  # fmt: skip


class EndEffectorControl(Control):
    """``ee``: displacement of the commanded tool position, and the gripper's opening.

    | number | meaning | -1 | +1 |
    |---|---|---|---|
    | 0, 1, 2 | displacement along x, y, z | -2 cm | +2 cm |
    | 3 | gripper opening | closed | widest |
    """

    name = "ee"
    action_size = 4

    def __init__(self, max_width: float) -> None:
        super().__init__(max_width)
        self.space = spaces.Box(-1.0, 1.0, (self.action_size,), np.float32)

    @override
    def command(self, action: Any, target: Target, tool: Vector3) -> tuple[Target, list[float]]:
        numbers = checked_numbers(action, self.action_size)
        x, y, z, opening = numbers
        step = (x * MAX_STEP, y * MAX_STEP, z * MAX_STEP)
        return self.displaced(target, tool, step, (opening + 1.0) / 2 * self.max_width), numbers

    @override
    def inverse(self, command: ToolCommand, features: Features) -> npt.NDArray[np.float32]:
        commanded = features["tool/position"] + features["tool/lag"]
        step = (np.asarray(command.position) - commanded) / MAX_STEP
        # One factor for all axes keeps the way straight.
        step /= max(1.0, float(np.abs(step).max()))
        opening = 2.0 * command.width / self.max_width - 1.0
        return np.array([*step, min(max(opening, -1.0), 1.0)], dtype=np.float32)


class DiscreteControl(Control):
    """``discrete``: one coarse or fine step along one axis, or the gripper.

    | action | meaning |
    |---|---|
    | 0 | hold still |
    | 1 to 6 | 2.5 cm along +x, -x, +y, -y, +z, -z |
    | 7 to 12 | 6 mm along the same |
    | 13 | open the gripper |
    | 14 | close the gripper |
    """

    name = "discrete"
    action_size = 1
    HOLD, OPEN, CLOSE = 0, 13, 14

    def __init__(self, max_width: float) -> None:
        super().__init__(max_width)
        self.steps: list[Vector3] = [(0.0, 0.0, 0.0)]
        for length in (COARSE_STEP, FINE_STEP):
            for axis in range(3):
                for sign in (1.0, -1.0):
                    step = [0.0, 0.0, 0.0]
                    step[axis] = sign * length
                    self.steps.append((step[0], step[1], step[2]))
        self.steps += [(0.0, 0.0, 0.0)] * 2
        self.space = spaces.Discrete(len(self.steps))

    @override
    def command(self, action: Any, target: Target, tool: Vector3) -> tuple[Target, list[float]]:
        number = checked_choice(action, len(self.steps))
        width = {self.OPEN: self.max_width, self.CLOSE: 0.0}.get(number, target.width)
        return self.displaced(target, tool, self.steps[number], width), [float(number)]

    @override
    def inverse(self, command: ToolCommand, features: Features) -> np.int64:
        wants_open = command.width > self.max_width / 2
        is_open = features["gripper/target"][0] > self.max_width / 2
        if wants_open != is_open:
            return np.int64(self.OPEN if wants_open else self.CLOSE)
        error = np.asarray(command.position) - (features["tool/position"] + features["tool/lag"])
        axis = int(np.abs(error).argmax())
        sign = 0 if error[axis] > 0 else 1
        # A coarse step helps beyond half its length, rounded to what fine steps can reach.
        if abs(error[axis]) > COARSE_STEP / 2 + FINE_STEP:
            return np.int64(1 + 2 * axis + sign)
        if abs(error[axis]) > NEAR_ENOUGH:
            return np.int64(7 + 2 * axis + sign)
        return np.int64(self.HOLD)


CONTROLS: dict[str, type[Control]] = {"ee": EndEffectorControl, "discrete": DiscreteControl}


def as_array(action: Any) -> npt.NDArray[Any]:
    """Returns an action as an array.

    Raises:
        ValueError: It cannot be read as one.
    """
    try:
        return np.asarray(action)
    except (TypeError, RuntimeError, OverflowError, ValueError) as error:
        raise ValueError(f"the action is a {type(action).__name__} that is no array: {error}") from None


def checked_numbers(action: Any, size: int) -> list[float]:
    """Returns the action's numbers clipped to [-1, 1].

    Raises:
        ValueError: Naming the shape, or the index that is not finite.
    """
    array = as_array(action)
    if array.shape != (size,):
        raise ValueError(f"the action has shape {array.shape}; expected ({size},)")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"the action {action!r} does not consist of numbers")
    numbers = [float(number) for number in array.tolist()]
    for index, number in enumerate(numbers):
        if not math.isfinite(number):
            raise ValueError(f"action[{index}] is {number}; expected finite numbers in [-1, 1]")
        numbers[index] = min(max(number, -1.0), 1.0)
    return numbers


def checked_choice(action: Any, count: int) -> int:
    """Returns the action as a number below ``count``.

    Raises:
        ValueError: It is no whole number, or not in range. Unlike a displacement, a choice cannot be clipped.
    """
    array = as_array(action)
    if array.size != 1 or array.ndim > 1:
        raise ValueError(f"the action has shape {array.shape}; expected one whole number")
    number = array.reshape(()).item()
    if array.dtype.kind not in "fiu" or not math.isfinite(number) or number != int(number) or not 0 <= number < count:
        raise ValueError(f"action[0] is {number!r}; expected a whole number from 0 to {count - 1}")
    return int(number)

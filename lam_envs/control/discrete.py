"""Discrete actions: ``discrete``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from typing_extensions import override

from lam_envs.bullet.geometry import Vector3
from lam_envs.control.actions import validate_discrete_action
from lam_envs.control.cartesian import move_target
from lam_envs.control.control import Control, Target, ToolCommand
from lam_envs.observation import Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import ToolState

# Lengths of steps, meters: one for long distances, one below the tolerances of most tasks, and one for insertion.
DISCRETE_STEPS = (0.025, 0.006, 0.0015)


class DiscreteControl(Control):
    """``discrete``: one step along one axis, or a gripper command.

    | action | meaning |
    |---|---|
    | 0 | hold still |
    | 1 to 6 | coarse: 2.5 cm along +x, -x, +y, -y, +z, -z |
    | 7 to 12 | fine: 6 mm along the same |
    | 13 to 18 | finest: 1.5 mm along the same |
    | 19 | open the gripper |
    | 20 | close the gripper |
    """

    name = "discrete"
    version = 1
    action_size = 1
    HOLD = 0
    OPEN = 1 + 6 * len(DISCRETE_STEPS)
    CLOSE = OPEN + 1

    def __init__(self, model: RobotModel) -> None:
        super().__init__(model)
        self.steps: list[Vector3] = [(0.0, 0.0, 0.0)]
        for length in DISCRETE_STEPS:
            for axis in range(3):
                for sign in (1.0, -1.0):
                    step = [0.0, 0.0, 0.0]
                    step[axis] = sign * length
                    self.steps.append((step[0], step[1], step[2]))
        self.steps += [(0.0, 0.0, 0.0)] * 2
        self.space = spaces.Discrete(len(self.steps))

    @override
    def validate(self, action: object) -> list[float]:
        return [float(validate_discrete_action(action, len(self.steps)))]

    @override
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        number = int(numbers[0])
        width = {self.OPEN: self.max_width, self.CLOSE: 0.0}.get(number, target.width)
        return move_target(target, tool, self.steps[number], width, robot)

    @override
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> np.int64:
        change = command.width - features["gripper/target"].item()
        # The desired opening is nearer to the other end than to the commanded opening.
        if abs(change) > self.max_width / 4:
            return np.int64(self.OPEN if change > 0 else self.CLOSE)
        error = np.asarray(command.position) - (features["tool/position"] + features["tool/lag"])
        axis = int(np.abs(error).argmax())
        length = abs(float(error[axis]))
        for level, step in enumerate(DISCRETE_STEPS):
            # A step helps if the error is above half of its length, plus half of the next finer step. For the finest
            # step, 2% of its length prevent an oscillation by rounding.
            finer = DISCRETE_STEPS[level + 1] if level + 1 < len(DISCRETE_STEPS) else 0.02 * step
            if length > step / 2 + finer / 2:
                return np.int64(1 + 6 * level + 2 * axis + (0 if error[axis] > 0 else 1))
        return np.int64(self.HOLD)

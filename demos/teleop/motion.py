"""From the motion that a person asks for to an action of any control."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from demos.collection.recording import last_command
from demos.runtime.types import Action, Env
from demos.teleop.messages import Motion
from lam_envs import ToolCommand
from lam_envs.control.discrete import DISCRETE_STEPS, DiscreteControl
from lam_envs.control.end_effector import MAX_STEP, MAX_YAW, MAX_YAW_STEP
from lam_envs.env import ManipulationEnv
from lam_envs.observation import Features

LEAD = 2.0
"""Distance of the desired pose from the present one, in largest steps, where actions follow from poses."""


def horizontal_axes(camera_pose: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the horizontal directions to the right in an image and away from its camera.

    Args:
        camera_pose: Pose in OpenCV's convention, shape (4, 4).

    Returns:
        Two perpendicular unit vectors in the world, shape (3,) each, z 0. "Away" is upward in the image.
    """
    right = np.array([*camera_pose[:2, 0], 0.0])
    length = float(np.linalg.norm(right))
    if length < 1e-6:  # a camera that is turned by 90 degrees
        right, length = np.array([0.0, -1.0, 0.0]), 1.0
    right /= length
    away = np.array([-right[1], right[0], 0.0])
    # For an upside-down camera, the upper edge of the image is nearer.
    if away @ (camera_pose[:3, 2] - camera_pose[:3, 1]) < 0.0:
        away = -away
    return right, away


class Steering:
    """Conversion of a person's motions to actions of an environment.

    Args:
        env: Environment of lam_envs; it is never stepped.
        camera: Camera whose image the directions refer to.

    Attributes:
        camera: Camera whose image the directions refer to.
        width: Commanded opening of the gripper, meters.
    """

    def __init__(self, env: Env, camera: str) -> None:
        self._env = cast(ManipulationEnv, env.unwrapped)
        self._space = env.action_space
        self.camera = camera
        self.width = 0.0
        self._home_angle: float | None = None
        self._rest = np.zeros(3)

    def reset(self) -> None:
        """Adopt the command of the gripper from the scene: after a reset, and when a person takes over."""
        features = self._env.features()
        self.width = float(features["gripper/target"].item())
        self._rest = np.zeros(3)
        if self._home_angle is None and "tool/rotation" in features:
            # Every episode begins with a yaw of 0.
            self._home_angle = _angle(features)

    @property
    def is_open(self) -> bool:
        """True if the gripper is commanded to be wide open; an episode may begin with a gripper half open."""
        return self.width > 0.75 * self._env.max_width

    def gripper(self, do: str) -> None:
        """Command the gripper to ``open``, to ``close``, or to ``toggle`` between them."""
        opens = not self.is_open if do == "toggle" else do == "open"
        self.width = self._env.max_width if opens else 0.0

    def action(self, motion: Motion) -> Action:
        """Return the action of one step; without motion it holds the tool where it is commanded to be."""
        features = self._env.features()
        command = last_command(features)
        direction = self._direction(motion)
        if isinstance(self._space, gym.spaces.Discrete):
            return self._discrete_action(motion, command, direction)
        if "joint/position" in features:
            return self._joint_action(motion, command, direction)
        turn = [motion.turn * motion.speed] if "tool/yaw" in features else []
        return np.array([*(direction * motion.speed), *turn, self._opening], dtype=self._space.dtype)

    def _direction(self, motion: Motion) -> npt.NDArray[np.float64]:
        """Return the direction in the world, shape (3,), with a length of at most 1."""
        direction: npt.NDArray[np.float64]
        right, away = horizontal_axes(self._env.camera_matrices(1, 1)[self.camera].pose)
        direction = motion.right * right + motion.away * away + np.array([0.0, 0.0, motion.up])
        direction /= max(float(np.linalg.norm(direction)), 1.0)
        return direction

    def _discrete_action(self, motion: Motion, command: ToolCommand, direction: npt.NDArray[np.float64]) -> Action:
        """Return the step along one axis that brings the tool nearest to the line of the motion."""
        # What the last steps left: a diagonal alternates between axes.
        wanted = direction * motion.speed * DISCRETE_STEPS[0] + (0.0 if motion.is_still else self._rest)
        action = self._env.action_for(_moved(command, wanted, self.width), self._env.features())
        self._rest = np.clip(wanted - _discrete_step(int(action)), -DISCRETE_STEPS[0], DISCRETE_STEPS[0])
        return action

    @property
    def _opening(self) -> float:
        """Commanded opening as an action, from -1 (closed) to 1."""
        return min(2.0 * self.width / self._env.max_width - 1.0, 1.0)

    def _joint_action(self, motion: Motion, command: ToolCommand, direction: npt.NDArray[np.float64]) -> Action:
        if motion.is_still:
            # The commanded angles stay; a pose computed from the present one would sag.
            still = np.zeros(self._space.shape or (), dtype=self._space.dtype)
            still[-1] = self._opening
            return still
        features = self._env.features()
        yaw = _angle(features) - (self._home_angle or 0.0) + LEAD * MAX_YAW_STEP * motion.turn * motion.speed
        yaw = float(np.clip((yaw + np.pi) % (2 * np.pi) - np.pi, -MAX_YAW, MAX_YAW))
        moved = _moved(command, LEAD * MAX_STEP * direction * motion.speed, self.width)
        action = self._env.action_for(replace(moved, yaw=yaw), features)
        return np.asarray(action, dtype=self._space.dtype)


def _moved(command: ToolCommand, step: npt.NDArray[np.float64], width: float) -> ToolCommand:
    x, y, z = (np.asarray(command.position) + step).tolist()
    return replace(command, position=(x, y, z), width=width)


def _discrete_step(action: int) -> npt.NDArray[np.float64]:
    """Return the displacement of a discrete action, meters, shape (3,)."""
    step = np.zeros(3)
    if DiscreteControl.HOLD < action < DiscreteControl.OPEN:
        level, rest = divmod(action - 1, 6)
        step[rest // 2] = DISCRETE_STEPS[level] * (1.0 if rest % 2 == 0 else -1.0)
    return step


def _angle(features: Features) -> float:
    """Return the angle of the hand about the vertical, radians, from the first column of its rotation matrix."""
    x, y, *_ = features["tool/rotation"].tolist()
    return float(np.arctan2(y, x))

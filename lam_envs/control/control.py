"""Interface of controls, with their inputs and outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gymnasium import spaces

from lam_envs.bullet.geometry import Vector3
from lam_envs.observation import Action, Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import GripperState, ToolState

# Fraction of a small error that one action corrects: correcting all of it would oscillate with delayed actions.
SETTLING_GAIN = 0.6


@dataclass(frozen=True)
class ToolCommand:
    """Desired pose of the tool and opening of the gripper: the action of an expert.

    Attributes:
        position: Desired position of the tool, meters.
        width: Desired opening of the gripper, meters.
        yaw: Desired yaw of the hand, radians; ignored by controls that cannot turn it.
    """

    position: tuple[float, float, float]
    width: float
    yaw: float = 0.0


@dataclass
class Target:
    """Target of the motors.

    Attributes:
        joints: Commanded angles of the arm joints, radians.
        position: Commanded tool position, meters; not used by joint control.
        yaw: Commanded yaw of the hand, radians; not used by joint control.
        width: Commanded opening of the gripper, meters.
    """

    joints: list[float]
    position: Vector3
    yaw: float
    width: float


class Control(ABC):
    """Meaning of the actions of an environment.

    Args:
        model: The robot.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Increase it when the same actions give other episodes: its results and datasets are then outdated."""
    space: spaces.Box | spaces.Discrete
    action_size: int
    """Length of an action vector; 1 for discrete actions."""

    def __init__(self, model: RobotModel) -> None:
        self.model = model
        self.max_width = model.max_width

    @property
    def features(self) -> tuple[Feature, ...]:
        """Features of the robot for this control."""
        half = self.max_width / 2
        return (
            Feature("tool/position", 3, "m", "point between the fingertips", (0.5, 0.0, 0.2), 0.2, 1.0),
            Feature("tool/velocity", 3, "m/s", "its velocity", 0.0, 0.4, 4.0),
            *self.pose_features,
            Feature("gripper/width", 1, "m", "opening between the fingers", half, half, 4 * half),
            Feature("gripper/target", 1, "m", "commanded opening", half, half, 2 * half, noisy=False),
            Feature("gripper/velocity", 1, "m/s", "speed of the opening", 0.0, 0.2, 2.0),
        )

    def values(self, robot: Robot, tool: ToolState, gripper: GripperState, target: Target) -> list[float]:
        """Return the physical values of :attr:`features`, in order."""
        return [
            *tool.position,
            *tool.velocity,
            *self.pose_values(robot, tool, target),
            gripper.width,
            target.width,
            gripper.velocity,
        ]

    @property
    def pose_features(self) -> tuple[Feature, ...]:
        """Features of the robot's pose besides position and velocity of the tool."""
        return (Feature("tool/lag", 3, "m", "commanded position minus position", 0.0, 0.02, 0.2),)

    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        """Return the physical values of :attr:`pose_features`, in order."""
        (x, y, z), (tx, ty, tz) = tool.position, target.position
        return (tx - x, ty - y, tz - z)

    @abstractmethod
    def validate(self, action: object) -> list[float]:
        """Return an action as a list of ``action_size`` numbers, displacements clipped to [-1, 1].

        Raises:
            ValueError: The action is not finite, or has a wrong shape or type.
        """

    @abstractmethod
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        """Apply an action.

        Args:
            numbers: Action, as :meth:`validate` returned it.
            target: Present target.
            tool: State of the tool.
            robot: Robot, for inverse kinematics.

        Returns:
            The new target.
        """

    @abstractmethod
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> Action:
        """Return the action that moves the tool toward a desired pose without overshooting.

        Args:
            command: Desired pose and opening.
            features: Features of the scene by name, in physical units.
            robot: Robot, for inverse kinematics; its current state does not matter.

        Returns:
            An element of :attr:`space`.
        """

    def width(self, opening: float) -> float:
        """Convert a gripper action in [-1, 1] to an opening in meters."""
        return (opening + 1.0) / 2 * self.max_width

    def opening(self, width: float) -> float:
        """Convert an opening in meters to a gripper action, clipped to [-1, 1]."""
        return min(max(2.0 * width / self.max_width - 1.0, -1.0), 1.0)

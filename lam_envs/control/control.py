"""What a control is, what it is told, and what it tells the robot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gymnasium import spaces

from lam_envs.bullet.geometry import Vector3
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot, RobotModel
from lam_envs.robots.state import GripperState, ToolState

# Share of a small error that one action undoes: all of it would swing to and fro where actions take effect late.
SETTLING = 0.6


@dataclass(frozen=True)
class ToolCommand:
    """What an expert wants of the robot.

    Attributes:
        position: Where the tool should go, meters.
        width: How wide the gripper should open, meters.
        yaw: Turn of the hand about the vertical, radians; controls that cannot turn it leave it.
    """

    position: tuple[float, float, float]
    width: float
    yaw: float = 0.0


@dataclass
class Target:
    """What the robot is told to reach.

    Attributes:
        joints: Angles of the arm's joints, radians: what the motors get.
        position: The commanded tool position, meters; joint control does not use it.
        yaw: The commanded turn of the hand, radians; joint control does not use it.
        width: The commanded opening of the gripper, meters.
    """

    joints: list[float]
    position: Vector3
    yaw: float
    width: float


class Control(ABC):
    """One meaning of actions.

    Args:
        model: The robot that acts.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raise it when the same actions give other episodes: results and datasets of the control are then outdated."""
    space: spaces.Space[Any]
    action_size: int
    """How many numbers record an action."""

    def __init__(self, model: RobotModel) -> None:
        self.model = model
        self.max_width = model.max_width

    @property
    def features(self) -> tuple[Feature, ...]:
        """The robot's own features that an agent needs to act by this control."""
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
        """Read the physical values of :attr:`features`, in order."""
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
        """What of the robot's pose an agent sees besides the tool's position."""
        return (Feature("tool/lag", 3, "m", "commanded position minus position", 0.0, 0.02, 0.2),)

    def pose_values(self, robot: Robot, tool: ToolState, target: Target) -> Sequence[float]:
        """Read the physical values of :attr:`pose_features`."""
        (x, y, z), (tx, ty, tz) = tool.position, target.position
        return (tx - x, ty - y, tz - z)

    @abstractmethod
    def validate(self, action: Any) -> list[float]:
        """Return an action as a list of ``action_size`` numbers, displacements clipped to [-1, 1].

        Raises:
            ValueError: The action is not finite, or has a wrong shape or type.
        """

    @abstractmethod
    def compute_target(self, numbers: Sequence[float], target: Target, tool: ToolState, robot: Robot) -> Target:
        """Apply an action.

        Args:
            numbers: What :meth:`validate` returned.
            target: What the robot was told before.
            tool: Where the tool is.
            robot: Whose kinematics count.

        Returns:
            What the robot is told now.
        """

    @abstractmethod
    def compute_action(self, command: ToolCommand, features: Features, robot: Robot) -> Any:
        """Return the action of :attr:`space` that brings the robot toward what is wanted, without swinging past it.

        Args:
            command: What is wanted.
            features: The scene, by name.
            robot: Whose kinematics count; where it is at the moment does not matter.
        """

    def width(self, opening: float) -> float:
        """The gripper's width in meters for an opening in [-1, 1]."""
        return (opening + 1.0) / 2 * self.max_width

    def opening(self, width: float) -> float:
        """The inverse of :meth:`width`, clipped."""
        return min(max(2.0 * width / self.max_width - 1.0, -1.0), 1.0)

"""Description of a robot as data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

from lam_envs.bullet.geometry import Vector3

# Margin by which Bullet enforces joint limits inside those of the URDF, radians: when the arm hits the
# table, a weak wrist exceeds its limit by up to 0.014.
STOP_MARGIN = 0.02
MIN_POSITIVE = 1e-3
"""Smallest valid opening (meters) and finger force (newtons)."""
MAX_TOOL_LENGTH_OFFSET = 0.05
"""Largest length offset of a tool, meters: with it, every arm reaches the poses at which episodes begin."""


@dataclass(frozen=True)
class RobotModel:
    """Description of a serial arm with a parallel gripper.

    Attributes:
        name: Name for ``gym.make(..., robot=name)``.
        physics_urdf: URDF with primitive collision shapes and without fixed joints. Pixel observations show these
            shapes.
        visual_urdf: URDF with full-detail meshes and the same joint names, for ``render()``.
        base: Position of the base, meters; z is the height of its plinth on the table. The robot faces the positive x
            axis.
        arm_joints: Names of the arm joints from base to hand. The last one moves the link that carries the hand.
        finger_joints: Names of the two prismatic finger joints; 0 is closed.
        home: Joint angles from which inverse kinematics start in every episode, radians.
        redundant_joint: Index of the arm joint that a tool pose does not determine; None if there is none.
        joint_margin: Distance of commanded joint angles from the joint limits, radians, at least 0.02.
        arm_forces: Largest torques of the motors, newton meters.
        tool_offset: Distance from the last arm joint to the point between the fingertips, along z, meters.
        hand_yaw: Angle about z from the x axis of the last link to that of the tool, radians.
        max_width: Largest opening of the gripper, meters.
        finger_force: Largest force of one finger, newtons.
        interpolate_targets: Move the targets of all joints together, so that the hand keeps its orientation and
            height in fast motions: in three equal parts of a control step, and scaled by one factor for all joints if
            one of them would turn too fast. Without it, a weak or nearly straight arm touches the table at the lowest
            height. Recommended; False reproduces the published episodes of the Panda.
        version: Increase it when episodes with the robot change: its results and datasets are then outdated.
        tool_length_offset: Length by which the fingers are longer than ``tool_offset`` describes, meters, 0 to 0.05.
            The keyword of environments sets it.

    Raises:
        TypeError: A description is not a path.
        ValueError: ``home`` or ``arm_forces`` does not have one number for each arm joint, or a number is out of
            range.
    """

    name: str
    physics_urdf: Path
    visual_urdf: Path
    base: Vector3
    arm_joints: tuple[str, ...]
    finger_joints: tuple[str, str]
    home: tuple[float, ...]
    redundant_joint: int | None
    joint_margin: float
    arm_forces: tuple[float, ...]
    tool_offset: float
    hand_yaw: float
    max_width: float
    finger_force: float
    interpolate_targets: bool = False
    version: int = 1
    tool_length_offset: float = 0.0

    def __post_init__(self) -> None:
        """Check types, lengths and ranges."""
        for field, path in (("physics_urdf", self.physics_urdf), ("visual_urdf", self.visual_urdf)):
            if not isinstance(path, Path):
                raise TypeError(f"{field} of the robot {self.name!r} is {path!r}; expected a pathlib.Path")
        count = len(self.arm_joints)
        for field, numbers in (("home", self.home), ("arm_forces", self.arm_forces)):
            if len(numbers) != count:
                raise ValueError(
                    f"{field} of the robot {self.name!r} has {len(numbers)} numbers; expected {count}, one for each "
                    "joint of the arm"
                )
        if self.redundant_joint is not None and self.redundant_joint not in range(count):
            raise ValueError(
                f"redundant_joint of the robot {self.name!r} is {self.redundant_joint!r}; expected None or 0 to "
                f"{count - 1}"
            )
        for field, number, lowest in (
            ("joint_margin", self.joint_margin, STOP_MARGIN),
            ("max_width", self.max_width, MIN_POSITIVE),
            ("finger_force", self.finger_force, MIN_POSITIVE),
        ):
            if not lowest <= number < math.inf:
                raise ValueError(f"{field} of the robot {self.name!r} is {number!r}; expected at least {lowest:g}")
        offset = self.tool_length_offset
        if isinstance(offset, bool) or not isinstance(offset, Real) or not 0.0 <= offset <= MAX_TOOL_LENGTH_OFFSET:
            raise ValueError(
                f"tool_length_offset is {offset!r}; expected a length from 0 to {MAX_TOOL_LENGTH_OFFSET:g} meters"
            )

    def with_tool_length_offset(self, offset: float) -> RobotModel:
        """Return the robot with a tool whose length differs from the one that the controller has.

        Args:
            offset: Length by which the fingers are longer, meters, 0 to 0.05; 0 returns the robot itself.

        Raises:
            ValueError: The offset is not in this range.
        """
        changed = replace(self, tool_length_offset=offset)
        return replace(changed, tool_length_offset=float(offset)) if offset else self

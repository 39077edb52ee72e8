"""Controls: the meaning of actions, and the actions that reach a tool pose.

A control converts an action into a :class:`Target` for the arm joints and the gripper. Its inverse converts a desired
tool pose (:class:`ToolCommand`) into the action that brings the tool nearest to this pose in one step. Experts return
tool poses, so one expert works with every control and every robot.
A new control is a file in this folder and an entry of ``CONTROLS``.
"""

from __future__ import annotations

from lam_envs.control.cartesian import WORKSPACE_HIGH, WORKSPACE_LOW
from lam_envs.control.control import Control, Target, ToolCommand
from lam_envs.control.discrete import DiscreteControl
from lam_envs.control.end_effector import EndEffectorControl, EndEffectorYawControl
from lam_envs.control.joint import JointControl

CONTROLS: dict[str, type[Control]] = {
    control.name: control for control in (EndEffectorControl, EndEffectorYawControl, JointControl, DiscreteControl)
}
"""Controls by name."""

__all__ = ["CONTROLS", "WORKSPACE_HIGH", "WORKSPACE_LOW", "Control", "Target", "ToolCommand"]

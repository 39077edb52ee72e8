"""Action spaces: what an action means, and which action does what is wanted.

A control turns an action into a :class:`Target` for the arm's joints and the gripper, and its inverse turns a
wanted tool pose (:class:`ToolCommand`) into the action that brings the tool nearest to it in one step. Experts only
speak of tool poses, so one expert serves every control and every robot.
A new control is one file of this folder and one line in its table.
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
"""The table of controls."""

__all__ = ["CONTROLS", "WORKSPACE_HIGH", "WORKSPACE_LOW", "Control", "Target", "ToolCommand"]

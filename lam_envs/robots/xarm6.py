"""UFACTORY xArm 6: six joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

from lam_envs.robots.model import RobotModel

_ASSETS = Path(__file__).parents[1] / "assets"

XARM6 = RobotModel(
    name="xarm6",
    physics_urdf=_ASSETS / "xarm6.urdf",
    visual_urdf=_ASSETS / "xarm6_visual.urdf",
    # On a plinth and nearer to the table's center than the others: the arm is short.
    base=(0.08, 0.0, 0.15),
    arm_joints=tuple(f"joint{number}" for number in range(1, 7)),
    finger_joints=("finger_joint1", "finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(0.0, -0.0302, -0.7666, 0.0, 0.7968, 0.0),
    redundant_joint=None,
    joint_margin=0.05,
    # Largest torques of the manufacturer's model, N m.
    arm_forces=(50.0, 50.0, 32.0, 32.0, 32.0, 20.0),
    # The fingertip center of the xArm gripper, from the flange (manufacturer's data sheet).
    tool_offset=0.172,
    hand_yaw=0.0,
    max_width=0.084,
    # As the Panda's: the pads and the objects are the same.
    finger_force=20.0,
    interpolate_targets=True,
    version=2,
)

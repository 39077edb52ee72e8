"""KUKA LBR iiwa: seven joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

from lam_envs.robots.model import RobotModel

_ASSETS = Path(__file__).parents[1] / "assets"

IIWA = RobotModel(
    name="iiwa",
    physics_urdf=_ASSETS / "iiwa.urdf",
    visual_urdf=_ASSETS / "iiwa_visual.urdf",
    # On a low plinth and a little behind the Panda's base: joint 4 bends to 120 degrees, and the workspace is between
    # the poses in which it is bent most and in which the arm is straight.
    base=(-0.075, 0.0, 0.07),
    arm_joints=tuple(f"lbr_iiwa_joint_{number}" for number in range(1, 8)),
    finger_joints=("finger_joint1", "finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(0.0, 0.6709, 0.0, -1.5685, 0.0, 0.9022, 0.0),
    # Joint 3 is redundant: a tool pose does not determine it.
    redundant_joint=2,
    joint_margin=0.02,
    # Nominal torques of the iiwa 7, the weaker of the two models, N m. The public description has the lengths
    # of the iiwa 14 and one torque for all joints.
    arm_forces=(176.0, 176.0, 110.0, 110.0, 110.0, 40.0, 40.0),
    # Hand flange 0.045 m from joint 7, fingertip center of the gripper 0.135 m from the flange.
    tool_offset=0.18,
    # With joint 7 at zero, the last link's x axis points to the base.
    hand_yaw=3.14159265359,
    max_width=0.084,
    # As the Panda's: the pads and the objects are the same.
    finger_force=20.0,
    interpolate_targets=True,
    version=2,
)

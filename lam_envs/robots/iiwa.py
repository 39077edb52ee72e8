"""KUKA LBR iiwa: seven joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

from lam_envs.robots.robot import RobotModel

_ASSETS = Path(__file__).parents[1] / "assets"

IIWA = RobotModel(
    name="iiwa",
    physics_urdf=_ASSETS / "iiwa.urdf",
    pictures_urdf=_ASSETS / "iiwa_pictures.urdf",
    # On a low plinth and a little further back than the Panda: joint 4 bends to 120 degrees and no further, and the
    # working area lies between where it is bent most and where the arm is straight.
    base=(-0.075, 0.0, 0.07),
    arm_joints=tuple(f"lbr_iiwa_joint_{number}" for number in range(1, 8)),
    finger_joints=("finger_joint1", "finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(0.0, 0.6709, 0.0, -1.5685, 0.0, 0.9022, 0.0),
    # Joint 3 is the one that a tool pose leaves free: the seven-joint arm's redundancy.
    redundant_joint=2,
    joint_margin=0.02,
    # Nominal torques of the iiwa 7, the weaker of the two models, N m. The public description has the lengths
    # of the iiwa 14 and one torque for all joints.
    arm_forces=(176.0, 176.0, 110.0, 110.0, 110.0, 40.0, 40.0),
    # Hand flange 0.045 m from joint 7, fingertip centre of our gripper 0.135 m from the flange.
    tool_offset=0.18,
    # With joint 7 at zero, the last link's x axis points back at the base.
    hand_yaw=3.14159265359,
    max_width=0.084,
    # The Panda's: the pads and what they hold are the same.
    finger_force=20.0,
    interpolate_targets=True,
    version=2,
)

"""Franka Emika Panda: seven joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

import pybullet_data

from lam_envs.robots.model import RobotModel

PANDA = RobotModel(
    name="panda",
    physics_urdf=Path(__file__).parents[1] / "assets" / "panda.urdf",
    visual_urdf=Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf",
    base=(0.0, 0.0, 0.0),
    arm_joints=tuple(f"panda_joint{number}" for number in range(1, 8)),
    finger_joints=("panda_finger_joint1", "panda_finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(0.0, -0.042, 0.0, -2.334, 0.0, 2.293, 0.7854),
    # Joint 3 is redundant: a tool pose does not determine it.
    redundant_joint=2,
    joint_margin=0.05,
    # Nominal torques of the manufacturer's data sheet, N m.
    arm_forces=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    # Hand flange 0.107 m from joint 7, fingertip center 0.1034 m from the flange (manufacturer's data sheet).
    tool_offset=0.2104,
    # The hand is mounted on the flange with a rotation of 45 degrees.
    hand_yaw=0.785398163397,
    max_width=0.08,
    # With more the fingers penetrate the object; with less it slips in a fast lift.
    finger_force=20.0,
)

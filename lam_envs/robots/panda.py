"""Franka Emika Panda: seven joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

import pybullet_data

from lam_envs.robots.robot import RobotModel

PANDA = RobotModel(
    name="panda",
    physics_urdf=Path(__file__).parents[1] / "assets" / "panda.urdf",
    pictures_urdf=Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf",
    base=(0.0, 0.0, 0.0),
    arm_joints=tuple(f"panda_joint{number}" for number in range(1, 8)),
    finger_joints=("panda_finger_joint1", "panda_finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(0.0, -0.042, 0.0, -2.334, 0.0, 2.293, 0.7854),
    # Joint 3 is the one that a tool pose leaves free: the seven-joint arm's redundancy.
    redundant_joint=2,
    joint_margin=0.05,
    # Nominal torques of the maker's data sheet, N m.
    arm_forces=(87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0),
    # Hand flange 0.107 m from joint 7, fingertip centre 0.1034 m from the flange (maker's data sheet).
    tool_offset=0.2104,
    # The hand is mounted turned by 45 degrees on the flange.
    hand_yaw=0.785398163397,
    max_width=0.08,
    # More pushes the fingers into the object; less lets a fast lift slip.
    finger_force=20.0,
)

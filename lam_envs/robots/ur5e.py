"""Universal Robots UR5e: six joints and a parallel gripper."""

from __future__ import annotations

from pathlib import Path

from lam_envs.robots.model import RobotModel

_URDF = Path(__file__).parents[1] / "assets" / "ur5e.urdf"

UR5E = RobotModel(
    name="ur5e",
    physics_urdf=_URDF,
    # The shapes are the most detailed that we have: the manufacturer's meshes are not in PyBullet.
    visual_urdf=_URDF,
    # On a plinth, so that the hand, whose wrist is 0.33 m above the fingertips, reaches far at every height.
    base=(-0.05, 0.0, 0.2),
    arm_joints=(
        "shoulder_pan_joint",
        "shoulder_lift_joint",
        "elbow_joint",
        "wrist_1_joint",
        "wrist_2_joint",
        "wrist_3_joint",
    ),
    finger_joints=("finger_joint1", "finger_joint2"),
    # The elbow-up pose with the tool 25 cm above the middle of the table, pointing down.
    home=(-0.2448, -1.2013, 1.9755, -2.345, -1.5708, -1.8156),
    redundant_joint=None,
    joint_margin=0.05,
    # Largest torques (manufacturer's data sheet), N m.
    arm_forces=(150.0, 150.0, 150.0, 28.0, 28.0, 28.0),
    # The fingertip center of the gripper, from the flange.
    tool_offset=0.135,
    hand_yaw=0.0,
    max_width=0.084,
    # As the Panda's: the pads and the objects are the same.
    finger_force=20.0,
    interpolate_targets=True,
)

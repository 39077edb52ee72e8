"""The table of robots. A new robot is one file here and one line in the table."""

from __future__ import annotations

from lam_envs.robots.panda import PANDA
from lam_envs.robots.robot import Robot, RobotModel

ROBOTS: dict[str, RobotModel] = {"panda": PANDA}

__all__ = ["PANDA", "ROBOTS", "Robot", "RobotModel"]

"""Robots by name. A new robot is a file in this folder and an entry of ``ROBOTS``."""

from __future__ import annotations

from lam_envs.robots.iiwa import IIWA
from lam_envs.robots.model import RobotModel
from lam_envs.robots.panda import PANDA
from lam_envs.robots.robot import Robot
from lam_envs.robots.ur5e import UR5E
from lam_envs.robots.xarm6 import XARM6

ROBOTS: dict[str, RobotModel] = {"panda": PANDA, "xarm6": XARM6, "iiwa": IIWA, "ur5e": UR5E}

__all__ = ["IIWA", "PANDA", "ROBOTS", "UR5E", "XARM6", "Robot", "RobotModel"]

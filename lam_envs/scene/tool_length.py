"""Conversions between real fingertips and the tool that the controller has, with a ``tool_length_offset``.

The conversions are exact while the tool points down.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lam_envs.bullet.geometry import Vector3
from lam_envs.control import Control, ToolCommand
from lam_envs.observation import Features
from lam_envs.scene.scene import Scene


def fingertip_values(control: Control, scene: Scene) -> list[float]:
    """Return the values of the robot's features for the real fingertips.

    The lag is that of the controller: position plus lag is the position to which it moves the real fingertips.
    """
    offset = scene.robot.model.tool_length_offset
    target = replace(scene.target, position=_raised(scene.target.position, -offset))
    return control.values(scene.robot, scene.fingertips, scene.gripper, target)


def to_controller(command: ToolCommand, features: Features, offset: float) -> tuple[ToolCommand, Features]:
    """Return a command for the real fingertips, and their features, as those of the controller's tool.

    Args:
        command: Desired pose of the fingertips.
        features: Features with their position.
        offset: Length by which the tool of the controller is too short, meters.
    """
    position = features["tool/position"] + np.array([0.0, 0.0, offset])
    return replace(command, position=_raised(command.position, offset)), {**features, "tool/position": position}


def _raised(position: Vector3, height: float) -> Vector3:
    x, y, z = position
    return (x, y, z + height)

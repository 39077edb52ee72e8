"""Expert for Drawer."""

from __future__ import annotations

import math

import numpy as np

from demos.experts.expert import COMMAND
from demos.experts.moves import (
    ALIGNED,
    AT_GRIP,
    CLEARANCE,
    CLOSED,
    NEAR,
    OPEN,
    OPEN_ENOUGH,
    funnel,
    is_closing,
)
from lam_envs import ToolCommand
from lam_envs.observation import Features

END = (0.155, 0.005)
"""Opening to move the drawer to, by command (open, close), meters: half a centimeter before the stop."""
ENOUGH = 0.018
"""Distance from it at which the gripper releases the handle, meters."""
GOOD_ENOUGH = 0.023
"""Distance from it at which the tool does not grasp the handle again, meters: within the mark."""
RELEASE_SPEED = 0.05
"""Largest speed of the drawer at which the gripper releases the handle, meters per second."""
ABOVE = 0.03
"""Height above the grip from which the fingers are off the handle, meters."""
GRASP_DISTANCE = 0.015
"""Largest distance of the grip from the tool on each axis while the fingers hold the handle, meters."""
GRASP_WIDTH = (0.01, 0.035)
"""Opening of fingers that hold the handle, meters: a turned handle is wider."""
COMMANDED_TO_CLOSE = 0.03
"""Commanded opening below which the gripper is closing or closed, meters."""


class DrawerExpert:
    """Grasp the handle, slide the drawer along its axis, release the handle, rise."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        missing = END[int(features[COMMAND][0])] - features["drawer/opening"].item()
        x, y, z = features["tool/position"].tolist()
        handle_z = features["handle/position"][2].item()
        yaw = features["cabinet/yaw"].item()
        grasped = is_grasped(features)
        is_slow = abs(features["drawer/velocity"].item()) <= RELEASE_SPEED
        if abs(missing) <= (ENOUGH if grasped else GOOD_ENOUGH) and (is_slow or not grasped):
            # Open the gripper, then rise.
            is_free = z > handle_z + ABOVE or features["gripper/touch"].max() < 0.5
            return ToolCommand((x, y, handle_z + CLEARANCE if is_free else z), OPEN, yaw)
        if grasped:
            # The drawer opens toward the negative x axis of the cabinet.
            return ToolCommand((x - missing * math.cos(yaw), y - missing * math.sin(yaw), handle_z), CLOSED, yaw)
        return reach_for_handle(features)


def is_grasped(features: Features) -> bool:
    """Return True if the closed fingers have the handle between them.

    Both may not press it: the handle cannot move aside, and one finger takes all the force if the tool is off its
    middle.
    """
    least, most = GRASP_WIDTH
    return is_at_handle(features) and least <= features["gripper/width"].item() <= most and not is_closing(features)


def is_at_handle(features: Features) -> bool:
    """Return True if the handle is between the fingers, if they are open."""
    return bool(np.abs(features["handle/relative"]).max() <= GRASP_DISTANCE)


def reach_for_handle(features: Features) -> ToolCommand:
    """Move over the handle, descend in a funnel, and close the gripper."""
    x, y, z = features["handle/position"].tolist()
    tool_x, tool_y, tool_z = features["tool/position"].tolist()
    yaw = features["cabinet/yaw"].item()
    width = features["gripper/width"].item()
    # At the grip, or already closing around it: close.
    closes = features["gripper/target"].item() < COMMANDED_TO_CLOSE and width > GRASP_WIDTH[0]
    if math.dist((x, y, z), (tool_x, tool_y, tool_z)) <= AT_GRIP or (closes and is_at_handle(features)):
        return ToolCommand((x, y, z), CLOSED, yaw)
    # Low and beside the handle, or too narrow to enclose it: rise first.
    horizontal = math.hypot(x - tool_x, y - tool_y)
    if tool_z < z + CLEARANCE / 2 and (horizontal > NEAR or width < OPEN_ENOUGH):
        return ToolCommand((tool_x, tool_y, z + CLEARANCE), OPEN, yaw)
    height = CLEARANCE if width < OPEN_ENOUGH else funnel(horizontal, ALIGNED, CLEARANCE)
    return ToolCommand((x, y, z + height), OPEN, yaw)

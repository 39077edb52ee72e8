"""Expert for Conveyor."""

from __future__ import annotations

import math

from demos.experts.moves import (
    ALIGNED,
    AT_GRIP,
    BETWEEN_FINGERS,
    CLEARANCE,
    CLOSED,
    HOLDING_WIDTH,
    NEAR,
    OPEN,
    OPEN_ENOUGH,
    funnel,
    is_closing,
    is_held,
    nearest_face,
)
from lam_envs import ToolCommand
from lam_envs.observation import Features

LIFT_HEIGHT = 0.18
"""Height to lift the cube to, meters: 4 cm more than success needs."""
TOOL_SPEED = 0.4
"""Largest speed of the tool along each axis, meters per second."""
LEAD_TIME = 0.12
"""Time by which the commanded position of a moving tool is ahead of the tool, seconds."""
SLACK = 0.01
"""Largest offset along the belt that the grasp tolerates, meters: the fingers close in this direction and center the
cube. With discrete actions the tool mostly has an offset."""
MAX_SPEED = 0.25
"""Largest speed at which the tool follows the cube, meters per second. A faster cube was pushed and slows down."""


class ConveyorExpert:
    """Move to where the cube will be, descend while moving with it, close the gripper, lift."""

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        tool_x, tool_y, tool_z = features["tool/position"].tolist()
        if is_held(features):
            return ToolCommand((tool_x, tool_y, LIFT_HEIGHT), CLOSED)
        x, y, z = features["object/position"].tolist()
        speed = min(max(features["object/velocity"][1].item(), -MAX_SPEED), MAX_SPEED)
        lead = speed * LEAD_TIME
        yaw = nearest_face(features["object/rotation"].tolist())

        # At the grip: close, and move on with the cube.
        across, along = x - tool_x, max(abs(y - tool_y) - SLACK, 0.0)
        distance = math.hypot(across, along, z - tool_z)
        if distance <= AT_GRIP:
            return ToolCommand((x, y + lead, z), CLOSED, yaw)

        # The fingers are closing on the cube: move on with it.
        if distance <= BETWEEN_FINGERS and is_closing(features) and features["gripper/width"].item() > HOLDING_WIDTH:
            return ToolCommand((tool_x, tool_y + lead, tool_z), CLOSED, yaw)

        # Low and beside the cube: rise first, or the hand would push it away.
        horizontal = math.hypot(across, along)
        if horizontal > NEAR and tool_z < z + CLEARANCE / 2:
            return ToolCommand((tool_x, tool_y + lead, z + CLEARANCE), OPEN, yaw)

        # Otherwise move to where the cube will be, and descend in the funnel; stay above the cube until the fingers
        # are open.
        height = funnel(horizontal, ALIGNED, CLEARANCE)
        if features["gripper/width"].item() < OPEN_ENOUGH and tool_z > z + CLEARANCE / 2:
            height = CLEARANCE
        meeting = meeting_point(y, speed, tool_y, abs(across) / TOOL_SPEED)
        return ToolCommand((x, meeting + lead, z + height), OPEN, yaw)


def meeting_point(y: float, speed: float, tool_y: float, least: float) -> float:
    """Return the y at which the tool can meet the cube first, meters.

    Args:
        y: Position of the cube, meters.
        speed: Its speed, meters per second, below that of the tool.
        tool_y: Position of the tool, meters.
        least: Time that the tool needs along the other axes, seconds.
    """
    gap = y - tool_y
    closing = TOOL_SPEED - math.copysign(speed, gap * speed)
    return y + speed * max(abs(gap) / closing, least)

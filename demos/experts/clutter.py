"""Expert for Clutter."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from demos.experts.moves import CLOSED, is_closing, is_held
from lam_envs import ToolCommand
from lam_envs.control import WORKSPACE_HIGH, WORKSPACE_LOW
from lam_envs.observation import Features
from lam_envs.tasks.clutter.grasps import Grasp, find_grasps

Points = npt.NDArray[np.float64]

CARRY_HEIGHT = 0.13
"""Height to lift the lowest point of the object to, meters: 3 cm more than success needs."""
CLEARANCE = 0.03
"""Height of the tool above the highest object while it moves over the heap, meters."""
MAX_WIDTH = 0.078
"""Largest opening that the expert commands, meters: a little less than that of the smallest gripper."""
ALIGNED, SLOPE = 0.004, 8.0
"""Horizontal error that the descending fingers tolerate, meters, and the slope of the cone in which they descend."""
AT_GRIP = 0.007
"""Distance from the grip at which the fingers close, meters."""
STOPPED, MAX_STOP = 0.006, 0.018
"""Smallest lag of the descending tool that means that another object stops it, and largest height above the grip at
which the fingers then close, meters."""
STUCK = 0.02
"""Smallest lag of the descending tool that means that it is stuck on another object, meters."""
AT_REST, AT_REST_SPEED = 0.001, 0.005
"""Largest difference between two equal openings, meters, and largest speed of a tool at rest, meters per second."""
NOT_OPEN = 0.006
"""Largest difference from the opening of the grasp at which the tool descends, meters."""
NEAR = 0.015
"""Horizontal distance from the grip beyond which low fingers would push objects, meters."""
EMPTY = 0.004
"""Opening of closed fingers without an object between them, meters."""
DISTANCE_COST = 4.0
"""Cost of a grasp per meter of horizontal distance from the tool, so that the choice does not change on the way."""
BLOCKED = 4.0
"""Cost of a grasp above which the expert first takes another object away. It is high, because fingers that descend
between objects often push them aside."""
IN_THE_WAY, AWAY = 0.08, 0.13
"""Largest distance from the marked object of another one that is in the way, and distance at which the expert puts it
down, meters."""
IN_HAND = 0.03
"""Largest distance from the tool to the center of an object that it holds, meters."""
RELEASE_HEIGHT = 0.04
"""Height of the tool at which it puts down another object, meters."""


class ClutterExpert:
    """Choose the best antipodal grasp, move over it, descend between the other objects, close the gripper, lift.

    Where others are in the way of all grasps, it first takes the nearest one that it can grasp away. Grasps are
    planned in each step from the present poses and the shapes, see ``lam_envs/tasks/clutter/grasps.py``.
    """

    version = 1

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`. The features include ``ManipulationEnv.geometry``."""
        x, y, z = features["tool/position"].tolist()
        lowest = (features["object/position"] + features["object/low"])[2].item()
        if is_held(features):
            return ToolCommand((x, y, z + CARRY_HEIGHT - lowest), CLOSED)
        if _is_commanded_closed(features) and is_closing(features):
            return ToolCommand((x, y, z), CLOSED)

        surfaces = {name: _surface(features, name) for name in _present(features)}
        top = max(float(surface[:, 2].max()) for surface in surfaces.values())
        if held := _held_other(features, surfaces):
            return _carry_away(features, surfaces, held)
        grasp = _choose(features, surfaces, "object")
        if grasp is None or grasp.cost > BLOCKED:
            grasp = _removal(features, surfaces) or grasp
        if grasp is None:
            x, y, _ = features["object/position"].tolist()
            return ToolCommand((x, y, top + CLEARANCE), MAX_WIDTH)
        return _reach(features, grasp, top + CLEARANCE)


def _reach(features: Features, grasp: Grasp, above: float) -> ToolCommand:
    """Move over a grasp, descend, and close the gripper.

    Args:
        features: Features of the scene.
        grasp: The grasp.
        above: Height of the tool above the heap, meters.
    """
    x, y, z = grasp.position
    tool_x, tool_y, tool_z = features["tool/position"].tolist()
    horizontal = math.hypot(x - tool_x, y - tool_y)

    # At the grip, or stopped above it by another object: close. The fingers center the object.
    lag = _lag(features)
    is_stopped = lag < -STOPPED and tool_z - z <= MAX_STOP
    is_at_grip = horizontal <= AT_GRIP and (is_stopped or abs(tool_z - z) <= AT_GRIP)
    if is_at_grip and not _is_commanded_closed(features):
        return ToolCommand((tool_x, tool_y, tool_z), CLOSED)

    # Stopped higher: open the fingers, which spread what they press.
    if lag < -STUCK and horizontal <= NEAR:
        return ToolCommand((x, y, z), MAX_WIDTH)

    # Low and beside the grip, or not open: rise first.
    is_low = tool_z < above - 0.01
    width, target = features["gripper/width"].item(), features["gripper/target"].item()
    is_open = abs(width - grasp.width) <= NOT_OPEN
    # A control without intermediate openings: take the widest one.
    if target > MAX_WIDTH + AT_REST or (horizontal <= ALIGNED and abs(target - grasp.width) > NOT_OPEN):
        is_open = width >= grasp.width - NOT_OPEN and width > target - NOT_OPEN
        grasp = grasp._replace(width=MAX_WIDTH)
    if is_low and (horizontal > NEAR or not is_open):
        return ToolCommand((tool_x, tool_y, above), grasp.width)

    # Otherwise descend; stay above the heap until the fingers are open.
    height = min(max((horizontal - ALIGNED) * SLOPE, 0.0), above - z) if is_open else above - z
    return ToolCommand((x, y, z + height), grasp.width)


def _choose(features: Features, surfaces: dict[str, Points], name: str) -> Grasp | None:
    """Return the best grasp of an object, or a near one that is about as good."""
    others = np.concatenate([np.empty((0, 3)), *(points for other, points in surfaces.items() if other != name)])
    normals = features[f"{name}/normals"] @ _rotation(features, name)
    grasps = find_grasps(surfaces[name], normals, features[f"{name}/position"].tolist(), others, MAX_WIDTH)
    x, y, _ = features["tool/position"].tolist()
    return min(
        grasps,
        key=lambda grasp: grasp.cost + DISTANCE_COST * math.hypot(grasp.position[0] - x, grasp.position[1] - y),
        default=None,
    )


def _removal(features: Features, surfaces: dict[str, Points]) -> Grasp | None:
    """Return a grasp of the nearest other object that is in the way and can be grasped; None if there is none."""
    center = features["object/position"]
    distances = {name: math.dist(features[f"{name}/position"], center) for name in surfaces if name != "object"}
    for name in sorted(distances, key=lambda name: distances[name]):
        grasp = _choose(features, surfaces, name) if distances[name] < IN_THE_WAY else None
        if grasp is not None and grasp.cost < 1.0:
            return grasp
    return None


def _held_other(features: Features, surfaces: dict[str, Points]) -> str | None:
    """Return the name of the other object that the gripper holds."""
    if not _is_commanded_closed(features) or features["gripper/touch"].max() > 0.5:
        return None
    if features["gripper/width"].item() <= EMPTY:
        return None
    tool = features["tool/position"]
    distances = {name: math.dist(features[f"{name}/position"], tool) for name in surfaces}
    nearest = min(distances, key=lambda name: distances[name])
    return nearest if nearest != "object" and distances[nearest] <= IN_HAND else None


def _carry_away(features: Features, surfaces: dict[str, Points], held: str) -> ToolCommand:
    """Lift another object over the heap, carry it away from the marked one, and release it."""
    x, y, z = features["tool/position"].tolist()
    center = features["object/position"]
    dx, dy = x - center[0].item(), y - center[1].item()
    distance = math.hypot(dx, dy)
    top = max(float(points[:, 2].max()) for name, points in surfaces.items() if name != held)
    lowest = float(surfaces[held][:, 2].min())
    if distance >= AWAY - 0.01:
        return ToolCommand((x, y, RELEASE_HEIGHT), CLOSED if z > RELEASE_HEIGHT + AT_GRIP else MAX_WIDTH)
    height = z + top + 0.01 - lowest
    if lowest < top:
        return ToolCommand((x, y, height), CLOSED)
    far = AWAY / max(distance, 1e-3)
    return ToolCommand(
        (
            min(max(center[0].item() + far * dx, WORKSPACE_LOW[0]), WORKSPACE_HIGH[0]),
            min(max(center[1].item() + far * dy, WORKSPACE_LOW[1]), WORKSPACE_HIGH[1]),
            height,
        ),
        CLOSED,
    )


def _lag(features: Features) -> float:
    """Return how far the tool is behind its commanded height, meters; estimated where no feature has it."""
    if "tool/lag" in features:
        return float(features["tool/lag"][2])
    return -2 * STOPPED if abs(features["tool/velocity"][2].item()) < AT_REST_SPEED else 0.0


def _is_commanded_closed(features: Features) -> bool:
    return features["gripper/target"].item() < EMPTY


def _present(features: Features) -> list[str]:
    """Return the names of the objects that this heap has."""
    return [name.partition("/")[0] for name in features if name.endswith("/surface")]


def _surface(features: Features, name: str) -> Points:
    """Return points on the surface of an object in world coordinates."""
    points: Points = features[f"{name}/surface"] @ _rotation(features, name) + features[f"{name}/position"]
    return points


def _rotation(features: Features, name: str) -> Points:
    """Return the transposed rotation matrix of an object."""
    (a, b, c), (d, e, f) = features[f"{name}/rotation"].reshape(2, 3).tolist()
    return np.array([(a, b, c), (d, e, f), (b * f - c * e, c * d - a * f, a * e - b * d)])

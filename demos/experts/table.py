"""Expert for Table, composed of those for Grasp, Push and Drawer and of the moves of Stack and PickPlace."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from demos.experts.drawer import DrawerExpert
from demos.experts.expert import COMMAND
from demos.experts.grasp import GraspExpert
from demos.experts.moves import (
    CLEARANCE,
    CLOSED,
    OPEN,
    funnel,
    is_closing,
    is_held,
    move_held_object,
    reach_for,
)
from demos.experts.push import PushExpert
from lam_envs import ToolCommand
from lam_envs.observation import Command, Features
from lam_envs.tasks.drawer import GRIP
from lam_envs.tasks.table import commands as verbs
from lam_envs.tasks.table.commands import CUBES, OBJECTS, SLAB, SQUARE, names_of
from lam_envs.tasks.table.goals import destination, is_placed, push_distance
from lam_envs.tasks.table.layout import EDGE, HEIGHT, SLAB_EDGE, Layout, Thing

DRAWER_OPEN = 0.125
"""Opening from which on the drawer takes a cube, meters."""
HANDLE_CLEARANCE = 0.03
"""Height above the grip of the handle from which on the hand is off it, meters."""
AROUND = (0.045, 0.05)
"""Distances along x and y within which an object is in or under the open hand, meters."""
AJAR = 0.03
"""Opening of the gripper from which on something may be between the fingers, meters."""
CLEAR = 0.02
"""Height of the tool above an object from which on the hand is off it, meters."""
TRAVEL = 0.02
"""Height of a carried cube above the other objects, meters."""
NEAR = 0.05
"""Horizontal distance from the goal beyond which a low cube rises first, meters."""
TOLERANCE = 0.005
"""Horizontal error at which a carried cube may descend, meters."""
RELEASE_SPEED = 0.04
"""Largest speed at which the gripper releases a cube, meters per second."""
ON_OBJECT, ON_TABLE, INTO = (0.01, 0.004), (0.012, 0.004), (0.02, 0.012)
"""Horizontal and vertical distances from the goal at which the gripper releases a cube on another one, on the table,
and over bin or drawer, meters."""
SUPPORTED = 0.005
"""Height of an object above what is under it at which the gripper releases it, meters."""
FALLING = 0.05
"""Largest distance on each axis of a cube that the hand is releasing, meters."""
PUSH_HEIGHT = {"cube": 0.018, SLAB: 0.026}
"""Height of the tool while it pushes, meters: low, or a cube would tip over."""
WEDGED, TILTED, LOW = 0.008, 0.003, 0.036
"""Opening from which on a corner of the pushed object is wedged between the closed fingers, height above its rest
from which on it is tilted, and height of the tool below which the fingers push, meters."""
SAG_GAIN = 2.0
"""Correction of the height of fingers that what they push presses down, as a fraction of the error."""
PUSH_MARGIN = 0.022
"""Distance within the largest gap to which an object is pushed next to another one, meters. Pushes end up to 10 mm
short."""
PASSING = 0.04
"""Height of the closed fingers above all objects while they move to the start of a push, meters."""


class TableExpert:
    """Do what the command says: lift, carry, push, stack, open or close."""

    version = 2
    _grasp, _drawer = GraspExpert(), DrawerExpert()

    def act(self, features: Features) -> ToolCommand:
        """See :class:`demos.experts.expert.Expert`."""
        verb, first, second = (int(number) for number in features[COMMAND])
        command = (verb, first, second)
        layout = _layout(features)
        one, _ = names_of(command)
        held = next((name for name in CUBES if _is_held(features, name)), None)
        # A stack, a push and a carry begin with a free hand.
        slides = verb in (verbs.OPEN, verbs.CLOSE)
        is_open = features["drawer/opening"].item() >= DRAWER_OPEN
        first_opens = verb == verbs.DRAWER and not is_open and one not in layout.contents()
        if held is not None and (held != one or first_opens or verb == verbs.PUSH):
            return _put_down(features, layout, held)
        if slides or first_opens:
            if (command_ := _leave(features, layout, None)) is not None:
                return command_
            end = 1.0 if verb == verbs.CLOSE else 0.0
            touch = features["drawer/touch"]
            return self._drawer.act({**features, "gripper/touch": touch, COMMAND: np.array([end])})
        if (command_ := _leave(features, layout, one)) is not None:
            return command_
        seen = _view(features, str(one))
        if verb == verbs.LIFT:
            return self._grasp.act(seen)
        if verb == verbs.PUSH:
            return _push(seen, layout, command)
        return _place(seen, layout, command)


def _place(features: Features, layout: Layout, command: Command) -> ToolCommand:
    """Carry the cube to where the command says, and release it there."""
    one = str(names_of(command)[0])
    thing = layout.things[one]
    goal = destination(layout, command)
    x, y, z = (end - now for end, now in zip(goal, thing.position, strict=True))
    distance = math.hypot(x, y)
    held = is_held(features)
    if is_placed(layout, command) and (not held or distance <= ON_TABLE[0]):
        return _release(features, thing)
    near, level = ON_OBJECT if command[0] == verbs.STACK else ON_TABLE
    if command[0] in (verbs.BIN, verbs.DRAWER):
        near, level = INTO
    is_slow = math.hypot(*features["object/velocity"]) <= RELEASE_SPEED
    if distance <= near and abs(z) <= level and (is_slow or not held):
        return _release(features, thing)
    if not held:
        return reach_for(features)
    travel = _highest(layout, one) + thing.rise + TRAVEL
    if command[0] == verbs.DRAWER:
        travel = max(travel, layout.cabinet[2] + thing.rise + 2 * TRAVEL)
    rise = max(travel - goal[2], TRAVEL)
    if distance > NEAR and z + rise > TRAVEL / 2:
        # Rise first, or the cube would push others aside.
        return move_held_object(features, (0.0, 0.0, z + rise + TRAVEL / 2))
    height = rise if distance > NEAR else funnel(distance, TOLERANCE, rise)
    return move_held_object(features, (x, y, z + height))


def _push(features: Features, layout: Layout, command: Command) -> ToolCommand:
    one = str(names_of(command)[0])
    thing = layout.things[one]
    relative = _remaining_push(layout, command)
    height = PUSH_HEIGHT.get(one, PUSH_HEIGHT["cube"])
    travel = _highest(layout, "") + PASSING
    x, y, z = features["tool/position"].tolist()
    is_tilted = np.abs(features["object/angular_velocity"]).max() < 1.0 and relative[2] < -TILTED
    if (features["gripper/width"].item() > WEDGED or is_tilted) and z < LOW:
        # Pull the fingers out, and begin again.
        ux, uy, _ = (relative / max(math.hypot(*relative[:2].tolist()), 1e-6)).tolist()
        return ToolCommand((x - 0.03 * ux, y - 0.03 * uy, z + 0.03), CLOSED)
    height += SAG_GAIN * max(height - z, 0.0)
    return PushExpert(thing.half, height, travel).act({**features, "goal/relative": relative})


def _remaining_push(layout: Layout, command: Command) -> npt.NDArray[np.float64]:
    """Return the vector along which the object of a command has to be pushed, meters, shape (3,)."""
    one, other = names_of(command)
    thing = layout.things[str(one)]
    relative: npt.NDArray[np.float64] = np.array(destination(layout, command)) - np.array(thing.position)
    if other != SQUARE:
        target = layout.things[str(other)]
        toward = np.array(target.position[:2]) - np.array(thing.position[:2])
        away = max(float(np.hypot(toward[0], toward[1])), 1e-6)
        remaining = max(away - push_distance(thing.half, target.half) + PUSH_MARGIN, 0.0)
        relative[:2] = toward * remaining / away
    return relative


def _release(features: Features, thing: Thing) -> ToolCommand:
    """Open the gripper, then rise above the cube."""
    x, y, z = features["tool/position"].tolist()
    if features["gripper/touch"].max() < 0.5:
        z = max(thing.position[2] + CLEARANCE, z)
    return ToolCommand((x, y, z), OPEN)


def _put_down(features: Features, layout: Layout, name: str) -> ToolCommand:
    """Put a held object down where it is, and rise."""
    thing = layout.things[name]
    missing = layout.support(name) + thing.rise - thing.position[2]
    if missing >= -SUPPORTED:
        return _release(_view(features, name), thing)
    return move_held_object(features, (0.0, 0.0, missing - SUPPORTED / 2))


def _leave(features: Features, layout: Layout, one: str | None) -> ToolCommand | None:
    """Open the gripper and rise if the hand is around something that the command is not about; else None.

    Args:
        features: Features of the scene.
        layout: Where everything is.
        one: Object that the command is about; None for the drawer.
    """
    if one is not None and _is_held(features, one):
        return None
    x, y, z = features["tool/position"].tolist()
    nearest = math.inf if one is None else math.dist(layout.things[one].position[:2], (x, y))
    for name, thing in layout.things.items() if features["gripper/width"].item() > AJAR else ():
        dx, dy = abs(thing.position[0] - x), abs(thing.position[1] - y)
        more = thing.half - EDGE / 2
        is_around = dx < AROUND[0] + more and dy < AROUND[1] + more and z < thing.top + CLEAR
        if name != one and is_around and math.hypot(dx, dy) < nearest:
            return ToolCommand((x, y, z + 0.05), OPEN)
    if one is None:
        return None
    hx, hy, hz = features["handle/relative"].tolist()
    if max(abs(hx), abs(hy)) < AROUND[0] and hz > -HANDLE_CLEARANCE:
        is_free = features["drawer/touch"].max() < 0.5
        return ToolCommand((x, y, z + 0.05 if is_free else z), OPEN)
    along, across, above = layout.in_drawer((x, y, z))
    is_in_drawer = -0.03 < along < 0.2 and abs(across) < 0.13 and above < 0.05
    if is_in_drawer and np.abs(features[f"{one}/relative"]).max() > FALLING:
        return ToolCommand((x, y, z + 0.05), OPEN)
    return None


def _highest(layout: Layout, name: str) -> float:
    """Return the height of the highest other object, meters."""
    return max(thing.top for key, thing in layout.things.items() if key != name)


def _is_held(features: Features, name: str) -> bool:
    return bool(features[f"{name}/touch"].min() > 0.5) and not is_closing(features)


def _view(features: Features, name: str) -> Features:
    """Return the features with an object in the role of the only one."""
    renamed = {
        f"object/{quantity}": features[f"{name}/{quantity}"]
        for quantity in ("position", "relative", "rotation", "velocity", "angular_velocity")
    }
    return {**features, **renamed, "gripper/touch": features[f"{name}/touch"]}


def _layout(features: Features) -> Layout:
    """Return where everything is."""
    present = [name for name in OBJECTS if name == SLAB or features[f"{name}/present"].item() > 0.5]
    # All objects have the same height, which the lowest one shows.
    low, high = 0.7 * HEIGHT / 2, 1.3 * HEIGHT / 2
    rise = min(max(min(features[f"{name}/position"][2].item() for name in present), low), high)
    things = {}
    for name in present:
        cosine, sine = features[f"{name}/rotation"][:2].tolist()
        edge = SLAB_EDGE if name == SLAB else EDGE
        x, y, z = features[f"{name}/position"].tolist()
        things[name] = Thing((x, y, z), math.atan2(sine, cosine), edge / HEIGHT * rise, rise)
    bx, by, _ = features["bin/position"].tolist()
    return Layout(things, (bx, by), _cabinet(features), features["drawer/opening"].item())


def _cabinet(features: Features) -> tuple[float, float, float, float]:
    """Return the pose of the cabinet, from that of the handle."""
    x, y, z = features["handle/position"].tolist()
    yaw = features["cabinet/yaw"].item()
    out = features["drawer/opening"].item() - GRIP[0]
    return (x + out * math.cos(yaw), y + out * math.sin(yaw), z - GRIP[2], yaw)

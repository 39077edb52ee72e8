"""Table: one scene with many objects, where the instruction alone says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.articulated import ArticulatedBody, Articulation, JointState
from lam_envs.bullet.bodies import Part
from lam_envs.bullet.geometry import Motion, Vector3
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.drawer import CLEAR, GRIP, OBJECT, TOLERANCE, TRAVEL, add_drawer
from lam_envs.tasks.drawer import STILL_SPEED as DRAWER_STILL
from lam_envs.tasks.goals.one_goal import OneGoal
from lam_envs.tasks.objects import (
    FAR,
    FAST,
    LOST,
    STILL_SPEED,
    clip,
    difference,
    distance,
    moves_with_hand,
    nearness,
    object_features,
    object_values,
    resting_at,
    speed,
)
from lam_envs.tasks.table import commands as words
from lam_envs.tasks.table import layout as places
from lam_envs.tasks.table.commands import (
    BIN,
    CLOSE,
    COLORS,
    CUBES,
    DRAWER,
    LIFT,
    OBJECTS,
    OPEN,
    PUSH,
    SLAB,
    SQUARE,
    STACK,
    TARGETS,
    VERBS,
    by_verb,
    chosen_commands,
    names_of,
)
from lam_envs.tasks.table.layout import EDGE, HEIGHT, SLAB_EDGE, Layout, Thing
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation

MASS, SLAB_MASS, FRICTION = 0.1, 0.2, 1.0
"""Kilograms, and friction coefficient."""
LIFTED = 0.1
"""Height of a cube above its height at rest that counts as lifted, meters."""
FLAT = 0.008
"""Largest distance from the height at rest that counts as lying on the table, meters."""
ALIGNED, RESTING = 0.015, 0.005
"""Largest horizontal and vertical distances of a cube from its place on another one, meters."""
ANY = 1.0
"""Tolerance where a number does not count, meters."""
MAX_CHAIN = 20
"""Largest number of successive commands."""
ABSENT_X = 1.5
"""Position along x from which on a cube is parked on the floor, meters."""
BIN_NAME = "bin"


def _thing_features(name: str) -> tuple[Feature, ...]:
    noun = name.replace("_", " ")
    features = [Feature(f"{name}/touch", 2, "1", "1 where a finger presses it, left and right", 0.5, 0.5, 0.5, False)]
    if name in CUBES:
        features.insert(0, Feature(f"{name}/present", 1, "1", f"1 if there is a {noun}", 0.5, 0.5, 0.5, noisy=False))
    return (*features, *object_features(noun, name))


class Table(Task):
    """Do what the instruction says, with cubes, a slab, a bin and a drawer.
    """

    name = "table"
    version = 1
    features = (
        *(feature for name in OBJECTS for feature in _thing_features(name)),
        Feature("bin/position", 3, "m", "middle of the bin's foot", (0.5, 0.0, 0.1), 0.2, 2.0),
        Feature("bin/relative", 3, "m", "bin minus tool position", 0.0, 0.1, 2.0),
        Feature("drawer/touch", 2, "1", "1 where a finger presses it, left and right", 0.5, 0.5, 0.5, noisy=False),
        Feature("handle/position", 3, "m", "grip of the handle", (0.5, 0.0, 0.13), 0.2, 2.0),
        Feature("handle/relative", 3, "m", "handle minus tool position", 0.0, 0.1, 2.0),
        Feature("drawer/opening", 1, "m", "opening of the drawer", 0.08, 0.08, 0.4),
        Feature("drawer/velocity", 1, "m/s", "speed of the opening", 0.0, 0.4, 4.0),
        Feature("cabinet/yaw", 1, "rad", "yaw of the cabinet; the drawer opens toward the arm at 0", 0.0, 0.3, 3.2),
    )
    command_high = (len(VERBS) - 1, len(OBJECTS) - 1, len(TARGETS) - 1)
    movable_objects = (*OBJECTS, BIN_NAME)
    articulated_objects: ClassVar[dict[str, tuple[tuple[float, float]]]] = {OBJECT: ((0.0, TRAVEL),)}
    tool_low = (0.36, -0.2, 0.26)
    tool_high = (0.5, 0.1, 0.37)
    resistance_low = (1.5, 2.0, 0.0)
    resistance_high = (4.0, 10.0, 10.0)
    """Bounds of friction (N), damping (N s/m) and stiffness (N/m) of the drawer."""

    def __init__(self, commands: Sequence[str] | None = None, chain: int = 1) -> None:
        self._commands = chosen_commands(commands)
        if isinstance(chain, bool) or not isinstance(chain, int) or not 1 <= chain <= MAX_CHAIN:
            raise ValueError(f"chain is {chain!r}; expected a whole number of commands from 1 to {MAX_CHAIN}")
        self.chain = chain
        self.goal_low = (-FAR, -FAR, -FAR, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self.goal_high = (FAR, FAR, FAR, ANY, ANY, ANY, FAST, 1.0, 1.0, 1.0, FAR, float(chain))

    @override
    def commands(self) -> list[Command]:
        return list(self._commands)

    @override
    def sample_command(self, rng: np.random.Generator) -> Command:
        return _sample(rng, self._commands)

    @override
    def instructions_for(self, command: Command) -> Instructions:
        return words.instructions_for(command)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        height = HEIGHT * scale
        for number, name in enumerate(OBJECTS):
            edge = (SLAB_EDGE if name == SLAB else EDGE) * scale
            simulation.add_box(
                name,
                size=(edge, edge, height),
                position=(0.4, 0.1 * number - 0.3, height / 2),
                mass=SLAB_MASS if name == SLAB else MASS,
                friction=FRICTION,
                color=(0.9, 0.5, 0.15) if name == SLAB else COLORS[name.removesuffix("_cube")],
            )
        simulation.add_boxes(BIN_NAME, bin_parts(), position=(0.62, -0.25, 0.0), color=(0.35, 0.38, 0.42))
        add_drawer(simulation, scale)
        mark = simulation.add_marker(SQUARE, size=(0.08, 0.08, 0.001), color=(0.95, 0.95, 0.95, 1.0))
        mark.marker_position = (*places.SQUARE_POSITION, 0.0005)

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        friction, damping, stiffness = rng.uniform(self.resistance_low, self.resistance_high).tolist()
        # The scene is sampled without regard to the command until the command is feasible there.
        while True:
            layout = places.sample_layout(rng, scale)
            if places.is_feasible(layout, command) and not is_placed(layout, command):
                break
        x, y, z, yaw = layout.cabinet
        objects: dict[str, Motion] = {BIN_NAME: resting_at(*layout.bin, 0.0)}
        for number, name in enumerate(OBJECTS):
            if (thing := layout.things.get(name)) is not None:
                objects[name] = resting_at(*thing.position, thing.yaw)
            else:
                px, py, pz = places.PARKED
                objects[name] = resting_at(px, py + 0.1 * number, pz + HEIGHT * scale / 2)
        joint = JointState(layout.opening, 0.0, friction, damping, stiffness)
        return InitialState(
            tool_position=tool,
            desired_goal=self._goal(layout, command, self.chain - 1),
            objects=objects,
            joints={OBJECT: Articulation((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)), (joint,))},
        )

    def _goal(self, layout: Layout, command: Command, following: float) -> tuple[float, ...]:
        """Return the desired goal of a command.

        Args:
            layout: Where everything is.
            command: The command.
            following: Number of commands that follow.
        """
        center, tolerance = _box(layout, command)
        is_lift = command[0] == LIFT
        still = DRAWER_STILL if command[0] in (OPEN, CLOSE) else FAST if is_lift else STILL_SPEED
        return (*center, *tolerance, still, float(is_lift), float(not is_lift), 1.0, 0.0, float(following))

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        bodies = simulation.bodies
        touches = {name: robot.touch(bodies[name]) for name in OBJECTS}
        drawer = cast(ArticulatedBody, bodies[OBJECT])
        left, right, touched = robot.touch(drawer)
        handle = drawer.point("slide", GRIP)
        layout = layout_of(simulation)
        values: list[float] = []
        for name in OBJECTS:
            motion, touch = bodies[name].motion(), touches[name]
            if motion.position[0] > ABSENT_X:
                values += ABSENT_VALUES
                continue
            values += [1.0] * (name in CUBES)
            values += [float(touch.left), float(touch.right), *object_values(motion, tool)]
        basket = bodies[BIN_NAME].motion().position
        state = drawer.state()
        velocity = state.joints[0].velocity
        values += [*basket, *difference(basket, tool.position), float(left), float(right)]
        values += [*handle, *difference(handle, tool.position), layout.opening, velocity, layout.cabinet[3]]

        one, other = names_of(command)
        if one is None:
            away = distance(handle, tool.position)
            achieved = [abs(velocity), 0.0, float(not touched and away >= CLEAR), 1.0, away]
        else:
            motion = bodies[one].motion()
            left, right, anywhere = touches[one]
            held = left and right and moves_with_hand(motion, tool)
            named = [one] if other is None or other == SQUARE else [one, other]
            free = not anywhere and not (command[0] == STACK and touches[str(other)].anywhere)
            fastest = max(speed(bodies[name].motion()) for name in named)
            lowest = min(bodies[name].motion().position[2] for name in named)
            away = distance(motion.position, tool.position)
            achieved = [fastest, float(held), float(free), float(lowest >= LOST), away]
        missing = any(name is not None and name != SQUARE and name not in layout.things for name in (one, other))
        numbers = (FAR, FAR, FAR) if missing else places.offset(layout, command)
        goal = [*numbers, *desired[3:6].tolist(), *achieved, 0.0]
        return TaskObservation(values, clip(goal, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        is_placed = _outside(achieved, desired) <= 0.0
        is_still = achieved[..., 6] <= desired[..., 6]
        is_held = achieved[..., 7] >= desired[..., 7]
        is_released = achieved[..., 8] >= desired[..., 8]
        is_on_table = achieved[..., 9] >= desired[..., 9]
        is_done = is_placed & is_still & is_held & is_released & is_on_table
        return {
            "is_success": is_done & (desired[..., 11] <= 0.0),
            "is_done": is_done,
            "is_placed": is_placed,
            "is_still": is_still,
            "is_held": is_held,
            "is_released": is_released,
            "is_lost": achieved[..., 9] < desired[..., 9],
        }

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        off = _outside(achieved, desired)
        is_handled = (achieved[..., 7] >= desired[..., 7]) & (achieved[..., 8] >= desired[..., 8])
        near: Any = 0.3 * nearness(achieved[..., 10]) + 0.6 * nearness(off) + 0.1 * (is_handled & (off <= 0.0))
        done: Any = np.maximum(self.chain - 1 - desired[..., 11], 0.0)
        progress: npt.NDArray[np.float64] | np.float64 = (
            (achieved[..., 9] >= desired[..., 9]) * (done + near) / self.chain
        )
        return progress

    @override
    def is_due(self, achieved: Goals, desired: Goals) -> bool:
        if desired[11] <= 0.0:
            return False
        # As in the reward of the step.
        return bool(self.evaluate(*(cast(Any, OneGoal(goal.tolist())) for goal in (achieved, desired)))["is_done"])

    @override
    def next_request(
        self, simulation: Simulation, rng: np.random.Generator, desired: Goals, command: Command
    ) -> tuple[Command, tuple[float, ...]]:
        layout = layout_of(simulation)
        present = [one for one in self._commands if _is_present(layout, one)]
        open_ = [one for one in present if not is_placed(layout, one)]
        feasible = [one for one in open_ if places.is_feasible(layout, one)]
        chosen = _sample(rng, feasible or open_ or present or [command])
        return chosen, self._goal(layout, chosen, desired[11].item() - 1.0)

    @override
    def counts(self, achieved: Goals, desired: Goals) -> dict[str, int]:
        following = desired[11].item()
        done = following <= 0.0 and self.evaluate(*(cast(Any, OneGoal(g.tolist())) for g in (achieved, desired)))["is_done"]
        return {"completed": self.chain - 1 - int(following) + int(done)}


def _sample(rng: np.random.Generator, commands: Sequence[Command]) -> Command:
    """Sample a verb, and then one of its commands."""
    groups = list(by_verb(commands).values())
    group = groups[int(rng.integers(len(groups)))]
    return group[int(rng.integers(len(group)))]


def _outside(achieved: Goals, desired: Goals) -> Any:
    """Return the distance of the first three numbers from their box, meters."""
    offset: Any = achieved - desired
    squares: Any = 0.0
    for axis in range(3):
        beyond = np.maximum(abs(offset[..., axis]) - desired[..., 3 + axis], 0.0)
        squares = squares + beyond * beyond
    return np.sqrt(squares)


def _box(layout: Layout, command: Command) -> tuple[Vector3, Vector3]:
    """Return center and half of the size of the box in which ``places.offset`` has to be, meters."""
    verb = command[0]
    one, other = names_of(command)
    if one is None:
        return (TRAVEL if verb == OPEN else 0.0, 0.0, 0.0), (TOLERANCE, ANY, ANY)
    thing = layout.things[one]
    if verb == LIFT:
        return (0.0, 0.0, LIFTED + ANY), (ANY, ANY, ANY)
    if verb == BIN:
        length, width, height = places.BIN_INSIDE
        return (0.0, 0.0, 0.75 * height), (length / 2 - 0.01, width / 2 - 0.01, 0.75 * height)
    if verb == DRAWER:
        return places.INSIDE, (0.065, 0.065, 0.03)
    if verb == PUSH:
        target = None if other == SQUARE else layout.things[str(other)]
        most = places.ON_SQUARE if target is None else places.push_distance(thing.half, target.half)
        return (0.0, 0.0, 0.0), (most, ANY, FLAT)
    if verb == STACK:
        return (0.0, 0.0, thing.rise + layout.things[str(other)].rise), (ALIGNED, ALIGNED, RESTING)
    return (0.0, places.beside(command), 0.0), (places.SIDEWAYS, places.ALONG, FLAT)


def _is_present(layout: Layout, command: Command) -> bool:
    return all(name is None or name == SQUARE or name in layout.things for name in names_of(command))


def is_placed(layout: Layout, command: Command) -> bool:
    """Return True if the object of a command is already where the command wants it."""
    center, tolerance = _box(layout, command)
    numbers = places.offset(layout, command)
    return all(abs(n - c) <= t for n, c, t in zip(numbers, center, tolerance, strict=True))


def layout_of(simulation: Simulation) -> Layout:
    """Return where everything is in a simulation."""
    things = {}
    for name in OBJECTS:
        body = simulation.bodies[name]
        position, (qx, qy, qz, qw), *_ = body.motion()
        if position[0] <= ABSENT_X and position[2] >= LOST:
            yaw = math.atan2(2.0 * (qx * qy + qw * qz), 1.0 - 2.0 * (qy * qy + qz * qz))
            things[name] = Thing(position, yaw, body.size[0] / 2, body.size[2] / 2)
    bx, by, _ = simulation.bodies[BIN_NAME].motion().position
    state = cast(ArticulatedBody, simulation.bodies[OBJECT]).state()
    _, _, qz, qw = state.orientation
    return Layout(things, (bx, by), (*state.position, 2.0 * math.atan2(qz, qw)), state.joints[0].position)


def bin_parts() -> list[Part]:
    """Return the floor and the walls of the bin, relative to the middle of its foot."""
    length, width, height = places.BIN_INSIDE
    wall, floor = places.BIN_WALL, places.BIN_FLOOR
    parts = [Part((length + 2 * wall, width + 2 * wall, floor), (0.0, 0.0, floor / 2))]
    for side in (1.0, -1.0):
        parts.append(Part((wall, width + 2 * wall, height), (side * (length + wall) / 2, 0.0, height / 2)))
        parts.append(Part((length, wall, height), (0.0, side * (width + wall) / 2, height / 2)))
    return parts


ABSENT_VALUES = [
    center if not feature.name.endswith(("present", "touch")) else 0.0
    for feature in _thing_features(CUBES[0])
    for center in np.broadcast_to(feature.center, feature.size).tolist()
]

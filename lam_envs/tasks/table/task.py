"""Table: one scene with many objects, where the instruction alone says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.articulated import ArticulatedBody, Articulation, JointState
from lam_envs.bullet.geometry import Motion
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.drawer import CLEAR, GRIP, OBJECT, TRAVEL, Drawer
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
from lam_envs.tasks.table.commands import (
    CLOSE,
    CUBES,
    LIFT,
    OBJECTS,
    OPEN,
    SQUARE,
    STACK,
    TARGETS,
    VERBS,
    by_verb,
    chosen_commands,
    names_of,
)
from lam_envs.tasks.table.feasible import is_feasible
from lam_envs.tasks.table.goals import ANY, box_of, is_placed, offset
from lam_envs.tasks.table.layout import HEIGHT, MIN_CUBES, PARKED, Layout, sample_layout
from lam_envs.tasks.table.scene import ABSENT_X, BIN_NAME, add_objects, layout_of
from lam_envs.tasks.table.wording import check_distinct, check_wording, worded_instructions
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation
from lam_envs.validation import whole_number

MAX_CHAIN = 20
"""Largest number of successive commands."""


def _thing_features(name: str) -> tuple[Feature, ...]:
    noun = name.replace("_", " ")
    features = [Feature(f"{name}/touch", 2, "1", "1 where a finger presses it, left and right", 0.5, 0.5, 0.5, False)]
    if name in CUBES:
        features.insert(0, Feature(f"{name}/present", 1, "1", f"1 if there is a {noun}", 0.5, 0.5, 0.5, noisy=False))
    return (*features, *object_features(noun, name))


class Table(Task):
    """Do what the instruction says, with cubes, a slab, a bin and a drawer.

    **Task.** Three to five cubes (edge 4 cm, 0.1 kg) of different colors, a slab (9 x 9 x 4 cm, 0.2 kg), an open bin
    (inside 12 x 14 cm, 4 cm high), a half-open drawer and a white square are on the table. The instruction alone
    specifies one of 123 commands. They have nine verbs:

    - `lift` a cube: it is 10 cm above its height on the table, both fingers press it, and it does not slip.
    - `left`, `right`: put a cube to the left or right of another one or of the slab, as the robot sees them: left is
      +y. It lies on the table, 6 to 14 cm to this side of a cube, 9 to 17 of the slab, and at most 4 cm in front of
      it or behind it.
    - `bin`: put a cube in the bin. It lies there.
    - `drawer`: put a cube in the drawer, which has to be opened further first. It lies there.
    - `push` a cube or the slab to a cube, to the slab or to the white square. It lies on the table, with a gap of at
      most 3.5 cm between parallel faces, or with its center at most 3 cm from that of the square.
    - `stack` a cube on another one: its center is at most 1.5 cm to the side and within 5 mm of the height of lying
      flat on it.
    - `open`, `close` the drawer: the opening is at least 13 cm, or at most 3 cm.

    The keyword `commands` selects verbs or single commands, and `without` leaves some out. With `chain=5`, an episode
    has five successive commands and is five times as long: when one is done, the next observation and info have the
    instruction of the next one. It is sampled among those that can be executed in the scene and are not fulfilled
    yet. `steps_per_command` is the time limit for each command, by default 200 steps.

    **Randomization.** Sampled at each reset:

    - command: a verb, then one of its commands; it can be executed in the scene without moving other objects aside,
      and is not fulfilled yet
    - tool: in a box of 14 x 30 x 11 cm, centered 31 cm above the table, with a half-open gripper
    - number and colors of the cubes: three to five of red, green, blue, yellow and purple
    - cubes and slab: positions in 24 x 33 cm, yaw of cubes up to 29 degrees in either direction, any yaw of the slab
    - bin: position in 3 x 4 cm to the right of them
    - cabinet: position in 4 x 3 cm to the left of them, yaw up to 9 degrees in either direction, height of the handle
      9 to 15 cm
    - drawer: opening 6 to 10 cm of 16, friction, damping and spring as in Drawer

    **Success.** All commands are done. The object that a command moves is slower than 3 cm/s (the drawer: 2 cm/s). So
    is the cube or slab to which, beside which or on which it is moved. The robot does not touch the moved object,
    except to lift; to stack, it touches neither cube. As in Drawer, the hand is clear of the handle. Commands are
    about results: an object that is carried to its place instead of pushed counts. With `chain`, a command is done
    once its conditions hold at a step; only the last one has to last. `info["completed"]` is the number of commands
    that are done.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.3 for the distance from the
    tool to the object (or to the handle), 0.6 for the distance of the object from where the command wants it, and 0.1
    for releasing (or holding) it there; -1 after an object of the command has left the table. With `chain`, progress
    is the average over the commands: 1 for those that are done, and 0 for those that follow. `sparse`: 0 on success,
    else -1.

    **Goal.** Three numbers that say where the object is (m), half of the box in which they have to be (3, m), the
    speed of the faster object (m/s), 1 while the object is held, 1 while it is released, 1 while it has not left the
    table, the distance from the tool to it (m), and 0. The three numbers are the height (third number) to lift; the
    position relative to the cube, the bin or the drawer; to push, the distance and the height (third number); or the
    opening (first number). Desired are the center of the box, an upper limit of the speed, lower limits of the
    flags, and last the number of commands that follow. No feature depends on the command, but the goals do: with
    `obs="goal"` an agent sees parts of the command without the instruction.

    **Version history.** v0: first version; since task version 2, the white square has features.

    Args:
        commands: Verbs and commands to sample from, such as ``["lift", "stack red_cube blue_cube", "push slab
            square"]``; by default all.
        chain: Number of successive commands of an episode, 1 to 20.
        cubes: Number of cubes, 3 to 5; by default sampled.
        without: Verbs and commands that are never sampled, to measure combinations that no demonstration shows.
        wording: Your own sentences by verb, such as ``{"bin": ["recycle {x}"]}``, in place of those of the task.
            ``{x}`` is the object that is moved, and ``{y}`` the target. No two commands can have the same sentence.
            These are the sentences of ``train`` and ``held-out``; ``known-words`` has none.
    """

    name = "table"
    version = 2
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
        Feature("square/position", 3, "m", "center of the white square", (0.5, 0.0, 0.0), 0.2, 2.0),
        Feature("square/relative", 3, "m", "white square minus tool position", 0.0, 0.1, 2.0),
    )
    goal_low = (-FAR, -FAR, -FAR, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    goal_high = (FAR, FAR, FAR, ANY, ANY, ANY, FAST, 1.0, 1.0, 1.0, FAR, float(MAX_CHAIN))
    command_high = (len(VERBS) - 1, len(OBJECTS) - 1, len(TARGETS) - 1)
    movable_objects = (*OBJECTS, BIN_NAME)
    articulated_objects: ClassVar[dict[str, tuple[tuple[float, float]]]] = {OBJECT: ((0.0, TRAVEL),)}
    tool_low = (0.36, -0.2, 0.26)
    tool_high = (0.5, 0.1, 0.37)

    def __init__(
        self,
        commands: Sequence[str] | None = None,
        chain: int = 1,
        cubes: int | None = None,
        without: Sequence[str] = (),
        wording: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._wording = check_wording({} if wording is None else wording)
        self._commands = chosen_commands(commands, without)
        check_distinct(self._wording, self._commands)
        self._cubes = whole_number(cubes)
        if cubes is not None and (self._cubes is None or not MIN_CUBES <= self._cubes <= len(CUBES)):
            raise ValueError(f"cubes is {cubes!r}; expected {MIN_CUBES} to {len(CUBES)}, or None to sample it")
        length = whole_number(chain)
        if length is None or not 1 <= length <= MAX_CHAIN:
            raise ValueError(f"chain is {chain!r}; expected a whole number of commands from 1 to {MAX_CHAIN}")
        self.chain = length

    @override
    def commands(self) -> list[Command]:
        return list(self._commands)

    @override
    def sample_command(self, rng: np.random.Generator) -> Command:
        return _sample(rng, self._commands)

    @override
    def instructions_for(self, command: Command) -> Instructions:
        return worded_instructions(command, self._wording)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        add_objects(simulation, scale)

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        friction, damping, stiffness = rng.uniform(Drawer.resistance_low, Drawer.resistance_high).tolist()
        # The scene is sampled without regard to the command until the command is feasible there.
        while True:
            layout = sample_layout(rng, scale, self._cubes)
            if is_feasible(layout, command) and not is_placed(layout, command):
                break
        x, y, z, yaw = layout.cabinet
        objects: dict[str, Motion] = {BIN_NAME: resting_at(*layout.bin, 0.0)}
        for number, name in enumerate(OBJECTS):
            if (thing := layout.things.get(name)) is not None:
                objects[name] = resting_at(*thing.position, thing.yaw)
            else:
                px, py, pz = PARKED
                objects[name] = resting_at(px, py + 0.1 * number, pz + HEIGHT * scale / 2)
        joint = JointState(layout.opening, 0.0, friction, damping, stiffness)
        return InitialState(
            tool_position=tool,
            desired_goal=self._goal(layout, command, self.chain - 1),
            objects=objects,
            joints={OBJECT: Articulation((x, y, z), (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)), (joint,))},
        )

    @override
    def is_absent(self, name: str, motion: Motion) -> bool:
        return name in CUBES and motion.position[0] > ABSENT_X

    def _goal(self, layout: Layout, command: Command, following: float) -> tuple[float, ...]:
        """Return the desired goal of a command.

        Args:
            layout: Where everything is.
            command: The command.
            following: Number of commands that follow.
        """
        center, tolerance = box_of(layout, command)
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
        one, other = names_of(command)
        layout = layout_of(simulation, [name for name in (one, other) if name in OBJECTS])
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
        square = bodies[SQUARE].marker_position
        values += [*square, *difference(square, tool.position)]

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
        numbers = (FAR, FAR, FAR) if missing else offset(layout, command)
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
        done = _positive(self.chain - 1.0 - desired[..., 11])
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
        layout = layout_of(simulation, OBJECTS)
        present, open_ = self._open_commands(layout)
        feasible = [one for one in open_ if is_feasible(layout, one)]
        chosen = _sample(rng, feasible or open_ or present or [command])
        return chosen, self._goal(layout, chosen, desired[11].item() - 1.0)

    @override
    def goal_of(self, simulation: Simulation, command: Command) -> tuple[float, ...]:
        layout = layout_of(simulation, OBJECTS)
        if not _is_present(layout, command):
            return (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0)  # nothing fulfills it
        return self._goal(layout, command, 0.0)

    @override
    def check_desired_goal(self, desired: Sequence[float]) -> None:
        following = desired[11]
        if not (following == int(following) and following < self.chain):
            raise ValueError(
                f"{following:g} commands follow (the last number); expected a whole number below chain, which is "
                f"{self.chain}"
            )

    def _open_commands(self, layout: Layout) -> tuple[list[Command], list[Command]]:
        """Return the commands whose objects are there, and those of them that are not fulfilled."""
        present = [one for one in self._commands if _is_present(layout, one)]
        return present, [one for one in present if not is_placed(layout, one)]

    @override
    def feasible_commands(self, simulation: Simulation) -> list[Command]:
        layout = layout_of(simulation, OBJECTS)
        return [one for one in self._open_commands(layout)[1] if is_feasible(layout, one)]

    @override
    def counts(self, flags: Mapping[str, Flags], desired: Goals) -> dict[str, int]:
        return {"completed": max(self.chain - 1 - int(desired[11].item()), 0) + int(flags["is_success"])}


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
        beyond = _positive(abs(offset[..., axis]) - desired[..., 3 + axis])
        squares = squares + beyond * beyond
    # Both square roots round correctly, so they give the same bits.
    return math.sqrt(squares) if isinstance(squares, float) else np.sqrt(squares)


def _positive(values: Any) -> Any:
    """Return a value, or an array of values, of which negative ones are 0."""
    return max(values, 0.0) if isinstance(values, float) else np.maximum(values, 0.0)


def _is_present(layout: Layout, command: Command) -> bool:
    return all(name is None or name == SQUARE or name in layout.things for name in names_of(command))


ABSENT_VALUES = [
    center if not feature.name.endswith(("present", "touch")) else 0.0
    for feature in _thing_features(CUBES[0])
    for center in np.broadcast_to(feature.center, feature.size).tolist()
]

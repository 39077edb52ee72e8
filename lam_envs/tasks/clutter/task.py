"""Clutter: take the marked object out of a heap, lift it and hold it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from lam_envs.bullet.bodies import ABSENT, Body
from lam_envs.bullet.geometry import Motion, Vector3
from lam_envs.bullet.shapes.hulls import RANDOM_SHAPES, add_hull
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Features, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState
from lam_envs.tasks.clutter.grasps import best_costs, place, rotation_matrix, surfaces
from lam_envs.tasks.clutter.heap import FRICTION, MASS, pour
from lam_envs.tasks.clutter.shapes import Points, Shape, is_held_out, load_shape
from lam_envs.tasks.objects import (
    FAR,
    TOUCH,
    clip,
    difference,
    distance,
    lift_flags,
    lift_progress,
    moves_with_hand,
    object_features,
    object_values,
)
from lam_envs.tasks.task import Flags, Goals, InitialState, Task, TaskObservation
from lam_envs.validation import check_name

MIN_OBJECTS, MAX_OBJECTS = 5, 8
OBJECT_SPLITS = ("train", "held-out")
"""Splits of the shapes."""
LIFT = 0.10
"""Height of the lowest point of the marked object above the table that counts as lifted, meters."""
GRIPPER_WIDTH = 0.08
"""Opening that a grasp of the marked object may need, meters: that of the smallest gripper."""
MAX_COST = 3.0
"""Largest cost of the marked object's best grasp in the heap: others are less than 2 cm in the way of fingers."""
MARKED_COLOR, OTHER_COLOR = (0.85, 0.2, 0.15), (0.6, 0.62, 0.65)
MAX_DISTANCE = 0.15
"""Largest horizontal distance of an object from the center of the heap after its fall, meters."""
OTHERS = tuple(f"other_{number}" for number in range(1, MAX_OBJECTS))
"""Names of the objects that are not marked, the nearest first. The last ones may be absent."""


def _other_features(name: str) -> tuple[Feature, ...]:
    return (
        Feature(f"{name}/present", 1, "1", "1 if the heap has this object", 0.5, 0.5, 0.5, noisy=False),
        *object_features("gray object", name),
        Feature(f"{name}/size", 3, "m", "edges of its bounding box, in its frame", 0.0, 0.05, 0.2, noisy=False),
    )


class Clutter(Task):
    """Take the red object out of a heap, lift it by 10 cm and hold it.

    **Task.** Five to eight objects lie in a heap on the table. Grasp the red one, lift it by 10 cm and hold it. The
    others are gray and may be moved. The shapes are convex hulls of pybullet_data's 1,000 random shapes, at half
    their size: 2.9 to 8.1 cm long and up to 5.5 cm thick, 0.1 kg. Needles, sheets and shapes larger than the hand are
    left out. The keyword `objects` chooses from the 848 shapes for training, or the 99 held-out ones, whose number
    ends in 9.

    **Randomization.** Sampled at each reset:

    - tool: in a box of 20 x 30 x 16 cm, centered 25 cm above the table, with a half-open gripper
    - objects: five to eight shapes of the split, each with any orientation, poured on the table within a box that is
      then removed, and at rest; center of the heap in 10 x 20 cm
    - marked object: any that two fingers could grasp from above at yaw 0 if no other object were there, and of which
      the others are less than 2 cm deep in the way of the fingers. So most heaps need no more than a push.

    **Success.** The lowest point of the red object is 10 cm above the table, both fingers press it with the inside of
    their pads, and it neither slides nor turns in the hand (3 cm/s, 1 rad/s). Lifting another object, or the red one
    on top of another, is not a success.

    **Reward.** `dense`: 1 on success, else progress - 1, which is between -1 and 0: 0.4 for the distance from the
    tool to the red object, 0.2 for holding it, and 0.4 for the fraction of the height while holding it; -1 after it
    has left the table. `sparse`: 0 on success, else -1.

    **Goal.** Distance from tool to the red object (m), height of its lowest point above the table (m), and 1 while it
    is held. The desired height and hold are lower limits; the distance does not count.

    **Version history.** v0: first version.

    Args:
        objects: Split of the shapes: ``train`` or ``held-out``.
    """

    name = "clutter"
    version = 1
    features = (
        TOUCH,
        *object_features("red object"),
        Feature("object/size", 3, "m", "edges of its bounding box, in its frame", 0.0, 0.05, 0.2, noisy=False),
        Feature("object/low", 3, "m", "lowest x, y, z of its surface minus its center", -0.03, 0.02, 0.2),
        Feature("object/high", 3, "m", "highest x, y, z of its surface minus its center", 0.03, 0.02, 0.2),
        *(feature for name in OTHERS for feature in _other_features(name)),
    )
    instructions = Instructions(
        train=(
            "pick up the red object",
            "take the red object out of the heap",
            "grasp the red object and lift it",
            "lift the red object out of the pile",
            "take the red object from the others and hold it up",
            "find the red object, grasp it and raise it",
        ),
        held_out=(
            "dig out the scarlet thing",
            "hoist the crimson piece above the gray ones",
            "fetch the ruby item from the clutter",
        ),
    )
    goal_low = (0.0, -2.0, 0.0)
    goal_high = (FAR, 2.0, 1.0)
    movable_objects = ("object", *OTHERS)
    model_ranges = ((1, RANDOM_SHAPES), *[(0, RANDOM_SHAPES)] * len(OTHERS))
    heap_low = (0.45, -0.1)
    heap_high = (0.55, 0.1)

    def __init__(self, objects: str = "train") -> None:
        self.objects = check_name("objects", objects, OBJECT_SPLITS)

    @override
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        """All objects differ from episode to episode."""

    @override
    def add_models(self, simulation: Simulation, scale: float, models: Sequence[int]) -> None:
        for number, (name, model) in enumerate(zip(self.movable_objects, models, strict=True)):
            shape = _shape(model)
            if shape is None:
                simulation.add_absent(name)
                continue
            add_hull(
                simulation,
                name,
                shape.hull,
                scale=scale,
                position=(0.2 + 0.1 * number, 0.5, 0.1),
                mass=MASS,
                friction=FRICTION,
                color=OTHER_COLOR if number else MARKED_COLOR,
            )

    @override
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        tool = self.sample_tool(rng)
        while True:
            models = self._sample_models(rng)
            chosen = [shape for model in models if (shape := _shape(model)) is not None]
            turns = rng.normal(size=(len(models), 4))
            turns /= np.linalg.norm(turns, axis=1, keepdims=True)
            x, y = rng.uniform(self.heap_low, self.heap_high).tolist()
            motions = pour(chosen, [(a, b, c, d) for a, b, c, d in turns.tolist()], (x, y), scale)
            if motions is None or any(_is_outside(motion, x, y) for motion in motions):
                continue
            points = surfaces(chosen, motions, scale)
            graspable = [number for number in range(len(motions)) if _is_graspable(points, chosen, motions, number)]
            if graspable:
                break
        marked = motions[graspable[int(rng.integers(len(graspable)))]].position
        order = sorted(range(len(motions)), key=lambda number: distance(motions[number].position, marked))
        absent = MAX_OBJECTS - len(models)
        poses = [*(motions[number] for number in order), *[ABSENT] * absent]
        return InitialState(
            tool_position=tool,
            desired_goal=(0.0, LIFT, 1.0),
            objects=dict(zip(self.movable_objects, poses, strict=True)),
            models=(*(models[number] for number in order), *[0] * absent),
        )

    def _sample_models(self, rng: np.random.Generator) -> list[int]:
        """Sample the shapes of a heap."""
        count = int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
        models: list[int] = []
        while len(models) < count:
            number = int(rng.integers(RANDOM_SHAPES))
            is_in_split = is_held_out(number) == (self.objects == "held-out")
            if is_in_split and number + 1 not in models and load_shape(number) is not None:
                models.append(number + 1)
        return models

    @override
    def check_models(self, models: Sequence[int]) -> None:
        super().check_models(models)
        for model in models:
            if model and _shape(int(model)) is None:
                raise ValueError(f"the model {model:g} is shape {model - 1:g}, which no episode of {self.name} has")

    @override
    def geometry(self, models: Sequence[int], scale: float) -> Features:
        found = {name: _shape(model) for name, model in zip(self.movable_objects, models, strict=True)}
        geometry = {}
        for name, shape in found.items():
            if shape is not None:
                geometry[f"{name}/surface"] = scale * shape.points
                geometry[f"{name}/normals"] = shape.normals
        return geometry

    @override
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        body = simulation.bodies["object"]
        motion = body.motion()
        left, right, _ = robot.touch(body)
        held = left and right and moves_with_hand(motion, tool)
        corners = place(body.vertices, motion)
        low, high = _point(corners.min(axis=0)), _point(corners.max(axis=0))
        values = [float(left), float(right), *object_values(motion, tool), *body.size]
        values += [*difference(low, motion.position), *difference(high, motion.position)]
        for name in OTHERS:
            values += _other_values(simulation.bodies[name], tool)
        achieved = (distance(motion.position, tool.position), low[2], float(held))
        return TaskObservation(values, clip(achieved, self.goal_low, self.goal_high))

    @override
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        return lift_flags(achieved, desired)

    @override
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        return lift_progress(achieved, LIFT)


def _point(numbers: npt.NDArray[np.float64]) -> Vector3:
    x, y, z = numbers.tolist()
    return (x, y, z)


def _shape(model: int) -> Shape | None:
    """Return the shape of a model; None if the object is absent."""
    return load_shape(model - 1) if model else None


def _is_outside(motion: Motion, x: float, y: float) -> bool:
    """Return True if an object rolled away from the heap at (x, y)."""
    return motion.position[2] < 0.0 or distance((*motion.position[:2], 0.0), (x, y, 0.0)) > MAX_DISTANCE


def _is_graspable(points: list[Points], chosen: list[Shape], motions: list[Motion], number: int) -> bool:
    """Return True if two fingers could hold an object if it were alone, and others are not far in their way.

    Args:
        points: Points on the surface of each object.
        chosen: Shape of each object.
        motions: Pose of each object.
        number: Number of the object.
    """
    motion = motions[number]
    normals = chosen[number].normals @ rotation_matrix(motion.orientation).T
    others = np.concatenate(points[:number] + points[number + 1 :])
    alone, among = best_costs(points[number], normals, motion.position, others, GRIPPER_WIDTH)
    return alone < 1.0 and among < MAX_COST


def _other_values(body: Body, tool: ToolState) -> list[float]:
    """Return the values of the features of an object that is not marked; the centers of the features if absent."""
    if body.id < 0:
        return list(ABSENT_VALUES)
    return [1.0, *object_values(body.motion(), tool), *body.size]


ABSENT_VALUES = [
    0.0 if feature.name.endswith("present") else center
    for feature in _other_features("other")
    for center in np.broadcast_to(feature.center, feature.size).tolist()
]

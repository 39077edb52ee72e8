"""Interface of tasks: objects, features, goal, success, progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.articulated import Articulation
from lam_envs.bullet.geometry import Motion, Vector3
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Command, Feature, Features, Instructions
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState

Goals = npt.NDArray[np.floating[Any]]
"""Achieved or desired goals, shape (..., goal size)."""
Flags = npt.NDArray[np.bool_] | np.bool_
"""A bool for each goal, shape (...)."""


@dataclass(frozen=True)
class InitialState:
    """Initial state of an episode.

    Attributes:
        tool_position: Position of the tool, meters.
        desired_goal: Desired goal.
        objects: Motion of each movable object by name.
        joints: State of each articulated object by name: pose of its base, joints and their resistance.
        surfaces: Velocity of each moving surface by name, meters per second.
        models: Numbers that select the models of objects, see ``Task.model_ranges``.
    """

    tool_position: Vector3
    desired_goal: tuple[float, ...]
    objects: Mapping[str, Motion] = field(default_factory=dict)
    joints: Mapping[str, Articulation] = field(default_factory=dict)
    surfaces: Mapping[str, Vector3] = field(default_factory=dict)
    models: tuple[int, ...] = ()


class TaskObservation(NamedTuple):
    """Task-specific part of an observation."""

    values: Sequence[float]
    """Physical values of the task's features, in order."""
    achieved_goal: Sequence[float]
    """Achieved goal."""


class Task(ABC):
    """Manipulation task.

    Success and progress are pure functions of achieved and desired goals, so that ``info``, reward, termination and
    hindsight relabeling use one definition.
    """

    name: ClassVar[str]
    """Name; the key of the task in ``TASKS`` and of its expert in ``demos.experts.EXPERTS``."""
    version: ClassVar[int] = 1
    """Increase it when episodes of the task change: its results and datasets are then outdated."""
    features: ClassVar[tuple[Feature, ...]]
    """Features of the task, which follow those of the robot."""
    goal_low: ClassVar[tuple[float, ...]]
    goal_high: ClassVar[tuple[float, ...]]
    """Bounds of the goal space."""
    movable_objects: ClassVar[tuple[str, ...]] = ()
    """Names of the objects whose poses belong to the state."""
    articulated_objects: ClassVar[Mapping[str, Sequence[tuple[float, float]]]] = {}
    """Lowest and highest position of each joint, meters or radians, by name of the articulated objects. The states of
    these objects belong to the state."""
    moving_surfaces: ClassVar[tuple[str, ...]] = ()
    """Names of the surfaces whose velocities belong to the state, such as conveyor belts."""
    model_ranges: ClassVar[tuple[tuple[int, int], ...]] = ()
    """Lowest and highest value of each number of ``InitialState.models``. Empty where all episodes have the same
    bodies."""
    tool_low: ClassVar[Vector3] = (0.4, -0.15, 0.17)
    tool_high: ClassVar[Vector3] = (0.6, 0.15, 0.33)
    """Bounds of the initial position of the tool, meters."""
    instructions: ClassVar[Instructions | None] = None
    """Sentences that ask for the task, or templates of :meth:`instructions_for`; by default the task's name."""
    chain: int = 1
    """Number of successive commands of an episode, see :meth:`is_due`."""
    command_high: ClassVar[tuple[int, ...]] = ()
    """Largest value of each number of a command, the smallest is 0. Empty where the task always asks for the same."""

    @abstractmethod
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        """Add the objects and markers of the task to a simulation.

        Args:
            simulation: The simulation.
            scale: Factor on the edges of movable objects.
        """

    def add_models(self, simulation: Simulation, scale: float, models: Sequence[int]) -> None:  # noqa: B027  (optional)
        """Add the objects that differ from episode to episode; by default none.

        Args:
            simulation: The simulation.
            scale: Factor on the edges of movable objects.
            models: ``InitialState.models`` of the episode.
        """

    def check_models(self, models: Sequence[int]) -> None:
        """Check numbers that select models.

        Raises:
            ValueError: A number is out of range, or no episode of the task has these models.
        """
        if len(models) != len(self.model_ranges):
            raise ValueError(f"the models are {models!r}; expected {len(self.model_ranges)} numbers")
        for model, (low, high) in zip(models, self.model_ranges, strict=True):
            if model not in range(low, high + 1):
                raise ValueError(f"a model is {model!r}; expected an integer from {low} to {high}")

    def geometry(self, models: Sequence[int], scale: float) -> Features:
        """Return the shapes of objects for experts, by name; by default none.

        Privileged information: an agent sees objects only in its observations.

        Args:
            models: ``InitialState.models`` of the episode.
            scale: Factor on the edges of movable objects.
        """
        return {}

    @abstractmethod
    def sample_initial_state(self, rng: np.random.Generator, scale: float, command: Command) -> InitialState:
        """Sample the initial state and the goal of an episode.

        Args:
            rng: Random number generator of the episode.
            scale: Factor on the edges of movable objects.
            command: Command of the episode; ``()`` for a task that always asks for the same.
        """

    @abstractmethod
    def observe(
        self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals, command: Command
    ) -> TaskObservation:
        """Return the values of the task's features, and the achieved goal.

        Args:
            simulation: The simulation.
            robot: The robot.
            tool: Present state of the tool.
            desired: Desired goal, shape (goal size,).
            command: Present command. No feature may depend on it: an agent knows it from the instruction alone.
        """

    @abstractmethod
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        """Evaluate the success of goals of shape (..., goal size).

        Index goals by ``goal[..., number]``, and subtract them by ``goal - other``. A single goal consists of Python
        floats: join conditions by ``&`` and ``|``, and do not negate them by ``~``.

        Returns:
            ``is_success`` and its conditions, each of shape (...).
        """

    @abstractmethod
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        """Return the progress of goals of shape (..., goal size) toward success: in [0, 1], shape (...)."""

    def is_absent(self, name: str, motion: Motion) -> bool:
        """Return True if a motion of a movable object means that the episode lacks it; by default never.

        Images do not show such an object, and the reset option ``poses`` does not set its pose. Objects of
        ``Simulation.add_absent`` need no definition.

        Args:
            name: One of :attr:`movable_objects`.
            motion: Its motion.
        """
        return False

    def update_markers(self, simulation: Simulation, desired: Goals) -> None:  # noqa: B027  (optional)
        """Move the markers of the goal. The default is for tasks without markers."""

    def goal_features(self, features: Features, desired: Goals) -> Features:
        """Return the features named ``goal/...``, computed from the other features; by default none."""
        return {}

    def check_desired_goal(self, desired: Sequence[float]) -> None:  # noqa: B027  (optional)
        """Check a desired goal that a state or a reset option sets, besides its bounds; by default nothing.

        Args:
            desired: Goal inside of the goal space, shape (goal size,).

        Raises:
            ValueError: No episode of the task has this goal.
        """

    def commands(self) -> list[Command]:
        """Return all commands; by default all combinations of numbers up to :attr:`command_high`."""
        return list(product(*(range(last + 1) for last in self.command_high)))

    def sample_command(self, rng: np.random.Generator) -> Command:
        """Sample the command of an episode; by default one of :meth:`commands`, with equal probability."""
        if not self.command_high:
            return ()
        commands = self.commands()
        return commands[int(rng.integers(len(commands)))]

    def instructions_for(self, command: Command) -> Instructions:
        """Return the sentences that ask for a command; by default the same for all."""
        if self.instructions is None:
            name = self.name.replace("_", " ")
            return Instructions((name,), (name,))
        return self.instructions

    def feasible_commands(self, simulation: Simulation) -> list[Command]:
        """Return the commands that can be carried out now and are not fulfilled; by default all.

        Args:
            simulation: The simulation.
        """
        return self.commands()

    def goal_of(self, simulation: Simulation, command: Command) -> tuple[float, ...] | None:
        """Return the desired goal of another command than that of the episode, in the present scene.

        Tasks with several commands define it. None, the default, means that other commands cannot be evaluated.

        Args:
            simulation: The simulation.
            command: One of :meth:`commands`.
        """
        return None

    def is_due(self, achieved: Goals, desired: Goals) -> bool:
        """Return True if the present command is done and another one follows in the same episode; by default never.

        Args:
            achieved: Achieved goal, shape (goal size,).
            desired: Desired goal, shape (goal size,). It counts the commands that follow: states then have the count.
        """
        return False

    def next_request(
        self, simulation: Simulation, rng: np.random.Generator, desired: Goals, command: Command
    ) -> tuple[Command, tuple[float, ...]]:
        """Return the command that follows in the same episode, and its desired goal, see :meth:`is_due`.

        Args:
            simulation: The simulation.
            rng: Random number generator whose seed follows from the state.
            desired: Present desired goal, shape (goal size,).
            command: Present command.
        """
        raise NotImplementedError(f"{type(self).__name__}.is_due returned True: define next_request")

    def counts(self, flags: Mapping[str, Flags], desired: Goals) -> dict[str, int]:
        """Return numbers that infos have besides the success conditions; by default none.

        Args:
            flags: Result of :meth:`evaluate` for the present goals.
            desired: Desired goal, shape (goal size,).
        """
        return {}

    def sample_tool(self, rng: np.random.Generator) -> Vector3:
        """Sample the initial position of the tool."""
        x, y, z = rng.uniform(self.tool_low, self.tool_high).tolist()
        return (x, y, z)

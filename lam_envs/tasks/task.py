"""What a task is: objects, features, a goal, success, progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.bullet.geometry import Motion, Vector3
from lam_envs.bullet.simulation import Simulation
from lam_envs.observation import Feature, Features
from lam_envs.robots import Robot
from lam_envs.robots.state import ToolState

Goals = npt.NDArray[np.floating[Any]]
"""Achieved or desired goals, shape (..., goal size)."""
Flags = npt.NDArray[np.bool_] | np.bool_
"""One truth value a goal, shape (...)."""


@dataclass(frozen=True)
class InitialState:
    """What an episode starts from.

    Attributes:
        tool_position: Position of the tool, meters.
        desired_goal: The desired goal.
        objects: Pose of each movable object.
    """

    tool_position: Vector3
    desired_goal: tuple[float, ...]
    objects: Mapping[str, Motion] = field(default_factory=dict)


class TaskObservation(NamedTuple):
    """What a task sees of the scene at one moment."""

    values: Sequence[float]
    """Physical values of the task's features, in order."""
    achieved_goal: Sequence[float]
    """The achieved goal."""


class Task(ABC):
    """One thing to do with the robot.

    Success is a pure function of an achieved and a desired goal, and so is the reward: one definition serves
    ``info``, reward, termination and the relabeling of hindsight experience replay.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raise it when episodes of the task change: results and datasets of it are then outdated."""
    features: ClassVar[tuple[Feature, ...]]
    """What the task adds to the robot's features."""
    goal_low: ClassVar[tuple[float, ...]]
    goal_high: ClassVar[tuple[float, ...]]
    movable_objects: ClassVar[tuple[str, ...]] = ()
    """Names of the objects whose poses belong to the state."""
    tool_low: ClassVar[Vector3] = (0.4, -0.15, 0.17)
    """Where the tool may be at the start of an episode, meters."""
    tool_high: ClassVar[Vector3] = (0.6, 0.15, 0.33)

    @abstractmethod
    def build_scene(self, simulation: Simulation, scale: float) -> None:
        """Add the task's objects, once a client.

        Args:
            simulation: Where to.
            scale: Factor on the edges of what can be moved.
        """

    @abstractmethod
    def sample_initial_state(self, rng: np.random.Generator, scale: float) -> InitialState:
        """Draw the start and the goal of an episode.

        Args:
            rng: Of the episode.
            scale: The factor that the objects were built with.
        """

    @abstractmethod
    def observe(self, simulation: Simulation, robot: Robot, tool: ToolState, desired: Goals) -> TaskObservation:
        """Read the task's features and the achieved goal."""

    @abstractmethod
    def evaluate(self, achieved: Goals, desired: Goals) -> dict[str, Flags]:
        """Evaluate goals of shape (..., goal size), read by ``goal[..., number]`` and ``goal - other``.

        A single goal comes in as plain floats: conditions are joined by ``&`` and ``|`` and never negated by ``~``.

        Returns:
            ``is_success`` and the conditions it consists of, each of shape (...).
        """

    @abstractmethod
    def progress(self, achieved: Goals, desired: Goals) -> npt.NDArray[np.float64] | np.float64:
        """How far goals of shape (..., goal size) are from success: 0 is far, 1 is there; shape (...)."""

    def update_markers(self, simulation: Simulation, desired: Goals) -> None:  # noqa: B027  (a hook, not an obligation)
        """Move the markers that show the goal; by default there are none."""

    def goal_features(self, features: Features, desired: Goals) -> Features:
        """The features named ``goal/...``, computed from the other features; by default there are none."""
        return {}

    def sample_tool(self, rng: np.random.Generator) -> Vector3:
        """Draw where the tool starts."""
        x, y, z = rng.uniform(self.tool_low, self.tool_high).tolist()
        return (x, y, z)

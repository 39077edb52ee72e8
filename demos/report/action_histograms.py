"""Histograms of actions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from demos.report.figures import MAX_CHOICES
from demos.runtime.types import Array, Env, Space
from lam_envs.control.discrete import DISCRETE_STEPS
from lam_envs.control.end_effector import MAX_STEP, MAX_YAW_STEP
from lam_envs.control.joint import MAX_JOINT_STEP

BINS = 40
MAX_DIMENSIONS = 24
"""Largest number of action dimensions with a histogram."""


@dataclass
class Histogram:
    """Histogram of one action dimension.

    Attributes:
        name: Meaning of the dimension.
        edges: Edges of the bins, shape (bins + 1,).
        counts: Counts, shape (bins,).
    """

    name: str
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    def add(self, values: Array) -> None:
        """Count values; those beyond the edges count in the outermost bins."""
        inside = np.clip(values, self.edges[0], self.edges[-1])
        self.counts += np.histogram(inside, self.edges)[0]


@dataclass
class DiscreteActionCounts:
    """Counts of discrete actions.

    Attributes:
        first: Number of the first action.
        size: Number of actions.
        labels: Names of the actions; None if they are numbered.
        counts: Count of each action that occurs, by number.
    """

    first: int
    size: int
    labels: Sequence[str] | None
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, values: Array) -> None:
        """Count actions.

        Raises:
            ValueError: An action is out of range.
        """
        numbers, counts = np.unique(values.astype(np.int64), return_counts=True)
        last = self.first + self.size - 1
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            if not self.first <= number <= last:
                raise ValueError(f"an episode has the discrete action {number}; expected {self.first} to {last}")
            self.counts[number] += count

    def table(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Return names and counts of the actions that occur, or of all actions if these are few."""
        numbers = range(self.first, self.first + self.size) if self.size <= MAX_CHOICES else sorted(self.counts)
        names = [str(number) if self.labels is None else self.labels[number - self.first] for number in numbers]
        return names, np.array([self.counts[number] for number in numbers], dtype=np.int64)


class ActionHistograms:
    """Histograms of the actions of a space.

    Args:
        space: ``Box``, ``MultiDiscrete``, ``MultiBinary`` or ``Discrete`` space.
        names: Names of the dimensions or discrete actions; by default they are numbered.
        actions: Actions of all episodes, which give the range of unbounded dimensions.

    Raises:
        ValueError: The space has another type.
    """

    def __init__(self, space: Space, names: Sequence[str] | None, actions: Iterable[Array]) -> None:
        self.size = 1
        """Number of action dimensions."""
        self.choices: DiscreteActionCounts | None = None
        self.numbers: list[Histogram] = []
        if isinstance(space, spaces.Discrete):
            self.choices = DiscreteActionCounts(int(space.start), int(space.n), names)
            return
        low, high = _limits(space, actions)
        self.size = len(low)
        labels = names if names is not None and len(names) == len(low) else [f"number {n}" for n in range(len(low))]
        is_whole = not isinstance(space, spaces.Box)
        for label, smallest, largest in list(zip(labels, low, high, strict=True))[:MAX_DIMENSIONS]:
            self.numbers.append(_empty(label, float(smallest), float(largest), is_whole=is_whole))

    def add(self, actions: Array) -> None:
        """Count the actions of an episode, shape (steps, ...)."""
        if self.choices is not None:
            self.choices.add(np.asarray(actions).reshape(-1))
            return
        columns = np.asarray(actions, dtype=np.float64).reshape(len(actions), -1)
        for histogram, values in zip(self.numbers, columns.T, strict=False):
            histogram.add(values)


def _limits(space: Space, actions: Iterable[Array]) -> tuple[Array, Array]:
    """Return the smallest and the largest value of each dimension."""
    if isinstance(space, spaces.MultiDiscrete):
        start = np.asarray(getattr(space, "start", np.zeros_like(space.nvec))).ravel()
        return start, start + space.nvec.ravel() - 1
    if isinstance(space, spaces.MultiBinary):
        return np.zeros(int(np.prod(space.shape))), np.ones(int(np.prod(space.shape)))
    if not isinstance(space, spaces.Box):
        raise ValueError(f"actions of a {type(space).__name__} space have no histograms")
    low, high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
    # Bounds near the largest float count as unbounded.
    bounded = np.maximum(np.abs(low), np.abs(high)) < 1e6
    if bounded.all():
        return low, high
    smallest, largest = np.full_like(low, np.inf), np.full_like(high, -np.inf)
    for part in actions:
        rows = np.asarray(part, dtype=np.float64).reshape(len(part), -1)
        smallest = np.fmin(smallest, np.fmin.reduce(rows, axis=0))
        largest = np.fmax(largest, np.fmax.reduce(rows, axis=0))
    return np.where(bounded, low, smallest), np.where(bounded, high, largest)


def _empty(name: str, low: float, high: float, *, is_whole: bool) -> Histogram:
    if not np.isfinite([low, high]).all() or high < low:
        low, high = 0.0, 0.0
    if is_whole or high == low:
        low, high = low - 0.5, high + 0.5
    bins = min(BINS, round(high - low)) if is_whole else BINS
    return Histogram(name, np.linspace(low, high, bins + 1), np.zeros(bins, dtype=np.int64))


def action_names(env: Env) -> list[str] | None:
    """Return the names of the action dimensions or discrete actions of an environment; None if unknown.

    Args:
        env: Environment of lam_envs.
    """
    control = env.spec.kwargs.get("control", "ee") if env.spec is not None else None
    along = [f"along {axis} (1 = {100 * MAX_STEP:g} cm)" for axis in "xyz"]
    opening = "gripper (\N{MINUS SIGN}1 closed, 1 open)"
    if control == "ee":
        return [*along, opening]
    if control == "ee_yaw":
        return [*along, f"turn of the hand (1 = {MAX_YAW_STEP:g} rad)", opening]
    if control == "joint" and env.action_space.shape is not None:
        joints = range(1, env.action_space.shape[0])
        return [*(f"turn of joint {number} (1 = {MAX_JOINT_STEP:g} rad)" for number in joints), opening]
    if control == "discrete":
        steps = [
            f"{sign}{axis} by {1000 * step:g} mm"
            for step in DISCRETE_STEPS
            for axis in "xyz"
            for sign in ("+", "\N{MINUS SIGN}")
        ]
        return ["hold still", *steps, "open the gripper", "close the gripper"]
    return None

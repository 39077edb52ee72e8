"""Success and reward as functions of goals, for steps and for hindsight relabeling."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.observation import Array
from lam_envs.tasks import Task
from lam_envs.tasks.goals.checks import check_batches_of_goals
from lam_envs.tasks.goals.one_goal import OneGoal
from lam_envs.tasks.task import Flags

Rewards = npt.NDArray[np.float64] | np.float64


class GoalEvaluation(NamedTuple):
    """Success conditions and rewards of goals of shape (..., goal size)."""

    flags: dict[str, Flags]
    """``is_success`` and its conditions, each of shape (...)."""
    reward: Rewards
    """Shape (...)."""


class Reward:
    """Reward function of a task.

    Args:
        task: Task that defines success and progress.
        dense: True for a dense reward; False for 0 on success and -1 otherwise.
    """

    def __init__(self, task: Task, *, dense: bool) -> None:
        self._task = task
        self._dense = dense
        self._is_checked = False

    def evaluate(self, achieved: Array, desired: Array) -> GoalEvaluation:
        """Evaluate goals of shape (..., goal size)."""
        achieved, desired = _as_float32(achieved), _as_float32(desired)
        if achieved.ndim == desired.ndim == 1:
            return self._evaluate_single(OneGoal(achieved.tolist()), OneGoal(desired.tolist()))
        goals = (achieved.astype(np.float64), desired.astype(np.float64))
        flags = self._task.evaluate(*goals)
        return GoalEvaluation(
            flags, self._reward(flags["is_success"] * 1.0, self._dense and self._task.progress(*goals))
        )

    def _evaluate_single(self, achieved: Any, desired: Any) -> GoalEvaluation:
        flags = self._task.evaluate(achieved, desired)
        if not self._is_checked:
            self._check_flags(flags)
        progress = self._dense and self._task.progress(achieved, desired)
        if self._dense:
            self._check_progress(progress)
        if not self._is_checked:
            check_batches_of_goals(self._task, achieved.array, desired.array, dense=self._dense)
            self._is_checked = True
        return GoalEvaluation(flags, self._reward(flags["is_success"] * 1.0, progress))

    def _reward(self, success: Any, progress: Any) -> Any:
        """Return the reward: 1 on success, at most 0 before it.

        So a policy gains nothing by staying in a state before success, and loses nothing by early termination with
        ``terminate_on_success``.

        Args:
            success: 1.0 on success, else 0.0; shape (...).
            progress: Progress in [0, 1], shape (...).
        """
        return success + (1.0 - success) * (progress - 1.0) if self._dense else success - 1.0

    def _check_flags(self, flags: dict[str, Flags]) -> None:
        """Check that conditions are bools: ``~`` turns Python's True into -2.

        Raises:
            TypeError: A condition of the task is not a bool, or ``is_success`` is missing.
        """
        if not isinstance(flags, dict) or "is_success" not in flags:
            raise TypeError(
                f"{type(self._task).__name__}.evaluate returns {flags!r}; expected a dict of bools with the key "
                "is_success"
            )
        for name, flag in flags.items():
            if not isinstance(flag, (bool, np.bool_)):
                raise TypeError(
                    f"{type(self._task).__name__}.evaluate returns {flag!r} for {name}; expected a bool: join "
                    "conditions with & and |, and invert the comparison instead of negating it with ~"
                )

    def _check_progress(self, progress: object) -> None:
        """Check that progress is a number in [0, 1].

        Raises:
            TypeError: The progress of the task is not a number.
            ValueError: The progress is outside of [0, 1].
        """
        if not isinstance(progress, (float, int, np.floating)):
            raise TypeError(f"{type(self._task).__name__}.progress returns {progress!r}; expected a number")
        if not 0.0 <= progress <= 1.0:
            raise ValueError(
                f"{type(self._task).__name__}.progress returns {progress!r}; expected a number from 0 to 1"
            )

    def compute_reward(self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: object) -> Rewards:
        """Return the rewards of goals, as Gymnasium-Robotics' goal environments do.

        Args:
            achieved_goal: Shape (..., goal size).
            desired_goal: Shape (..., goal size).
            info: Not used.

        Returns:
            Rewards of shape (...).

        Raises:
            ValueError: The goals have another size, or are not finite.
        """
        size = len(self._task.goal_low)
        checked = []
        for kind, goals in (("achieved", achieved_goal), ("desired", desired_goal)):
            if np.shape(goals)[-1:] != (size,):
                raise ValueError(f"the {kind} goals have shape {np.shape(goals)}; expected (..., {size})")
            try:
                with np.errstate(over="ignore"):
                    checked.append(np.asarray(goals).astype(np.float32, casting="same_kind"))
            except TypeError as error:
                raise ValueError(f"the {kind} goals are not real numbers: {error}") from None
            if not np.isfinite(checked[-1]).all():
                raise ValueError(f"some of the {kind} goals are not finite in float32")
        reward = self.evaluate(*checked).reward
        return np.float64(reward) if isinstance(reward, float) else reward


def _as_float32(goal: Array) -> npt.NDArray[np.float32]:
    """Return a goal in float32, as agents have it, so that rewards of a step and of relabeling are equal."""
    return goal if goal.dtype == np.float32 else goal.astype(np.float32)

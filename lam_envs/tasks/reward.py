"""Success and reward as functions of goals: the same for a step and for hindsight relabelling."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lam_envs.tasks import Task
from lam_envs.tasks.checks import check_many_goals
from lam_envs.tasks.one_goal import OneGoal
from lam_envs.tasks.task import Flags

Rewards = npt.NDArray[np.float64] | np.float64


class Evaluation(NamedTuple):
    """What goals of shape (..., goal size) are worth."""

    flags: dict[str, Flags]
    """``is_success`` and its conditions, each of shape (...)."""
    reward: Rewards
    """Shape (...)."""


class Reward:
    """Judges goals by a task.

    Args:
        task: Says what success and progress are.
        dense: Reward progress; else 0 at success and -1 before it.
    """

    def __init__(self, task: Task, *, dense: bool) -> None:
        self._task = task
        self._dense = dense
        self._has_judged = False

    def judge(self, achieved: npt.NDArray[Any], desired: npt.NDArray[Any]) -> Evaluation:
        """Judges goals of shape (..., goal size)."""
        achieved, desired = _of_agents(achieved), _of_agents(desired)
        if achieved.ndim == desired.ndim == 1:
            return self._judge_one(OneGoal(achieved.tolist()), OneGoal(desired.tolist()))
        goals = (achieved.astype(np.float64), desired.astype(np.float64))
        flags = self._task.evaluate(*goals)
        return Evaluation(flags, self._reward(flags["is_success"] * 1.0, self._dense and self._task.progress(*goals)))

    def _judge_one(self, achieved: Any, desired: Any) -> Evaluation:
        flags = self._task.evaluate(achieved, desired)
        if not self._has_judged:
            self._check_flags(flags)
        progress = self._dense and self._task.progress(achieved, desired)
        if self._dense:
            self._check_progress(progress)
        if not self._has_judged:
            check_many_goals(self._task, achieved.array, desired.array, dense=self._dense)
            self._has_judged = True
        return Evaluation(flags, self._reward(flags["is_success"] * 1.0, progress))

    def _reward(self, success: Any, progress: Any) -> Any:
        """The reward of a success, 1 or 0; at most 0 before it.

        So no state short of success is worth staying in, and with ``terminate_on_success`` ending early costs
        nothing.
        """
        return success + (1.0 - success) * (progress - 1.0) if self._dense else success - 1.0

    def _check_flags(self, flags: dict[str, Flags]) -> None:
        """Refuses what only looks like a truth value: ``~`` turns Python's True into -2.

        Raises:
            TypeError: A task's condition is none, or there is no ``is_success`` among them.
        """
        if not isinstance(flags, dict) or "is_success" not in flags:
            raise TypeError(
                f"{type(self._task).__name__}.evaluate gives {flags!r}; expected truth values by name, one of them "
                "is_success"
            )
        for name, flag in flags.items():
            if not isinstance(flag, (bool, np.bool_)):
                raise TypeError(
                    f"{type(self._task).__name__}.evaluate gives {flag!r} for {name}; expected a truth value: join "
                    "conditions by & and |, and turn a comparison round instead of negating it by ~"
                )

    def _check_progress(self, progress: Any) -> None:
        """Refuses what is no share.

        Raises:
            TypeError: A task's progress is no number.
            ValueError: It is not from 0 to 1.
        """
        if not isinstance(progress, (float, int, np.floating)):
            raise TypeError(f"{type(self._task).__name__}.progress gives {progress!r}; expected a number")
        if not 0.0 <= progress <= 1.0:
            raise ValueError(
                f"{type(self._task).__name__}.progress gives {progress!r}; expected a number from 0 to 1"
            )

    def compute_reward(self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: object) -> Rewards:
        """Gymnasium-Robotics' reward function, for one goal or many.

        Args:
            achieved_goal: Shape (..., goal size).
            desired_goal: The same shape.
            info: Not used.

        Returns:
            Rewards of shape (...).

        Raises:
            ValueError: Goals of another size, or that are not finite.
        """
        size = len(self._task.goal_low)
        read = []
        for what, goals in (("achieved", achieved_goal), ("desired", desired_goal)):
            if np.shape(goals)[-1:] != (size,):
                raise ValueError(f"the {what} goals have shape {np.shape(goals)}; expected (..., {size})")
            try:
                with np.errstate(over="ignore"):
                    read.append(np.asarray(goals).astype(np.float32, casting="same_kind"))
            except TypeError as error:
                raise ValueError(f"the {what} goals are no real numbers: {error}") from None
            if not np.isfinite(read[-1]).all():
                raise ValueError(f"some of the {what} goals are not finite in 32 bits")
        reward = self.judge(*read).reward
        return np.float64(reward) if isinstance(reward, float) else reward


def _of_agents(goal: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Agents hold goals in float32: judging the same numbers, in float64, gives them the same reward."""
    return goal if goal.dtype == np.float32 else goal.astype(np.float32)

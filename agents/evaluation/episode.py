"""Result of an episode: success, steps, return, smoothness and force, from its steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.types import Env
from demos.collection.recording import Step
from lam_envs.env import ManipulationEnv


@dataclass(frozen=True)
class EpisodeResult:
    """Result of one episode.

    Attributes:
        seed: Seed of the reset.
        success: True if the task is solved at the last step.
        steps_to_success: Steps until the task is solved and stays solved to the end; None without success.
        episode_return: Sum of rewards.
        length: Number of steps.
        ever_success: True if the task is solved after any step.
        jerk: Mean jerk of the tool, m/s^3, from its positions at the steps; None if the environment is not of
            lam_envs.
        peak_force: Largest contact force of the robot after the reset and at the ends of steps, newtons; None
            likewise.
        completed: Number of successive commands that are done at the last step; None in other tasks.
    """

    seed: int
    success: bool
    steps_to_success: int | None
    episode_return: float
    length: int
    ever_success: bool
    jerk: float | None
    peak_force: float | None
    completed: int | None = None


class EpisodeMeasurement:
    """Measurement of an episode, step by step.

    Args:
        seed: Seed of the reset.
        seconds: Wall time that the episode may take from now on, seconds; None for no limit.
    """

    def __init__(self, seed: int, seconds: float | None) -> None:
        self._seed, self._seconds = seed, seconds
        self._until = math.inf if seconds is None else time.monotonic() + seconds
        self._total, self._length = 0.0, 0
        self._since: int | None = None
        self._ever = False
        self._positions: list[npt.NDArray[np.float64]] = []
        self._forces: list[float] = []

    def add(self, env: Env, step: Step) -> None:
        """Measure a step: the reset first, then each other one.

        Args:
            env: Environment after the step.
            step: The step.

        Raises:
            TimeoutError: The episode took too long.
            ValueError: The info has no ``is_success``.
        """
        if time.monotonic() > self._until:
            raise TimeoutError(f"the episode with seed {self._seed} took longer than {self._seconds:g} s")
        if "is_success" not in step.info:
            raise ValueError(f"the info of {env} has no is_success: expected an environment that reports success")
        inner = env.unwrapped
        if isinstance(inner, ManipulationEnv):
            self._positions.append(inner.features()["tool/position"])
            self._forces.append(inner.contact_force)
        if step.action is None:
            return
        self._total += step.reward
        self._length += 1
        if not step.info["is_success"]:
            self._since = None
        elif self._since is None:
            self._since, self._ever = self._length, True

    def result(self, env: Env, last: Step) -> EpisodeResult:
        """Return the result.

        Args:
            env: Environment after the episode.
            last: Last step.
        """
        inner = env.unwrapped
        has_commands = isinstance(inner, ManipulationEnv) and inner.chain > 1
        return EpisodeResult(
            seed=self._seed,
            success=self._since is not None,
            steps_to_success=self._since,
            episode_return=self._total,
            length=self._length,
            ever_success=self._ever,
            jerk=mean_jerk(self._positions, step_seconds(env)),
            peak_force=round(float(max(self._forces)), 2) if self._forces else None,
            completed=int(last.info["completed"]) if has_commands else None,
        )


def step_seconds(env: Env) -> float:
    """Return the simulated time of a step, seconds."""
    return 1.0 / float(env.metadata.get("render_fps", 20))


def mean_jerk(positions: list[npt.NDArray[np.float64]], step_seconds: float) -> float | None:
    """Return the mean norm of the third derivative of positions of shape (3,); None for fewer than four."""
    if len(positions) < 4:
        return None
    third = np.diff(np.stack(positions), n=3, axis=0) / step_seconds**3
    return round(float(np.linalg.norm(third, axis=1).mean()), 3)

"""What agents meet that they were not trained for: other physics, noise, delay, pushes, another arm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from typing_extensions import override

from agents.evaluation.evaluation import make_env
from lam_envs.versions import environment_versions

AS_TRAINED = "as trained"
"""The condition that changes nothing."""
MAX_PUSHES = 100
DECIDED = {"render_mode", "autoreset"}
"""Keywords of ``gym.make`` that no condition has."""
PUSH_STEPS = 3
"""How long the arm is pushed: 0.15 s."""


@dataclass(frozen=True)
class Condition:
    """What is different from the training.

    Attributes:
        env: Keywords for ``gym.make``.
        action_noise: Standard deviation of Gaussian noise on every number of every action.
        pushes: How often in an episode the arm is pushed: for 3 steps it goes where chance takes it, at full speed.

    Raises:
        ValueError: A number below 0.
    """

    env: dict[str, Any] = field(default_factory=dict)
    action_noise: float = 0.0
    pushes: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not 0.0 <= self.action_noise < float("inf"):
            raise ValueError(f"action_noise is {self.action_noise}; expected a number of at least 0")
        if type(self.pushes) is not int or not 0 <= self.pushes <= MAX_PUSHES:
            raise ValueError(f"pushes is {self.pushes}; expected a whole number from 0 to {MAX_PUSHES}")
        decided = sorted(DECIDED & set(self.env))
        if decided:
            raise ValueError(f"env has {', '.join(decided)}, on which the measurement itself decides")

    def versions(self, environment: str) -> dict[str, int]:
        """Return the version of each part that the condition adds.

        Args:
            environment: A registered id.
        """
        parts = environment_versions(environment, **self.env)
        if self.action_noise:
            parts["action noise"] = NoisyActions.version
        if self.pushes:
            parts["shoves"] = PushedArm.version
        return parts

    def make(self, environment: str, **keywords: Any) -> gym.Env[Any, Any]:
        """Makes an environment under the condition.

        Args:
            environment: An id.
            keywords: For ``gym.make``, besides.

        Raises:
            ValueError: It knows no such keyword, or its actions cannot be disturbed like this.
        """
        try:
            env = make_env(environment, **{**self.env, **keywords})
        except TypeError as error:
            raise ValueError(f"{environment} cannot be made with {self.env}: {error}") from error
        if (self.action_noise or self.pushes) and not isinstance(env.action_space, gym.spaces.Box):
            env.close()
            raise ValueError(f"actions of {environment} are no numbers that could be disturbed")
        if self.action_noise:
            env = NoisyActions(env, self.action_noise)
        return PushedArm(env, self.pushes) if self.pushes else env


class NoisyActions(gym.ActionWrapper[Any, Any, Any]):
    """Adds Gaussian noise to every action; the same noise for the same seed.

    Args:
        env: With a continuous action space.
        scale: Standard deviation, of actions in [-1, 1].
    """

    version = 1
    """Raise it when the same seed gives other noise: results under the condition are then outdated."""

    def __init__(self, env: gym.Env[Any, Any], scale: float) -> None:
        super().__init__(env)
        self._scale = scale
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    @override
    def action(self, action: Any) -> Any:
        noisy = action + self._scale * self._rng.standard_normal(np.shape(action))
        return noisy.astype(np.asarray(action).dtype)


class PushedArm(gym.Wrapper[Any, Any, Any, Any]):
    """Pushes the arm at times that chance draws: the same for the same seed.

    A push takes the place of the action for some steps: a direction at full speed, with the gripper as the agent
    wants it.

    Args:
        env: With a continuous action space and a time limit.
        pushes: Of an episode.
    """

    version = 1
    """Raise it when the same seed gives other pushes: results under the condition are then outdated."""

    def __init__(self, env: gym.Env[Any, Any], pushes: int) -> None:
        super().__init__(env)
        self._pushes = pushes
        self._directions: dict[int, Any] = {}
        self._step = 0
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 3])
        limit = (self.spec.max_episode_steps if self.spec is not None else None) or 100
        self._step = 0
        self._directions = {}
        # In the first half, so that there is time to recover.
        for start in self._rng.integers(1, max(2, limit // 2), size=self._pushes):
            direction = self._rng.choice([-1.0, 1.0], size=self.action_space.shape)
            self._directions |= {int(start) + step: direction for step in range(PUSH_STEPS)}
        return self.env.reset(seed=seed, options=options)

    @override
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        direction = self._directions.get(self._step)
        self._step += 1
        given = np.asarray(action)
        if direction is not None and given.shape == direction.shape:
            pushed = direction.astype(given.dtype)
            pushed[-1] = given[-1]
            return self.env.step(pushed)
        return self.env.step(action)

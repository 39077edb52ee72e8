"""Conditions that agents were not trained for: changed physics, noise, delay, pushes, another robot."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from pydantic import Field
from typing_extensions import override

from agents.evaluation.evaluation import make_env
from agents.types import Array, Env, Info, Keywords, Observation
from benchmarks.suite.fields import EnvKeywords, SuiteModel
from demos.collection.environment_versions import environment_versions
from lam_envs.env import ManipulationEnv

RECORDED_PUSHES = "shoves"
"""Earlier name of the version of pushes, which is in the cache keys of published results."""
AS_TRAINED = "as trained"
"""Name of the condition that changes nothing."""
PUSH_STEPS = 3
"""Duration of a push: 0.15 s."""


class Condition(SuiteModel):
    """Changes to an environment since the training."""

    env: EnvKeywords = Field(default={}, description="Keywords for ``gym.make``.")
    action_noise: float = Field(
        default=0.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Standard deviation of Gaussian noise on each action component.",
    )
    pushes: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Pushes in an episode: 3 steps at full speed in a random direction.",
    )

    other_instruction: bool = Field(
        default=False,
        description="Give the instruction of another feasible command than the one that success refers to.",
    )

    def versions(self, environment: str) -> dict[str, int]:
        """Return the version of each part that the condition adds.

        Args:
            environment: A registered id.
        """
        parts = environment_versions(environment, **self.env)
        if self.action_noise:
            parts["action noise"] = NoisyActions.version
        if self.pushes:
            parts[RECORDED_PUSHES] = PushedArm.version
        if self.other_instruction:
            parts["other instruction"] = OtherInstruction.version
        return parts

    def make(self, environment: str, **keywords: Any) -> Env:
        """Make an environment under the condition.

        Args:
            environment: An id.
            keywords: Further keywords for ``gym.make``.

        Raises:
            ValueError: The environment has no such keyword, or its actions cannot be perturbed.
        """
        try:
            env = make_env(environment, **{**self.env, **keywords})
        except TypeError as error:
            raise ValueError(f"{environment} cannot be made with {self.env}: {error}") from error
        if (self.action_noise or self.pushes) and not isinstance(env.action_space, gym.spaces.Box):
            env.close()
            raise ValueError(f"the actions of {environment} cannot be perturbed; expected a Box action space")
        if self.other_instruction:
            env = OtherInstruction(env)
        if self.action_noise:
            env = NoisyActions(env, self.action_noise)
        return PushedArm(env, self.pushes) if self.pushes else env


class NoisyActions(gym.ActionWrapper[Any, Any, Any]):
    """Wrapper that adds Gaussian noise to every action; the same noise for the same seed.

    Args:
        env: Environment with a continuous action space.
        scale: Standard deviation, for actions in [-1, 1].
    """

    version = 1
    """Increase it when the same seed gives other noise: results under the condition are then outdated."""

    def __init__(self, env: Env, scale: float) -> None:
        super().__init__(env)
        self._scale = scale
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: Keywords | None = None) -> tuple[Observation, Info]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    @override
    def action(self, action: Array) -> Array:
        given = np.asarray(action)
        if not np.issubdtype(given.dtype, np.floating):
            # Whole numbers would lose the noise.
            given = given.astype(self.action_space.dtype)
        noisy = given + self._scale * self._rng.standard_normal(given.shape)
        return noisy.astype(given.dtype)


class PushedArm(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that pushes the arm at random times; the same times for the same seed.

    A push replaces the action for some steps: a random direction at full speed, with the agent's gripper command.

    Args:
        env: Environment with a continuous action space and a time limit.
        pushes: Number of pushes in an episode.
    """

    version = 1
    """Increase it when the same seed gives other pushes: results under the condition are then outdated."""

    def __init__(self, env: Env, pushes: int) -> None:
        super().__init__(env)
        self._pushes = pushes
        self._directions: dict[int, Array] = {}
        self._step = 0
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: Keywords | None = None) -> tuple[Observation, Info]:
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
    def step(self, action: Array) -> tuple[Observation, SupportsFloat, bool, bool, Info]:
        direction = self._directions.get(self._step)
        self._step += 1
        wanted = np.asarray(action)
        if direction is not None and wanted.shape == direction.shape:
            pushed = direction.astype(wanted.dtype)
            pushed[-1] = wanted[-1]
            return self.env.step(pushed)
        return self.env.step(action)


class OtherInstruction(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that gives the instruction of another command than the one that success refers to.

    The other command is feasible in the same scene; the same one for the same seed.

    Args:
        env: Environment of lam_envs whose task has several commands.

    Raises:
        ValueError: The task has one command.
    """

    version = 1
    """Increase it when the same seed gives another instruction: results under the condition are then outdated."""

    def __init__(self, env: Env) -> None:
        inner = env.unwrapped
        if not isinstance(inner, ManipulationEnv) or len(inner.commands) < 2:
            raise ValueError(f"{env} has no other command to ask for; expected a task with several commands")
        super().__init__(env)
        self._inner = inner
        self._rng = np.random.default_rng(0)

    @override
    def reset(self, *, seed: int | None = None, options: Keywords | None = None) -> tuple[Observation, Info]:
        if seed is not None:
            self._rng = np.random.default_rng([seed, 4])
        scene = int(self._rng.integers(2**32)) if seed is None else seed
        observation, info = self.env.reset(seed=scene, options=options)
        command = self._inner.command
        others = [each for each in self._inner.feasible_commands if each != command]
        if not others:
            return observation, info
        other = others[int(self._rng.integers(len(others)))]
        sentences = self._inner.instructions_for(other).train
        given = {"command": command, "instruction": sentences[int(self._rng.integers(len(sentences)))]}
        return self.env.reset(seed=scene, options={**(options or {}), **given})

"""Record one episode with everything needed to repeat and judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import numpy.typing as npt

STATE = "state"
"""Name of the info that holds the simulator's state at each moment."""


@runtime_checkable
class Acting(Protocol):
    """Anything with Stable-Baselines3's ``predict``."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Chooses an action."""
        ...


@dataclass(frozen=True)
class Episode:
    """One episode of T steps.

    Attributes:
        seed: What ``reset`` was given.
        observations: T + 1 observations, stacked; a dict of stacks for dict spaces.
        actions: Shape (T, ...).
        rewards: Shape (T,).
        terminations: Shape (T,).
        truncations: Shape (T,).
        infos: T + 1 values of each info, and of the simulator's state.
    """

    seed: int
    observations: Any
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    infos: dict[str, npt.NDArray[Any]]

    def differs_from(self, other: Episode) -> str | None:
        """Returns the name of the first part that is not bit-identical to another episode's, or None."""
        for name in ("observations", "actions", "rewards", "terminations", "truncations", "infos"):
            if not _identical(getattr(self, name), getattr(other, name)):
                return name
        return None


def record(env: gym.Env[Any, Any], policy: Acting, seed: int) -> Episode:
    """Lets a policy act for one episode.

    Args:
        env: A lam_envs environment with a time limit.
        policy: Acts deterministically.
        seed: For ``env.reset``.
    """
    memory: Any = None

    def choose(observation: Any, step: int) -> Any:
        nonlocal memory
        action, memory = policy.predict(
            observation, state=memory, episode_start=np.array([step == 0]), deterministic=True
        )
        return action

    return _run(env, seed, choose)


def re_execute(env: gym.Env[Any, Any], actions: Sequence[Any] | npt.NDArray[Any], seed: int) -> Episode:
    """Repeats recorded actions from a seed."""
    return _run(env, seed, lambda _, step: actions[step], limit=len(actions))


def _run(env: gym.Env[Any, Any], seed: int, choose: Any, limit: int | None = None) -> Episode:
    inner: Any = env.unwrapped
    observation, info = env.reset(seed=seed)
    observations, infos = [observation], [{**info, STATE: inner.physical_state()}]
    actions: list[Any] = []
    rewards: list[float] = []
    terminations: list[bool] = []
    truncations: list[bool] = []
    over = limit == 0
    while not over:
        action = choose(observation, len(actions))
        observation, reward, terminated, truncated, info = env.step(action)
        observations.append(observation)
        infos.append({**info, STATE: inner.physical_state()})
        actions.append(action)
        rewards.append(float(reward))
        terminations.append(terminated)
        truncations.append(truncated)
        over = terminated or truncated or len(actions) == limit
    return Episode(
        seed=seed,
        observations=_stack(observations),
        actions=np.array(actions),
        rewards=np.array(rewards),
        terminations=np.array(terminations, dtype=bool),
        truncations=np.array(truncations, dtype=bool),
        infos={name: np.array([info[name] for info in infos]) for name in infos[0]},
    )


def _stack(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {name: np.stack([part[name] for part in observations]) for name in observations[0]}
    return np.stack(observations)


def _identical(left: Any, right: Any) -> bool:
    if isinstance(left, dict) or isinstance(right, dict):
        return (
            isinstance(left, dict)
            and isinstance(right, dict)
            and left.keys() == right.keys()
            and all(_identical(left[name], right[name]) for name in left)
        )
    a, b = np.asarray(left), np.asarray(right)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()

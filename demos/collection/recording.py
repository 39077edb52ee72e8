"""Roll out policies and recorded actions, and write episodes down with all that repeats and judges them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from demos.datasets.episode import STATE, Episode
from lam_envs import ToolCommand
from lam_envs.observation import Features

ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces whose values are arrays of numbers."""
DEEPEST = 8
"""Dicts in dicts of infos."""


@runtime_checkable
class Policy(Protocol):
    """Anything with Stable-Baselines3's ``predict``."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Choose an action."""
        ...


class Step(NamedTuple):
    """One moment of a roll-out: what was done, and what came of it."""

    action: Any
    """None at the reset."""
    observation: Any
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


def rollout(env: gym.Env[Any, Any], policy: Policy, seed: int) -> Iterator[Step]:
    """Let a policy act, deterministically, for one episode.

    Args:
        env: With a time limit.
        policy: Keeps its memory in the ``state`` that it returns.
        seed: For ``env.reset``.

    Yields:
        The reset, then every step to the end of the episode.
    """
    observation, info = env.reset(seed=seed)
    step = Step(None, observation, 0.0, False, False, info)
    yield step
    memory: Any = None
    start = True
    while not (step.terminated or step.truncated):
        action, memory = policy.predict(
            step.observation, state=memory, episode_start=np.array([start]), deterministic=True
        )
        start = False
        step = Step(action, *_stepped(env, action))
        yield step


def replayed(
    env: gym.Env[Any, Any], actions: Iterable[Any], seed: int, options: dict[str, Any] | None = None
) -> Iterator[Step]:
    """Repeat recorded actions from a seed, and from the options of the reset; yields the reset, then every step."""
    observation, info = env.reset(seed=seed, options=options)
    yield Step(None, observation, 0.0, False, False, info)
    for action in actions:
        step = Step(action, *_stepped(env, action))
        yield step
        if step.terminated or step.truncated:
            return


def _stepped(env: gym.Env[Any, Any], action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    observation, reward, terminated, truncated, info = env.step(action)
    return observation, float(reward), terminated, truncated, info


def commanded(features: Features) -> ToolCommand:
    """What the robot was told to reach last, as far as its control says: doing it again keeps it where it is.

    Args:
        features: Of an environment of lam_envs.
    """
    position = features["tool/position"] + features.get("tool/lag", 0.0)
    yaw = features["tool/yaw"] + features["tool/yaw_lag"] if "tool/yaw" in features else np.zeros(1)
    x, y, z = position.tolist()
    return ToolCommand((x, y, z), float(features["gripper/target"][0]), float(yaw[0]))


def record(env: gym.Env[Any, Any], steps: Iterable[Step], seed: int) -> Episode:
    """Write down a roll-out, with the simulator's state at every moment where the environment tells it.

    Infos that are not there at every moment, or that are no numbers of one shape under plain names, are left out.

    Args:
        env: Where the roll-out happens.
        steps: Of :func:`rollout` or :func:`replayed`, not yet begun.
        seed: What they were given.
    """
    inner: Any = env.unwrapped
    taken: list[Step] = []
    infos: list[dict[str, Any]] = []
    for step in steps:
        taken.append(step)
        state = {STATE: inner.physical_state()} if hasattr(inner, "physical_state") else {}
        infos.append({**step.info, **state})
    done = taken[1:]
    return Episode(
        seed=seed,
        observations=stack([step.observation for step in taken]),
        actions=np.array([step.action for step in done]),
        rewards=np.array([step.reward for step in done]),
        terminations=np.array([step.terminated for step in done], dtype=bool),
        truncations=np.array([step.truncated for step in done], dtype=bool),
        infos=_numbers(infos),
    )


def check_spaces(env: gym.Env[Any, Any]) -> None:
    """Refuse an environment whose observations or actions a dataset has no place for.

    Raises:
        ValueError: They are no arrays of numbers, nor, of observations, dicts of such with plain names.
    """
    for what, space in (("observations", env.observation_space), ("actions", env.action_space)):
        fault = _fault(space)
        if fault is None and what == "actions" and isinstance(space, spaces.Dict):
            fault = str(space)
        if fault is not None:
            raise ValueError(
                f"the {what} cannot be recorded: {fault}; expected {', '.join(kind.__name__ for kind in ARRAYS)}"
                f"{' or Dict of these' if what == 'observations' else ''}, none empty. Wrap the environment."
            )


def _fault(space: gym.Space[Any]) -> str | None:
    if not isinstance(space, spaces.Dict):
        is_array = isinstance(space, ARRAYS) and 0 not in (space.shape or ())
        return None if is_array else str(space)
    if not space.spaces:
        return "an empty Dict"
    for name, inner in space.spaces.items():
        fault = _fault(inner) if _is_name(name) else f"the name {name!r}"
        if fault is not None:
            return fault
    return None


def _is_name(name: Any) -> bool:
    """Whether HDF5 stores something under this very name."""
    return isinstance(name, str) and name.isprintable() and "/" not in name and name not in ("", ".", "..")


def _numbers(infos: list[dict[str, Any]], depth: int = 1) -> dict[str, Any]:
    """The infos that are there at every moment as numbers of one shape, stacked."""
    stacked: dict[str, Any] = {}
    for name in infos[0]:
        values = [info[name] for info in infos if name in info]
        if len(values) < len(infos) or not _is_name(name):
            continue
        if all(isinstance(value, dict) for value in values):
            inner = _numbers(values, depth + 1) if depth < DEEPEST else {}
            stacked |= {name: inner} if inner else {}
        else:
            # What is no number, or of changing shapes, becomes no array of numbers.
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                array = np.array(values)
                stacked |= {name: array} if array.dtype.kind in "biuf" else {}
    return stacked


def stack(moments: list[Any]) -> Any:
    """Return a list of arrays, or of dicts of arrays, as one array or dict of arrays."""
    if isinstance(moments[0], dict):
        return {name: stack([moment[name] for moment in moments]) for name in moments[0]}
    return np.array(moments)

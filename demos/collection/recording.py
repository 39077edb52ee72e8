"""Roll out policies and recorded actions, and record episodes with all that is needed to replay and evaluate them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from demos.datasets.episode import INSTRUCTION, STATE, Episode, instruction_in
from demos.datasets.reading import as_in_space
from demos.runtime.types import Action, Array, Env, Info, Keywords, Memory, Observation, Space
from lam_envs import ToolCommand
from lam_envs.observation import Features

ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces whose values are arrays of numbers."""
MAX_DEPTH = 8
"""Most levels of nested dicts in infos."""


@runtime_checkable
class Policy(Protocol):
    """Policy with the ``predict`` method of Stable-Baselines3."""

    def predict(
        self,
        observation: Any,
        state: Memory = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Memory]:
        """Return an action and the next state of the policy."""
        ...


class Step(NamedTuple):
    """One step of a rollout: the action and its result."""

    action: Action | None
    """None for the reset."""
    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    info: Info


def rollout(env: Env, policy: Policy, seed: int) -> Iterator[Step]:
    """Roll out a policy, deterministically, for one episode.

    Args:
        env: Environment with a time limit.
        policy: Policy with ``predict``; a recurrent one returns its state.
        seed: Seed of ``env.reset``.

    Yields:
        The reset, then every step until the end of the episode.

    Raises:
        TypeError: ``predict`` returns something else than an action and a state.
    """
    observation, info = env.reset(seed=seed)
    step = Step(None, observation, 0.0, False, False, info)
    yield step
    state: Memory = None
    start = True
    while not (step.terminated or step.truncated):
        action, state = predicted(policy, step.observation, state, np.array([start]))
        start = False
        step = take_step(env, action)
        yield step


def predicted(policy: Policy, observation: Any, state: Memory, starts: Array) -> tuple[Any, Memory]:
    """Return what a policy predicts, deterministically: an action, or a batch of them, and its next state.

    Args:
        policy: Policy with ``predict``.
        observation: Observation, or a batch of them.
        state: State of the policy; None at the start.
        starts: True where an episode starts, shape (1,), or (N,) for a batch.

    Raises:
        TypeError: ``predict`` returns something else than an action and a state.
    """
    answer = policy.predict(observation, state=state, episode_start=starts, deterministic=True)
    if not (isinstance(answer, (tuple, list)) and len(answer) == 2):
        raise TypeError(
            f"predict returned {answer!r}; expected a pair (action, state), as in Stable-Baselines3: "
            "return action, state"
        )
    return answer[0], answer[1]


def take_step(env: Env, action: Action) -> Step:
    """Execute an action; return the step."""
    observation, reward, terminated, truncated, info = env.step(action)
    return Step(action, observation, float(reward), terminated, truncated, info)


def replay_steps(env: Env, actions: Iterable[Action], seed: int, options: Keywords | None = None) -> Iterator[Step]:
    """Execute recorded actions after a reset with a seed and options; yield the reset, then every step."""
    observation, info = env.reset(seed=seed, options=options)
    yield Step(None, observation, 0.0, False, False, info)
    for action in actions:
        step = take_step(env, action)
        yield step
        if step.terminated or step.truncated:
            return


def last_command(features: Features) -> ToolCommand:
    """Return the last tool command, reconstructed from the features; repeating it holds the robot still.

    Args:
        features: Features of an environment of lam_envs.
    """
    position = features["tool/position"] + features.get("tool/lag", 0.0)
    yaw = features["tool/yaw"] + features["tool/yaw_lag"] if "tool/yaw" in features else np.zeros(1)
    x, y, z = position.tolist()
    return ToolCommand((x, y, z), float(features["gripper/target"][0]), float(yaw[0]))


def record(env: Env, steps: Iterable[Step], seed: int) -> Episode:
    """Record a rollout, with the simulator's state at every step if the environment provides it.

    Observations are converted to the number types of the observation space.

    Only infos that are numeric, of the same shape at every step, and whose names HDF5 accepts are recorded. An
    instruction that does not change is an attribute of the episode, not an info.

    Args:
        env: Environment of the rollout.
        steps: Iterator of :func:`rollout` or :func:`replay_steps`, before its first step.
        seed: Seed of the rollout.

    Raises:
        ValueError: The type of the observation space cannot hold an observation.
    """
    inner = env.unwrapped
    recorded: list[Step] = []
    infos: list[Info] = []
    for step in steps:
        recorded.append(step)
        state = {STATE: inner.physical_state()} if hasattr(inner, "physical_state") else {}
        infos.append({**step.info, **state})
    executed = recorded[1:]
    instructions = [instruction_in(info) for info in infos]
    if None not in instructions and len(set(instructions)) == 1:
        infos = [{name: value for name, value in info.items() if name != INSTRUCTION} for info in infos]
    return Episode(
        seed=seed,
        observations=as_in_space(
            stack([step.observation for step in recorded]), env.observation_space, f"the observations of {env}"
        ),
        actions=np.array([step.action for step in executed]),
        rewards=np.array([step.reward for step in executed]),
        terminations=np.array([step.terminated for step in executed], dtype=bool),
        truncations=np.array([step.truncated for step in executed], dtype=bool),
        infos=_numbers(infos),
        instruction=instructions[0],
    )


def check_spaces(env: Env) -> None:
    """Check that a dataset can hold the observations and actions of an environment.

    Raises:
        ValueError: They are not arrays of numbers, or, for observations, dicts of arrays with plain names.
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


def _fault(space: Space) -> str | None:
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


def _is_name(name: object) -> bool:
    """Return True if HDF5 can store data under this name."""
    return isinstance(name, str) and name.isprintable() and "/" not in name and name not in ("", ".", "..")


def _numbers(infos: list[Info], depth: int = 1) -> Info:
    """Return the stacked infos that are numbers of one shape at every step."""
    stacked: Info = {}
    for name in infos[0]:
        values = [info[name] for info in infos if name in info]
        if len(values) < len(infos) or not _is_name(name):
            continue
        if all(isinstance(value, dict) for value in values):
            inner = _numbers(values, depth + 1) if depth < MAX_DEPTH else {}
            stacked |= {name: inner} if inner else {}
        else:
            # Skip values that do not make an array of numbers.
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                array = np.array(values)
                stacked |= {name: array} if array.dtype.kind in "biuf" else {}
    return stacked


def stack(values: Sequence[Any]) -> Any:
    """Return a list of arrays, or of dicts of arrays, as one array or dict of arrays."""
    if isinstance(values[0], dict):
        return {name: stack([value[name] for value in values]) for name in values[0]}
    return np.array(values)

"""Consecutive environments of a vector environment, which one process steps in turn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import Space
from gymnasium.error import ResetNeeded

from lam_envs.vector.arrays import BatchArrays, write_row
from lam_envs.vector.gymnasium_api import AutoresetMode
from lam_envs.vector.infos import Info, batch_infos, signature

Env = gym.Env[Any, Any]
EnvFunction = Callable[[], Env]


class EnvFailure(Exception):  # noqa: N818  (it carries the error)
    """Error that an environment raised.

    Attributes:
        number: Number of the environment in the vector environment.
        error: The error.
        trace: Its traceback in another process; None in this one.
    """

    def __init__(self, number: int, error: BaseException, trace: str | None = None) -> None:
        super().__init__(number, error, trace)
        self.number = number
        self.error = error
        self.trace = trace


class EnvSlice:
    """Consecutive environments of a vector environment.

    Args:
        functions: Functions that make the environments.
        first: Number of the first one in the vector environment.

    Raises:
        EnvFailure: An environment cannot be made, or has other spaces than the first.
    """

    def __init__(self, functions: Sequence[EnvFunction], first: int) -> None:
        self.first = first
        self._arrays: BatchArrays
        self._mode = AutoresetMode.NEXT_STEP
        self._has_ended = [False] * len(functions)
        self._signatures: list[Any] = []
        self.envs: list[Env] = []
        try:
            for index, function in enumerate(functions):
                with self._numbered(index):
                    self.envs.append(function())
                    self._check_spaces(self.envs[-1], self.envs[0].observation_space, self.envs[0].action_space)
        except EnvFailure:
            self.close()
            raise

    def attach(
        self, observation_space: Space[Any], action_space: Space[Any], arrays: BatchArrays, mode: AutoresetMode
    ) -> None:
        """Set the arrays of the vector environment, and the time of resets after ends of episodes.

        Raises:
            EnvFailure: An environment has other spaces.
        """
        for index, env in enumerate(self.envs):
            with self._numbered(index):
                self._check_spaces(env, observation_space, action_space)
        self._arrays, self._mode = arrays, mode

    def reset(self, seeds: Sequence[int | None], resets: Sequence[bool], options: dict[str, Any] | None) -> Info:
        """Reset environments, write their observations and return their infos.

        Args:
            seeds: Seed of each environment.
            resets: True for each environment to reset.
            options: Options of each reset.

        Raises:
            EnvFailure: A reset failed.
        """
        infos: list[Info] = [{} for _ in self.envs]
        for index, env in enumerate(self.envs):
            if resets[index]:
                with self._numbered(index):
                    observation, infos[index] = env.reset(seed=seeds[index], options=options)
                    write_row(self._arrays.observations, self.first + index, observation)
                self._has_ended[index] = False
        self._signatures = []
        return batch_infos(infos)

    def step(self, dtype: str) -> Info | None:
        """Step each environment, and write observations, rewards and flags.

        Args:
            dtype: Type of the numbers of the actions.

        Returns:
            The infos; None if they are those of the step before.

        Raises:
            EnvFailure: A step or reset failed; the environments after it have not been stepped.
        """
        arrays, mode, first = self._arrays, self._mode, self.first
        actions = arrays.actions(np.dtype(dtype))
        infos: list[Info] = []
        for index, env in enumerate(self.envs):
            row = first + index
            try:
                if not self._has_ended[index]:
                    observation, reward, terminated, truncated, info = env.step(actions[row])
                elif mode == AutoresetMode.NEXT_STEP:
                    observation, info = env.reset()
                    reward, terminated, truncated = 0.0, False, False
                else:
                    raise ResetNeeded('its episode has ended: reset it by options={"reset_mask": ...}')
                has_ended = bool(terminated or truncated)
                if has_ended and mode == AutoresetMode.SAME_STEP:
                    final, final_info = copy.deepcopy(observation), info
                    observation, info = env.reset()
                    info = {"final_obs": final, "final_info": final_info, **info}
                    has_ended = False
                write_row(arrays.observations, row, observation)
            except Exception as error:
                raise EnvFailure(row, error) from error
            arrays.rewards[row] = reward
            arrays.terminations[row] = terminated
            arrays.truncations[row] = truncated
            self._has_ended[index] = has_ended
            infos.append(info)
        signatures = [signature(info) for info in infos]
        if signatures == self._signatures:
            return None
        self._signatures = signatures
        return batch_infos(infos)

    def call(
        self, name: str | Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], rows: Sequence[bool]
    ) -> list[Any]:
        """Return the results of a method or function, or the values of an attribute.

        Args:
            name: Name of the method or attribute, which wrappers may have; or a function of an environment.
            args: Further arguments.
            kwargs: Keyword arguments.
            rows: True for each environment that is meant.

        Raises:
            EnvFailure: An environment has no such attribute, or its method failed.
        """
        results = []
        for index, env in enumerate(self.envs):
            if rows[index]:
                with self._numbered(index):
                    if not isinstance(name, str):
                        results.append(name(env, *args, **kwargs))
                        continue
                    found = env.get_wrapper_attr(name)
                    results.append(found(*args, **kwargs) if callable(found) else found)
        return results

    def set_attr(self, name: str, values: Sequence[Any]) -> None:
        """Set an attribute of each environment, in the wrapper that has it.

        Raises:
            EnvFailure: The attribute cannot be set.
        """
        for index, (env, value) in enumerate(zip(self.envs, values, strict=True)):
            with self._numbered(index):
                if hasattr(type(env), "set_wrapper_attr"):
                    env.set_wrapper_attr(name, value)
                else:  # before Gymnasium 1.0
                    setattr(env, name, value)

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()

    def _check_spaces(self, env: Env, observation_space: Space[Any], action_space: Space[Any]) -> None:
        if env.observation_space != observation_space or env.action_space != action_space:
            raise ValueError(
                f"its spaces are {env.observation_space} and {env.action_space}; expected those of environment 0, "
                f"{observation_space} and {action_space}"
            )

    @contextmanager
    def _numbered(self, index: int) -> Iterator[None]:
        """Add the number of an environment to its errors."""
        try:
            yield
        except Exception as error:
            raise EnvFailure(self.first + index, error) from error

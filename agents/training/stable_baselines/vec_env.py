"""Stable-Baselines3's ``VecEnv`` of environments that a few processes step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from lam_envs.vector import AutoresetMode, ParallelVectorEnv
from lam_envs.vector.infos import Info, split_infos


class ParallelVecEnv(VecEnv):
    """``VecEnv`` of a :class:`lam_envs.vector.ParallelVectorEnv`.

    Steps, resets and infos are those of ``DummyVecEnv`` and ``SubprocVecEnv`` with the same environments.

    Args:
        envs: Vector environment that resets an environment in the step that ends its episode.

    Raises:
        ValueError: The vector environment resets at another time.
    """

    def __init__(self, envs: ParallelVectorEnv) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"autoreset_mode is {envs.autoreset_mode.value}; expected SameStep")
        self._envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> VecEnvObs:
        """Reset all environments; return their observations."""
        if any(self._options):
            for number, options in enumerate(self._options):
                mask = np.arange(self.num_envs) == number
                observations, infos = self._envs.reset(seed=self._seeds, options={**options, "reset_mask": mask})
                self.reset_infos[number] = split_infos(infos, self.num_envs)[number]
        else:
            observations, infos = self._envs.reset(seed=self._seeds)
            self.reset_infos = split_infos(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        result: VecEnvObs = observations
        return result

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        """Begin a step of all environments."""
        self._envs.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Return observations, rewards, ends and infos of the step."""
        observations, rewards, terminations, truncations, infos = self._envs.step_wait()
        single = split_infos(infos, self.num_envs)
        dones = terminations | truncations
        for number in np.flatnonzero(dones):
            single[number], self.reset_infos[number] = _at_end(single[number])
        for info, timed_out in zip(single, (truncations & ~terminations).tolist(), strict=True):
            info["TimeLimit.truncated"] = timed_out
        return observations, rewards.astype(np.float32), dones, single

    def close(self) -> None:
        """Close the environments, and end the processes."""
        self._envs.close()

    def get_images(self) -> Sequence[np.ndarray[Any, Any] | None]:
        """Return an image of each environment."""
        return self._envs.render()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments."""
        return list(self._envs.call_some(self._numbers(indices), _value, attr_name))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of some environments, in their outermost wrappers."""
        self._envs.call_some(self._numbers(indices), setattr, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some environments."""
        return list(self._envs.call_some(self._numbers(indices), method_name, *method_args, **method_kwargs))

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return whether some environments have a wrapper."""
        return list(self._envs.call_some(self._numbers(indices), is_wrapped, wrapper_class))

    def _numbers(self, indices: VecEnvIndices) -> list[int]:
        return [int(number) for number in self._get_indices(indices)]


def _value(env: gym.Env[Any, Any], name: str) -> Any:
    return env.get_wrapper_attr(name)


def _at_end(info: Info) -> tuple[Info, Info]:
    """Return the info of the last step of an episode as in Stable-Baselines3, and that of the next reset."""
    reset_info = {name: value for name, value in info.items() if name not in ("final_obs", "final_info")}
    return {**info["final_info"], "terminal_observation": info["final_obs"]}, reset_info

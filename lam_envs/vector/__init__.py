"""Vector environments: several environments that are stepped together."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import gymnasium as gym

from lam_envs.validation import whole_number
from lam_envs.vector.gymnasium_api import AutoresetMode
from lam_envs.vector.parallel import ParallelVectorEnv

__all__ = ["AutoresetMode", "ParallelVectorEnv", "make_vec"]


def make_vec(
    env_id: str,
    num_envs: int = 1,
    *,
    num_workers: int | None = None,
    context: str | None = None,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    **env_kwargs: Any,
) -> ParallelVectorEnv:
    """Make several environments that are stepped together, by worker processes.

    ``gym.make_vec(env_id, num_envs=16)`` calls this function; Gymnasium 0.29 only with
    ``vectorization_mode="custom"``, with further arguments in ``vector_kwargs``, and with the id's own
    ``max_episode_steps``.

    Args:
        env_id: Registered id.
        num_envs: Number of environments.
        num_workers: Number of processes; by default one for each core that this process may use. With 0 or 1 this
            process steps all environments itself.
        context: Start method of processes: ``fork``, ``spawn`` or ``forkserver``.
        autoreset_mode: Time at which an environment whose episode has ended is reset: ``NextStep``, ``SameStep`` or
            ``Disabled``.
        env_kwargs: Keywords of ``gym.make`` for each environment.

    Raises:
        ValueError: A number or name is invalid.
    """
    count = whole_number(num_envs)
    if count is None or count < 1:
        raise ValueError(f"num_envs is {num_envs!r}; expected a positive whole number of environments")
    # New processes may not have registered the id: they get its registration.
    spec = copy.deepcopy(gym.spec(env_id))
    return ParallelVectorEnv(
        [partial(gym.make, spec, **env_kwargs)] * count,
        num_workers=num_workers,
        context=context,
        autoreset_mode=autoreset_mode,
    )


def __getattr__(name: str) -> Any:
    """Return the function that makes vector environments of a registered id, for ``vector_entry_point``.

    Gymnasium does not give the id to an entry point, so the entry point of ``LamGrasp-v0`` is
    ``lam_envs.vector:LamGrasp-v0``.
    """
    if name in gym.registry:
        return partial(make_vec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}, and no environment has this id")

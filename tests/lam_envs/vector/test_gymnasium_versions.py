"""Vector environments work with every supported version of Gymnasium, also those before its autoreset modes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from lam_envs.vector import AutoresetMode, ParallelVectorEnv

from .comparing import assert_same, batches

IS_OLD = gym.__version__.startswith("0.")


def made(env_id: str, count: int, **keywords: Any) -> ParallelVectorEnv:
    """Make a vector environment by the arguments of ``gym.make_vec`` that this version of Gymnasium has."""
    given = {"vectorization_mode": "custom", "vector_kwargs": keywords} if IS_OLD else keywords
    envs: Any = gym.make_vec(env_id, num_envs=count, **given)
    assert isinstance(envs, ParallelVectorEnv)
    return envs


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_episodes_are_those_of_single_environments_in_every_version(mode: AutoresetMode) -> None:
    keywords: dict[str, Any] = {"instruct": True}
    # Gymnasium 0.29 gives the length of episodes of the id, here 40 steps.
    with closing(made("LamReach-v0", 2, num_workers=2, autoreset_mode=mode.value, **keywords)) as envs:
        actions = batches(envs, 43)
        found = [envs.reset(seed=3)[0], *(envs.step(action)[0] for action in actions)]
    for number in range(2):
        env = gym.make("LamReach-v0", **keywords)
        expected, over = [env.reset(seed=3 + number)[0]], False
        for action in actions:
            if over and mode is AutoresetMode.NEXT_STEP:
                observation, over = env.reset()[0], False
            else:
                observation, _, _, over, _ = env.step(action[number])
                if over and mode is AutoresetMode.SAME_STEP:
                    observation, over = env.reset()[0], False
            expected.append(observation)
        env.close()
        assert_same([{name: part[number] for name, part in one.items()} for one in found], expected)


def test_arguments_of_vector_environments_are_explained_where_gymnasium_does_not_pass_them_on() -> None:
    # Before Gymnasium 1.0 other vector environments are the default.
    mode = {} if IS_OLD else {"vectorization_mode": "sync"}
    with pytest.raises(TypeError, match=r"'num_workers'.*gym.make_vec\(.*vectorization_mode=\"custom\""):
        gym.make_vec("LamReach-v0", num_envs=2, num_workers=2, **mode)  # type: ignore[arg-type]


def test_vector_environments_of_gymnasium_step_the_ids() -> None:
    envs: Any = gym.make_vec("LamReach-v0", num_envs=2, vectorization_mode="sync")
    envs.reset(seed=0)
    assert envs.step(np.zeros((2, 4), np.float32))[0].shape == (2, 18)
    envs.close()

"""Apply to observations what VecEnv wrappers of Stable-Baselines3 did to them in training."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage

from agents.types import Action, Env, Memory, Observation, Space, Start
from demos.collection.recording import Policy

Wrappers = tuple[VecNormalize | VecFrameStack, ...]
"""Wrappers that change observations, in the order in which they apply. Policies transpose images themselves."""


class VecEnvAgent:
    """Agent that sees observations as they were in its training: normalized, stacked, or both.

    Args:
        agent: Agent that acts on the changed observations.
        wrappers: Wrappers that change them.
    """

    def __init__(self, agent: Policy, wrappers: Wrappers) -> None:
        self.agent = agent
        self.wrappers = wrappers

    def predict(
        self, observation: Observation, state: Memory = None, episode_start: Start = None, deterministic: bool = False
    ) -> tuple[Action, Memory]:
        """Choose an action.

        Args:
            observation: Observation of one environment, without a batch dimension.
            state: Memory of the last call: the stacked observations, if there are any, with the agent's own.
            episode_start: Array of shape (1,): True if the observation is that of a reset.
            deterministic: Choose the most likely action instead of sampling one.
        """
        begins = state is None or (episode_start is not None and bool(np.all(episode_start)))
        stacks, memory = ((), None) if begins else state
        batch: Any = _batch(observation)
        updated: list[Any] = []
        for wrapper in self.wrappers:
            if isinstance(wrapper, VecNormalize):
                batch = wrapper.normalize_obs(batch)
            elif begins:
                updated.append(copy.deepcopy(wrapper.stacked_obs))
                batch = updated[-1].reset(batch)
            else:
                updated.append(copy.deepcopy(stacks[len(updated)]))
                batch, _ = updated[-1].update(batch, np.array([False]), [{}])
        seen = {name: value[0] for name, value in batch.items()} if isinstance(batch, dict) else batch[0]
        action, memory = self.agent.predict(
            seen, state=memory, episode_start=episode_start, deterministic=deterministic
        )
        return action, (tuple(updated), memory)


def is_stable_baselines(agent: Policy) -> bool:
    """Return True for a model or a policy of Stable-Baselines3."""
    return isinstance(agent, BaseAlgorithm | BasePolicy)


def as_trained(agent: Policy, env: Env) -> Policy:
    """Return an agent that sees observations as in its training, if it is a model that still has its own environment.

    Args:
        agent: Agent of any kind.
        env: Environment that it acts in. Observations that it stacks already are not stacked again.

    Raises:
        ValueError: The environment stacks observations, and the training normalized them before they were stacked.
    """
    if not isinstance(agent, BaseAlgorithm):
        return agent
    wrappers = wrappers_of(agent.get_env())
    if agent.observation_space == env.observation_space:
        wrappers = _without_stacks(wrappers, env.observation_space)
    return VecEnvAgent(agent, wrappers) if wrappers else agent


def _without_stacks(wrappers: Wrappers, stacked: Space) -> Wrappers:
    """Return the wrappers that still apply in an environment that stacks observations itself.

    Args:
        wrappers: All wrappers of the training.
        stacked: Observation space of the environment.

    Raises:
        ValueError: VecNormalize was trained on unstacked observations.
    """
    if not any(isinstance(wrapper, VecFrameStack) for wrapper in wrappers):
        return wrappers
    remaining = tuple(wrapper for wrapper in wrappers if not isinstance(wrapper, VecFrameStack))
    for wrapper in remaining:
        if wrapper.venv.observation_space != stacked:
            raise ValueError(
                f"VecNormalize was trained on observations {wrapper.venv.observation_space}, before frame stacking; "
                f"this environment already returns stacked observations {stacked}; expected unstacked ones: evaluate "
                "in an environment without frame stacking"
            )
    return remaining


def _batch(observation: Observation) -> Observation:
    if isinstance(observation, dict):
        return {name: np.asarray(value)[None] for name, value in observation.items()}
    return np.asarray(observation)[None]


def wrappers(path: str | Path, seen: Space, env: Env, statistics: Path | None) -> Wrappers:
    """Return the wrappers that turn the observations of an environment into those that a model was trained on.

    Args:
        path: The model's archive, for errors.
        seen: Observation space of the model.
        env: The environment.
        statistics: Pickle of a VecNormalize, which can run code; None for none.

    Raises:
        ValueError: No wrappers give the observation space, or the pickle holds none that fits.
    """
    if statistics is None and seen == env.observation_space:
        return ()
    for envs in _wrapped(path, env, _frames(seen, env.observation_space), statistics):
        if any(space == seen for space in _as_seen(envs)):
            return wrappers_of(envs)
    normalized = "" if statistics is None else f" (normalized by {statistics})"
    raise ValueError(
        f"the model in {path} has the observation_space {seen}, the environment {env.observation_space}{normalized}. "
        "Evaluate it in the environment, and with the keywords, that it was trained in. If it was trained with "
        "wrappers of your own, write an agent that applies them to observations and loads it by "
        "agents.training.saving.archive.load"
    )


def wrappers_of(envs: VecEnv | None) -> Wrappers:
    """Return the wrappers of a VecEnv that change observations, in the order in which they apply."""
    wrappers: list[VecNormalize | VecFrameStack] = []
    while envs is not None:
        if isinstance(envs, VecFrameStack) or (isinstance(envs, VecNormalize) and envs.norm_obs):
            wrappers.append(envs)
        envs = getattr(envs, "venv", None)
    return tuple(reversed(wrappers))


def _wrapped(path: str | Path, env: Env, frames: int, statistics: Path | None) -> Iterator[VecEnv]:
    """Yield the environment with each possible combination of VecNormalize and VecFrameStack."""

    def normalized(envs: VecEnv) -> VecEnv:
        return envs if statistics is None else _normalize(statistics, envs)

    for order in (None, "last", "first"):
        # Wrappers that do not fit these spaces fail their own checks.
        with contextlib.suppress(AssertionError, TypeError):
            envs = normalized(DummyVecEnv([lambda: env]))
            yield envs if frames == 1 else VecFrameStack(envs, frames, order)
        if frames > 1:
            with contextlib.suppress(AssertionError, TypeError):
                yield normalized(VecFrameStack(DummyVecEnv([lambda: env]), frames, order))


def _frames(seen: Space, own: Space) -> int:
    """Return the number of stacked observations, from the ratio of the sizes."""
    sizes = []
    for space in (seen, own):
        sizes.append(spaces.flatdim(space) if isinstance(space, spaces.Box | spaces.Dict) else 0)
    return sizes[0] // sizes[1] if sizes[1] and sizes[0] and sizes[0] % sizes[1] == 0 else 1


def _as_seen(envs: VecEnv) -> Iterator[Space]:
    yield envs.observation_space
    with contextlib.suppress(AssertionError):
        yield VecTransposeImage(envs).observation_space


def _normalize(statistics: Path, envs: VecEnv) -> VecNormalize:
    """Load a VecNormalize, which can run code: the caller trusts the file."""
    try:
        with statistics.open("rb") as file:
            found = pickle.load(file)  # noqa: S301  (trusted like the archive it belongs to)
    except Exception as error:  # a pickle may raise anything
        raise ValueError(f"cannot load the statistics of VecNormalize in {statistics}: {error!r}") from error
    if not isinstance(found, VecNormalize):
        raise ValueError(
            f"{statistics} holds a {type(found).__name__}; expected a VecNormalize, as its save() writes it"
        )
    found.training = False
    found.set_venv(envs)
    return found

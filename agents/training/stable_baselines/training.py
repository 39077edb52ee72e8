"""Training with Stable-Baselines3: seeded episodes, progress, checkpoints that resume exactly.

Checkpoints are written at starts of episodes. Each episode's seed follows from its number, so a checkpoint holds only
the algorithm: weights, optimizers, replay buffer, counters, and the states of the generators.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import maybe_transpose
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.training.randomness import generators, isolated_rng, set_generators
from agents.training.run import FIRST_SEED, Run
from agents.training.stable_baselines.vec_env import ParallelVecEnv
from agents.types import Array, Env, Info, Keywords, Observation, Space, State
from lam_envs.vector import AutoresetMode, ParallelVectorEnv
from lam_envs.vector.parallel import default_workers

TRAINING_SEEDS = 2**29
"""First seed of training episodes; they stay below ``agents.training.run.FIRST_SEED``."""
COUNTERS = (
    "num_timesteps",
    "exploration_rate",
    "_n_updates",
    "_n_calls",
    "_episode_num",
    "_current_progress_remaining",
)


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that seeds every episode by its number.

    Args:
        env: Environment.
        seed: Seed of the training.
        index: Index of this environment among those of the training.

    Attributes:
        episode: Number of the next episode.
    """

    def __init__(self, env: Env, seed: int, index: int = 0) -> None:
        super().__init__(env)
        self.episode = 0
        self._seed = seed
        self._index = index

    def reset(self, *, seed: int | None = None, options: Keywords | None = None) -> tuple[Observation, Info]:
        """Start the next episode; the argument ``seed`` is ignored."""
        drawn = np.random.SeedSequence([self._seed, self._index, self.episode]).generate_state(1)[0]
        self.episode += 1
        return self.env.reset(seed=TRAINING_SEEDS + int(drawn) % (FIRST_SEED - TRAINING_SEEDS), options=options)


def horizon_of(env: Env) -> int:
    """Return the number of steps of an episode.

    Raises:
        ValueError: The environment has no time limit, no spec, or episodes that end at success.
    """
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(f"{env} has no spec with max_episode_steps: make it by gym.make")
    if env.spec.kwargs.get("terminate_on_success"):
        raise ValueError(
            "terminate_on_success is True; agents train in episodes of fixed length, because a length that depends "
            "on success reveals the reward: make the environment without it"
        )
    return env.spec.max_episode_steps


def rollout_env(env: Env, seed: int, index: int = 0) -> SeededEpisodes:
    """Return a copy of an environment for rollouts, whose episodes are seeded by their numbers.

    Args:
        env: Environment made by ``gym.make``.
        seed: Seed of the training.
        index: Index of the copy among those of the training.
    """
    horizon_of(env)
    spec = cast(EnvSpec, env.spec)
    return SeededEpisodes(gym.make(spec), seed, index)


def training_envs(env: Env, seed: int, count: int = 1) -> VecEnv:
    """Return copies of an environment for training.

    Several are stepped by one process for each core, where a process may be forked; the results are the same.

    Args:
        env: Environment made by ``gym.make``.
        seed: Seed of the training.
        count: Number of copies.
    """
    functions = [partial(rollout_env, env, seed, index) for index in range(count)]
    if count == 1:
        return DummyVecEnv(functions)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        # The forked processes use nothing that threads of this process may hold: no PyTorch, no logging.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return ParallelVecEnv(
            ParallelVectorEnv(
                functions,
                num_workers=_training_workers(env),
                context="fork" if "fork" in multiprocessing.get_all_start_methods() else None,
                autoreset_mode=AutoresetMode.SAME_STEP,
            )
        )


def _training_workers(env: Env) -> int:
    """Return the number of processes that step the copies of an environment; 1 for none but this one.

    Processes are only forked: new ones would import the user's program again, which need not be written for that. A
    job of an engine shares its cores with other jobs, EGL does not work in forked processes, and wrappers may share
    objects with this process, such as a counter of steps.
    """
    if env.spec is None or env.spec.additional_wrappers or env.spec.kwargs.get("renderer") == "egl":
        return 1
    is_alone = multiprocessing.parent_process() is None
    return default_workers() if sys.platform == "linux" and is_alone else 1


def next_episode(envs: VecEnv, number: int) -> None:
    """Set the number of the episode that starts at the next reset."""
    envs.set_attr("episode", number)


def steps_per_env(steps: int, n_envs: int, horizon: int) -> int:
    """Return the steps of one environment in an iteration of about ``steps``, in whole episodes, at least one."""
    return horizon * max(1, round(steps / (n_envs * horizon)))


def train_from_scratch(
    name: str,
    env: Env,
    run: Run,
    new_model: Callable[[VecEnv], BaseAlgorithm],
    *,
    steps: int,
    seed: int,
    n_envs: int = 1,
) -> BasePolicy:
    """Train a new model, or resume its training; return its policy on the CPU.

    Args:
        name: Name of the agent.
        env: Environment; the model trains in copies of it.
        run: Checkpoints, log and periodic evaluation.
        new_model: Returns the untrained model of the training environments.
        steps: Steps of all environments together.
        seed: Seeds weights, exploration and episodes.
        n_envs: Number of training environments.
    """
    envs = training_envs(env, seed, n_envs)
    try:
        with isolated_rng(seed), run.training(name, steps, "steps"):
            model = new_model(envs)
            model.set_random_seed(seed)
            train(model, env, run, steps=steps)
    finally:
        envs.close()
    policy = model.policy.to("cpu")
    policy.set_training_mode(False)
    return policy


def train(
    model: BaseAlgorithm,
    env: Env,
    run: Run,
    *,
    steps: int,
) -> None:
    """Train a model, from the last checkpoint if there is one.

    Args:
        model: Untrained, seeded model in :func:`training_envs`.
        env: Environment of periodic evaluation, which uses a copy of it.
        run: Checkpoints, log and periodic evaluation.
        steps: Total steps of all environments.

    Raises:
        ValueError: ``train_freq`` is larger than ``steps``, or ``learning_starts`` leaves no step to learn from.
    """
    horizon = horizon_of(env)
    every = getattr(getattr(model, "train_freq", None), "frequency", 0)
    if every > steps:
        raise ValueError(f"train_freq is {every}; expected at most the {steps} steps of the training")
    check_learning_starts(getattr(model, "learning_starts", 0), steps, every)
    state = run.restored()
    if state is not None:
        restore(model, state)
        envs: Any = model.get_env()
        next_episode(envs, model.num_timesteps // (horizon * envs.num_envs))
    if model.num_timesteps < steps:
        callback = _RunCallback(run, env, horizon)
        # The default logger would leave a folder among the temporary files.
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(steps - model.num_timesteps, callback, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    run.log(model.num_timesteps)
    run.evaluate(model.policy, env, model.num_timesteps)


class _RunCallback(BaseCallback):
    """Callback that writes checkpoints and logs at starts of episodes."""

    def __init__(self, run: Run, env: Env, horizon: int) -> None:
        super().__init__()
        self._run = run
        self._env = env
        self._horizon = horizon

    def _on_rollout_start(self) -> None:
        done, envs = self.model.num_timesteps, self.training_env.num_envs
        if done == 0 or done % (self._horizon * envs):
            return
        numbers = {
            name: float(value) for name, value in self.model.logger.name_to_value.items() if name.startswith("train/")
        }
        self._run.log_to_tensorboard(done, numbers)
        self._run.log(done)
        self._run.evaluate(self.model.policy, self._env, done)
        self._run.checkpoint(lambda: state_of(self.model))

    def _on_step(self) -> bool:
        return True


def state_of(model: BaseAlgorithm) -> State:
    """Return all that a model needs to resume at the start of an episode."""
    _, tensors = model._get_torch_save_params()
    return {
        "parameters": model.get_parameters(),
        "tensors": {name: getattr(model, name).detach() for name in tensors},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "replay": replay_state(getattr(model, "replay_buffer", None)),
        "actions": model.action_space.np_random.bit_generator.state,
        "generators": generators(),
    }


def restore(model: BaseAlgorithm, state: State) -> None:
    """Set the state of a new model to one of :func:`state_of`."""
    model.set_parameters(dict(state["parameters"]), exact_match=True, device=model.device)
    for name, tensor in state["tensors"].items():
        getattr(model, name).data.copy_(tensor)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    set_replay(getattr(model, "replay_buffer", None), state["replay"])
    model.action_space.np_random.bit_generator.state = state["actions"]
    set_generators(state["generators"])


def check_learning_starts(starts: int, steps: int, every: int = 0) -> None:
    """Check that an off-policy algorithm makes an update.

    Args:
        starts: Steps before the first update; 0 for an algorithm without such a setting.
        steps: Steps of the training.
        every: Steps between updates. The last interval is finished; 0 for intervals that are not counted in steps.

    Raises:
        ValueError: No step is left to learn from.
    """
    taken = -(-steps // every) * every if every else steps
    if starts and taken <= starts:
        raise ValueError(
            f"the budget is {steps} steps and learning_starts is {starts}: the agent would not learn. Use a larger "
            "budget or a smaller learning_starts"
        )


def stored_observations(observations: Observation, space: Space) -> Observation:
    """Return observations as Stable-Baselines3 stores them in a replay buffer: it moves the channels of images first.

    Args:
        observations: Observations, shape (N, ...), or a dict of such.
        space: Space of the replay buffer.
    """
    if isinstance(space, spaces.Dict):
        return {name: maybe_transpose(observations[name], part) for name, part in space.spaces.items()}
    return maybe_transpose(np.asarray(observations), space)


def replay_state(buffer: BaseBuffer | None) -> State | None:
    """Return the content of a replay buffer; None without a buffer.

    A buffer that holds more than arrays returns the rest by ``extra_state`` and sets it by ``set_extra_state``.
    """
    if buffer is None:
        return None
    rows = buffer.size()
    arrays = {
        name: values[:rows] if len(values) == buffer.buffer_size else values for name, values in _arrays(buffer)
    }
    more = buffer.extra_state() if hasattr(buffer, "extra_state") else None
    return {"arrays": arrays, "position": buffer.pos, "full": buffer.full, "more": more}


def set_replay(buffer: BaseBuffer | None, state: State | None) -> None:
    """Set the content of a new replay buffer to that of :func:`replay_state`."""
    if buffer is None or state is None:
        return
    for name, values in _arrays(buffer):
        content = torch.as_tensor(state["arrays"][name]).numpy()
        values[: len(content)] = content
    buffer.pos, buffer.full = state["position"], state["full"]
    if hasattr(buffer, "set_extra_state"):
        buffer.set_extra_state(state["more"])


def _arrays(buffer: BaseBuffer) -> list[tuple[str, Array]]:
    """Return the numeric arrays of a replay buffer by name; arrays in dicts have names of two parts."""
    arrays = []
    for name, value in vars(buffer).items():
        for key, part in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(part, np.ndarray) and part.dtype != object:
                arrays.append((f"{name}/{key}", part))
    return sorted(arrays, key=lambda item: item[0])

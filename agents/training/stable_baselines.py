"""Stable-Baselines3's algorithms as our trainings: seeded episodes, progress, checkpoints from which they go on.

A checkpoint is taken where an episode begins. As each episode's seed follows from its number, all that is needed to
go on is in the algorithm: weights, optimizers, replay buffer, counters, and the state of the generators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.training.randomness import generators, isolated_rng, set_generators
from agents.training.run import FIRST_SEED, Run

TRAINING_SEEDS = 2**29
"""From here to ``agents.training.run.FIRST_SEED`` are the seeds of the episodes that agents practise in."""
COUNTERS = (
    "num_timesteps",
    "exploration_rate",
    "_n_updates",
    "_n_calls",
    "_episode_num",
    "_current_progress_remaining",
)


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Seeds every episode by its number.

    Args:
        env: Any.
        seed: Of the training.
        place: Of this environment among those of the training.

    Attributes:
        episode: Number of the next episode.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int, place: int = 0) -> None:
        super().__init__(env)
        self.episode = 0
        self._seed = seed
        self._place = place

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins the next episode; the seed that is given does not count."""
        drawn = np.random.SeedSequence([self._seed, self._place, self.episode]).generate_state(1)[0]
        self.episode += 1
        return self.env.reset(seed=TRAINING_SEEDS + int(drawn) % (FIRST_SEED - TRAINING_SEEDS), options=options)


def horizon_of(env: gym.Env[Any, Any]) -> int:
    """Returns the number of steps of an episode.

    Raises:
        ValueError: Nothing says it, or the environment cannot be made again.
    """
    if env.spec is None or env.spec.max_episode_steps is None:
        raise ValueError(f"{env} has no spec with max_episode_steps: make it by gym.make, to be practised in")
    if env.spec.kwargs.get("terminate_on_success"):
        raise ValueError(
            "episodes that end with success are of no use to practise in: their length gives the reward away. "
            "Make the environment without terminate_on_success"
        )
    return env.spec.max_episode_steps


def rollout_env(env: gym.Env[Any, Any], seed: int, place: int = 0) -> SeededEpisodes:
    """Makes an environment to practise in, whose episodes are seeded by their numbers.

    Args:
        env: What it is like.
        seed: Of the training.
        place: Of it among those of the training.
    """
    horizon_of(env)
    spec: Any = env.spec
    return SeededEpisodes(gym.make(spec), seed, place)


def training_envs(env: gym.Env[Any, Any], seed: int, count: int = 1) -> DummyVecEnv:
    """Makes environments to practise in at once.

    Args:
        env: What they are like.
        seed: Of the training.
        count: How many.
    """
    return DummyVecEnv([partial(rollout_env, env, seed, place) for place in range(count)])


def next_episode(envs: VecEnv, number: int) -> None:
    """Sets the number of the episode that begins with the next reset."""
    for env in seeded(envs):
        env.episode = number


def seeded(envs: VecEnv) -> list[SeededEpisodes]:
    """Returns the environments within."""
    inner: Any = envs.unwrapped
    found = []
    for env in inner.envs:
        while not isinstance(env, SeededEpisodes):
            env = env.env
        found.append(env)
    return found


def steps_of_round(round_steps: int, environments: int, horizon: int) -> int:
    """Returns the steps of one environment in a round: whole episodes, nearest to what is asked for, at least one."""
    return horizon * max(1, round(round_steps / (environments * horizon)))


def train_from_scratch(
    name: str,
    env: gym.Env[Any, Any],
    run: Run,
    new_model: Callable[[VecEnv], BaseAlgorithm],
    *,
    steps: int,
    seed: int,
    environments: int = 1,
) -> BasePolicy:
    """Trains a model from its beginning to its end, and returns its policy, on the CPU.

    Args:
        name: Of the agent.
        env: What it practises in is made like this one.
        run: Shows and keeps.
        new_model: Makes it, untrained, in the environments that are given.
        steps: Of all environments together.
        seed: Of weights, exploration and episodes.
        environments: How many it practises in at once.
    """
    envs = training_envs(env, seed, environments)
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
    env: gym.Env[Any, Any],
    run: Run,
    *,
    steps: int,
) -> None:
    """Trains a model, or goes on where it was.

    Args:
        model: As at its start, in :func:`training_envs`; seeded.
        env: What it is judged in is made like this one.
        run: Shows and keeps.
        steps: In all, of all environments.

    Raises:
        ValueError: It would learn less often than it ends.
    """
    horizon = horizon_of(env)
    every = getattr(getattr(model, "train_freq", None), "frequency", 0)
    if every > steps:
        raise ValueError(f"train_freq is {every}; expected at most the {steps} steps of the training")
    kept = run.restored()
    if kept is not None:
        restore(model, kept)
        envs: Any = model.get_env()
        next_episode(envs, model.num_timesteps // (horizon * envs.num_envs))
    if model.num_timesteps < steps:
        callback = _Watching(run, env, horizon)
        # A logger of its own would leave a folder behind among the temporary files.
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(steps - model.num_timesteps, callback, reset_num_timesteps=False, log_interval=None)  # type: ignore[arg-type]
    run.log(model.num_timesteps)


class _Watching(BaseCallback):
    """Keeps and shows where episodes begin."""

    def __init__(self, run: Run, env: gym.Env[Any, Any], horizon: int) -> None:
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
        self._run.record(done, numbers)
        self._run.log(done)
        self._run.evaluate(self.model.policy, self._env, done)
        self._run.checkpoint(lambda: state_of(self.model))

    def _on_step(self) -> bool:
        return True


def state_of(model: BaseAlgorithm) -> dict[str, Any]:
    """Returns all that a model needs to go on from the beginning of an episode."""
    _, tensors = model._get_torch_save_params()
    return {
        "parameters": model.get_parameters(),
        "tensors": {name: getattr(model, name).detach() for name in tensors},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "replay": replay_state(getattr(model, "replay_buffer", None)),
        "actions": model.action_space.np_random.bit_generator.state,
        "generators": generators(),
    }


def restore(model: BaseAlgorithm, kept: Mapping[str, Any]) -> None:
    """Gives a new model the state of :func:`state_of`."""
    model.set_parameters(dict(kept["parameters"]), exact_match=True, device=model.device)
    for name, tensor in kept["tensors"].items():
        getattr(model, name).data.copy_(tensor)
    for name, value in kept["counters"].items():
        setattr(model, name, value)
    set_replay(getattr(model, "replay_buffer", None), kept["replay"])
    model.action_space.np_random.bit_generator.state = kept["actions"]
    set_generators(kept["generators"])


def replay_state(buffer: Any) -> dict[str, Any] | None:
    """Returns what a replay buffer holds; None of none.

    A buffer that holds more than arrays tells the rest by ``more_state``, and takes it by ``set_more_state``.
    """
    if buffer is None:
        return None
    rows = buffer.size()
    arrays = {
        name: values[:rows] if len(values) == buffer.buffer_size else values for name, values in _arrays(buffer)
    }
    more = buffer.more_state() if hasattr(buffer, "more_state") else None
    return {"arrays": arrays, "position": buffer.pos, "full": buffer.full, "more": more}


def set_replay(buffer: Any, kept: Mapping[str, Any] | None) -> None:
    """Gives a new replay buffer the content of :func:`replay_state`."""
    if buffer is None or kept is None:
        return
    for name, values in _arrays(buffer):
        content = torch.as_tensor(kept["arrays"][name]).numpy()
        values[: len(content)] = content
    buffer.pos, buffer.full = kept["position"], kept["full"]
    if hasattr(buffer, "set_more_state"):
        buffer.set_more_state(kept["more"])


def _arrays(buffer: Any) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """The arrays of numbers of a replay buffer; those of dicts have names of two parts."""
    found = []
    for name, value in vars(buffer).items():
        for key, part in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(part, np.ndarray) and part.dtype != object:
                found.append((f"{name}/{key}", part))
    return sorted(found, key=lambda item: item[0])

"""Clones as the start of Stable-Baselines3's algorithms: PPO and SAC that act, at first, as the clone does."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.imitation.bc import BehaviorCloning
from agents.policies.networks import BoundedPolicy, policy_keywords, set_weights, weights_of
from demos.datasets.tree import tree_map

LOG_STD = -1.6
"""Logarithm of the noise that a clone gets: enough to explore, too little to undo what it can."""


def ppo_from(
    clone: BehaviorCloning, env: gym.Env[Any, Any] | VecEnv, *, log_std: float = LOG_STD, **settings: Any
) -> PPO:
    """Returns PPO (Schulman et al. 2017) whose policy is a clone with noise; its value network is untrained.

    Args:
        clone: Trained; of several members the first.
        env: With the clone's spaces.
        log_std: Logarithm of the standard deviation of its noise.
        settings: Keywords of Stable-Baselines3's ``PPO``.
    """
    model = PPO(
        BoundedPolicy,
        env,
        policy_kwargs={**policy_keywords(clone.settings.hidden_sizes), "squash": clone.settings.squash},
        **settings,
    )
    policy: Any = model.policy
    set_weights(policy, weights_of(clone.policy.network))
    if hasattr(policy, "log_std"):
        with torch.no_grad():
            policy.log_std.fill_(log_std)
    return model


def sac_from(
    clone: BehaviorCloning, env: gym.Env[Any, Any] | VecEnv, *, log_std: float = LOG_STD, **settings: Any
) -> SAC:
    """Returns SAC (Haarnoja et al. 2018) whose actor is a clone with noise; its critics are untrained.

    Args:
        clone: Trained, with squashed actions; of several members the first.
        env: With the clone's spaces, and continuous actions.
        log_std: Logarithm of the standard deviation of its noise, before it is squashed.
        settings: Keywords of Stable-Baselines3's ``SAC``.

    Raises:
        ValueError: The clone's actions are discrete or not squashed, as SAC's are.
    """
    if not isinstance(clone.action_space, spaces.Box) or not clone.settings.squash:
        raise ValueError(
            "SAC squashes continuous actions: clone with squash=true in an environment with a Box of them"
        )
    is_dict = isinstance(clone.observation_space, spaces.Dict)
    keywords = policy_keywords(clone.settings.hidden_sizes)
    model = SAC("MultiInputPolicy" if is_dict else "MlpPolicy", env, policy_kwargs=keywords, **settings)
    own: Any = clone.policy.network
    for part in (model.actor, model.critic, model.critic_target):
        extractor: Any = part.features_extractor
        set_weights(extractor, weights_of(own.features_extractor))
    set_weights(model.actor.latent_pi, weights_of(own.mlp_extractor.policy_net))
    set_weights(model.actor.mu, weights_of(own.action_net[0]))
    spread: Any = model.actor.log_std
    with torch.no_grad():
        spread.weight.zero_()
        spread.bias.fill_(log_std)
    return model


def add_demonstrations_to_buffer(model: SAC, demonstrations: Demonstrations) -> int:
    """Puts demonstrations into a replay buffer, with their rewards: critics learn from them first.

    Args:
        model: With a plain replay buffer, of one environment.
        demonstrations: With the model's spaces.

    Returns:
        How many transitions were added.

    Raises:
        ValueError: The buffer is of another kind, or the demonstrations have other spaces or another rate.
    """
    data = DemonstrationData.of(demonstrations)
    data.check_spaces(model.observation_space, model.action_space)
    buffer: Any = model.replay_buffer
    if type(buffer) not in (ReplayBuffer, DictReplayBuffer) or buffer.n_envs != 1:
        raise ValueError(
            f"demonstrations go into a plain replay buffer of one environment, not {type(buffer).__name__}"
        )
    added = 0
    for episode in data.iterate_episodes():
        for step in range(len(episode)):
            before, after = (
                tree_map(lambda values, at=at: values[at], episode.observations) for at in (step, step + 1)
            )
            ended = bool(episode.terminations[step] or episode.truncations[step])
            action = model.policy.scale_action(episode.actions[step])
            infos = [{"TimeLimit.truncated": bool(episode.truncations[step]) and not episode.terminations[step]}]
            buffer.add(before, after, np.asarray(action), np.array([episode.rewards[step]]), np.array([ended]), infos)
            added += 1
    return added

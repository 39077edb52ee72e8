"""Fine-tuning of BC policies by PPO and SAC of Stable-Baselines3."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv, VecTransposeImage, unwrap_vec_wrapper

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.imitation.bc import BehaviorCloning
from agents.policies.networks import BoundedPolicy, set_weights, weights_of
from agents.training.stable_baselines.training import stored_observations
from agents.types import Env
from demos.datasets.tree import tree_map

LOG_STD = -1.6
"""Logarithm of the noise of a BC policy in fine-tuning: enough to explore, too little to fail."""


def ppo_from(bc: BehaviorCloning, env: Env | VecEnv, *, log_std: float = LOG_STD, **settings: Any) -> PPO:
    """Return PPO (Schulman et al. 2017) that starts from a BC policy with noise; its value network is untrained.

    Args:
        bc: Trained agent; PPO starts from the first policy of an ensemble.
        env: Environment with the agent's spaces.
        log_std: Logarithm of the standard deviation of the noise.
        settings: Keyword arguments of Stable-Baselines3's ``PPO``.
    """
    model = PPO(
        BoundedPolicy,
        env,
        policy_kwargs={**bc.settings.network_keywords, "squash": bc.settings.squash},
        **settings,
    )
    policy = cast(BoundedPolicy, model.policy)
    set_weights(policy, weights_of(bc.policy.network))
    if hasattr(policy, "log_std"):
        with torch.no_grad():
            policy.log_std.fill_(log_std)
    return model


def sac_from(bc: BehaviorCloning, env: Env | VecEnv, *, log_std: float = LOG_STD, **settings: Any) -> SAC:
    """Return SAC (Haarnoja et al. 2018) whose actor starts from a BC policy with noise; its critics are untrained.

    Args:
        bc: Trained agent with squashed actions; SAC starts from the first policy of an ensemble.
        env: Environment with the agent's spaces, and continuous actions.
        log_std: Logarithm of the standard deviation of the noise, before squashing.
        settings: Keyword arguments of Stable-Baselines3's ``SAC``.

    Raises:
        ValueError: The agent's actions are discrete or not squashed.
    """
    if not isinstance(bc.action_space, spaces.Box) or not bc.settings.squash:
        raise ValueError(
            "SAC needs squashed continuous actions: train bc with squash=true in an environment with Box actions"
        )
    is_dict = isinstance(bc.observation_space, spaces.Dict)
    policy = "MultiInputPolicy" if is_dict else "MlpPolicy"
    model = SAC(policy, env, policy_kwargs=bc.settings.network_keywords, **settings)
    network: Any = bc.policy.network
    for part in (model.actor, model.critic, model.critic_target):
        extractor: Any = part.features_extractor
        set_weights(extractor, weights_of(network.features_extractor))
    set_weights(model.actor.latent_pi, weights_of(network.mlp_extractor.policy_net))
    set_weights(model.actor.mu, weights_of(network.action_net[0]))
    spread: Any = model.actor.log_std
    with torch.no_grad():
        spread.weight.zero_()
        spread.bias.fill_(log_std)
    return model


def add_demonstrations_to_buffer(model: SAC, demonstrations: Demonstrations) -> int:
    """Add demonstrations, with their rewards, to a replay buffer, so that critics learn from them first.

    Args:
        model: Model with a plain replay buffer of one environment.
        demonstrations: Demonstrations with the model's spaces. Rewards belong to the executed actions, which are
            added in place of recorded labels.

    Returns:
        Number of transitions that were added.

    Raises:
        ValueError: The buffer is of another class, or the demonstrations have other spaces or another rate.
    """
    data = DemonstrationData.of(demonstrations)
    env = model.get_env()
    transposed = None if env is None else unwrap_vec_wrapper(env, VecTransposeImage)
    data.check_spaces((transposed.venv if transposed else model).observation_space, model.action_space)
    buffer: Any = model.replay_buffer
    if type(buffer) not in (ReplayBuffer, DictReplayBuffer) or buffer.n_envs != 1:
        raise ValueError(f"the replay buffer is a {type(buffer).__name__}; expected a plain one of one environment")
    added = 0
    for episode in data.iterate_episodes():
        observations = stored_observations(episode.observations, model.observation_space)
        for step in range(len(episode)):
            before, after = (tree_map(lambda values, at=at: values[at], observations) for at in (step, step + 1))
            ended = bool(episode.terminations[step] or episode.truncations[step])
            action = model.policy.scale_action(episode.executed_actions[step])
            infos = [{"TimeLimit.truncated": bool(episode.truncations[step]) and not episode.terminations[step]}]
            buffer.add(before, after, np.asarray(action), np.array([episode.rewards[step]]), np.array([ended]), infos)
            added += 1
    return added

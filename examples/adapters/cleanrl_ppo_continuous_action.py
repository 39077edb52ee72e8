"""PPO for continuous actions in one file, in the style of CleanRL's ppo_continuous_action.py; it only needs PyTorch.

Usage: python cleanrl_ppo_continuous_action.py --env-id LamReach-v0 --total-timesteps 300000

CleanRL normalizes observations and rewards by wrappers. Observations and rewards of lam-envs are scaled already, so
this script does not normalize them, and the trained network acts on observations as the environment returns them.
"""

import argparse
import time
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Normal

import agents
import lam_envs  # noqa: F401  (registers the ids)


@dataclass
class Args:
    """Settings, each an option of the command: ``total_timesteps`` is ``--total-timesteps``."""

    env_id: str = "LamReach-v0"
    """id of the environment"""
    seed: int = 1
    """seed of the weights, the environments and the actions"""
    total_timesteps: int = 300_000
    """steps of all environments together"""
    learning_rate: float = 3e-4
    """learning rate of Adam, which falls to 0"""
    num_envs: int = 8
    """number of environments"""
    num_steps: int = 240
    """steps of each environment in a rollout"""
    gamma: float = 0.97
    """discount factor"""
    gae_lambda: float = 0.95
    """factor of the generalized advantage estimate"""
    num_minibatches: int = 8
    """minibatches in an epoch"""
    update_epochs: int = 10
    """epochs of each rollout"""
    clip_coef: float = 0.2
    """clipping of the ratio of new and old probability"""
    vf_coef: float = 0.5
    """weight of the value loss"""
    ent_coef: float = 0.0
    """weight of the entropy bonus"""
    max_grad_norm: float = 0.5
    """largest norm of the gradient"""
    eval_episodes: int = 100
    """episodes of the evaluation at the end"""
    eval_seed: int = 1000
    """seed of the first of them"""


def parse_args():
    """Return the settings of the command line."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for field in fields(Args):
        parser.add_argument("--" + field.name.replace("_", "-"), type=type(field.default), default=field.default)
    return Args(**vars(parser.parse_args()))


def make_env(env_id):
    """Return a function that makes one environment."""

    def thunk():
        return gym.wrappers.ClipAction(gym.wrappers.FlattenObservation(gym.make(env_id)))

    return thunk


def layer_init(layer, std=2.0**0.5):
    """Initialize a layer by an orthogonal matrix."""
    nn.init.orthogonal_(layer.weight, std)
    nn.init.constant_(layer.bias, 0.0)
    return layer


class Agent(nn.Module):
    """Actor and critic; ``predict`` makes it an agent of lam-envs."""

    def __init__(self, envs):
        super().__init__()
        observations = int(np.prod(envs.single_observation_space.shape))
        actions = int(np.prod(envs.single_action_space.shape))

        def network(outputs, std):
            hidden = [layer_init(nn.Linear(observations, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh()]
            return nn.Sequential(*hidden, layer_init(nn.Linear(64, outputs), std))

        self.critic = network(1, 1.0)
        self.actor_mean = network(actions, 0.01)
        self.actor_logstd = nn.Parameter(torch.full((1, actions), -0.5))
        self.observation_space = envs.single_observation_space

    def get_value(self, x):
        return self.critic(x).flatten()

    def get_action_and_value(self, x, action=None):
        distribution = Normal(self.actor_mean(x), self.actor_logstd.exp().expand(len(x), -1))
        action = distribution.sample() if action is None else action
        return action, distribution.log_prob(action).sum(1), distribution.entropy().sum(1), self.get_value(x)

    @torch.no_grad()
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        action = self.actor_mean(torch.as_tensor(observation, dtype=torch.float32).reshape(1, -1))[0]
        return action.clamp(-1.0, 1.0).numpy(), state


if __name__ == "__main__":
    args = parse_args()
    batch_size = args.num_envs * args.num_steps
    num_iterations = args.total_timesteps // batch_size
    if num_iterations < 1:
        raise SystemExit(f"--total-timesteps {args.total_timesteps} is below one rollout of {batch_size} steps")
    rng = np.random.default_rng(args.seed)
    torch.manual_seed(args.seed)

    envs = gym.vector.SyncVectorEnv(
        [make_env(args.env_id) for _ in range(args.num_envs)], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
    )
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)

    shape = (args.num_steps, args.num_envs)
    obs = torch.zeros((*shape, *envs.single_observation_space.shape))
    actions = torch.zeros((*shape, *envs.single_action_space.shape))
    logprobs, rewards, dones, values = (torch.zeros(shape) for _ in range(4))
    began = time.monotonic()
    observation, _ = envs.reset(seed=args.seed)
    next_obs = torch.as_tensor(observation)

    for iteration in range(num_iterations):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1.0 - iteration / num_iterations)
        for step in range(args.num_steps):
            obs[step] = next_obs
            with torch.no_grad():
                actions[step], logprobs[step], _, values[step] = agent.get_action_and_value(next_obs)
            observation, reward, terminated, truncated, infos = envs.step(actions[step].numpy())
            next_obs = torch.as_tensor(observation)
            rewards[step] = torch.as_tensor(reward)
            dones[step] = torch.as_tensor(terminated | truncated)
            for index in np.flatnonzero(truncated & ~terminated):
                # The episode was cut off: the rewards that would follow are estimated, unlike those after its end.
                with torch.no_grad():
                    last = torch.as_tensor(infos["final_obs"][index]).reshape(1, -1)
                    rewards[step, index] += args.gamma * agent.get_value(last)[0]

        # Generalized advantage estimates (Schulman et al. 2016, equation 16).
        with torch.no_grad():
            next_values = torch.cat([values[1:], agent.get_value(next_obs)[None]])
        deltas = rewards + args.gamma * next_values * (1.0 - dones) - values
        advantages = torch.zeros_like(rewards)
        following = torch.zeros(args.num_envs)
        for step in reversed(range(args.num_steps)):
            following = deltas[step] + args.gamma * args.gae_lambda * (1.0 - dones[step]) * following
            advantages[step] = following
        returns = advantages + values

        b_obs, b_actions = obs.flatten(0, 1), actions.flatten(0, 1)
        b_logprobs, b_advantages, b_returns = logprobs.flatten(), advantages.flatten(), returns.flatten()
        for _ in range(args.update_epochs):
            for rows in np.array_split(rng.permutation(batch_size), args.num_minibatches):
                _, logprob, entropy, value = agent.get_action_and_value(b_obs[rows], b_actions[rows])
                ratio = (logprob - b_logprobs[rows]).exp()
                advantage = b_advantages[rows]
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                clipped = ratio.clamp(1.0 - args.clip_coef, 1.0 + args.clip_coef)
                # The clipped objective (Schulman et al. 2017, equation 7).
                policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
                value_loss = 0.5 * (value - b_returns[rows]).square().mean()
                loss = policy_loss + args.vf_coef * value_loss - args.ent_coef * entropy.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        if iteration % 10 == 9 or iteration == num_iterations - 1:
            steps = (iteration + 1) * batch_size
            speed = steps / (time.monotonic() - began)
            print(f"{steps} steps, {speed:.0f} a second, mean reward {rewards.mean():.3f}", flush=True)
    envs.close()

    seeds = range(args.eval_seed, args.eval_seed + args.eval_episodes)
    result = agents.evaluate(agent, args.env_id, seeds=seeds, progress=True)
    print(f"success rate: {result.success_rate:.0%}")

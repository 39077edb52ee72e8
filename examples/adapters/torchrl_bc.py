"""TorchRL: train behavior cloning from a replay buffer with our demonstrations, and evaluate it like our agents.

Usage: python torchrl_bc.py --env-id LamGrasp-v0 --demonstrations 100 --updates 6000
"""

import argparse

import gymnasium as gym
import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.modules import MLP

import agents
import demos


class TorchRLAgent:
    """Adapter: TorchRL's modules read and write a TensorDict, lam-envs asks for one action."""

    def __init__(self, module):
        self.module = module

    @torch.no_grad()
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        chosen = self.module(TensorDict({"observation": torch.as_tensor(observation)}))
        return chosen["action"].clamp(-1.0, 1.0).numpy(), state


def transitions(episode):
    """Return an episode of a Minari dataset with TorchRL's names: entries after the step are under ``next``."""
    column = {
        name: np.asarray(getattr(episode, name))[:, None] for name in ("rewards", "terminations", "truncations")
    }
    following = {
        "observation": episode.observations[1:],
        "reward": column["rewards"].astype(np.float32),
        "terminated": column["terminations"],
        "truncated": column["truncations"],
        "done": column["terminations"] | column["truncations"],
    }
    seen = {"observation": episode.observations[:-1], "action": episode.actions, "next": following}
    return TensorDict(seen, batch_size=[len(episode.actions)])


def replay_buffer(dataset):
    """Return a replay buffer with all transitions of a Minari dataset.

    MinariExperienceReplay of TorchRL 0.14.1 is no alternative: it reads only zeros from local files.
    """
    episodes = torch.cat([transitions(episode) for episode in dataset.iterate_episodes()])
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(len(episodes)), batch_size=256)
    buffer.extend(episodes)
    return buffer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamGrasp-v0")
    parser.add_argument("--demonstrations", type=int, default=100)
    parser.add_argument("--updates", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1050), help="episodes: first seed, and end")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    buffer = replay_buffer(demos.collect(options.env_id, episodes=options.demonstrations, seed=0))
    env = gym.make(options.env_id)
    layers = MLP(env.observation_space.shape[0], env.action_space.shape[0], num_cells=[256, 256])
    module = TensorDictModule(layers, in_keys=["observation"], out_keys=["action"])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for update in range(1, options.updates + 1):
        batch = buffer.sample()
        predicted = module(batch.select("observation"))["action"]
        loss = (predicted - batch["action"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % 1_000 == 0:
            print(f"{update} updates, loss {loss.item():.4f}", flush=True)

    result = agents.evaluate(TorchRLAgent(module), env, seeds=range(*options.seeds))
    print(f"success rate: {result.success_rate:.0%}")

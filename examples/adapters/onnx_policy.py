"""ONNX: train a network of your own on demonstrations, write it as ONNX, and evaluate the folder like an agent.

The folder has two files: model.onnx, and model.json with the names, shapes and types of its inputs and outputs. Only
NumPy and onnxruntime run it, so the network may come from any library. Usage:

    python onnx_policy.py --env-id LamReach-v0 --out runs/onnx
    python -m agents evaluate runs/onnx --env LamReach-v0
    python -m benchmarks run core --agent runs/onnx
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import agents
import demos
import lam_envs  # noqa: F401  (registers the ids)

HIDDEN = ("tool/velocity", "tool/lag", "gripper/target", "gripper/velocity")
"""Features that show the last action, which a network would learn to repeat."""


class Network(nn.Module):
    """Network of one observation; it normalizes observations, and limits actions, itself."""

    def __init__(self, observations: torch.Tensor, seen: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", observations.mean(dim=0))
        # A feature that is constant in the demonstrations, such as the gripper of Reach, stays small when it changes.
        self.register_buffer("spread", observations.std(dim=0).clamp(min=0.1))
        self.register_buffer("seen", seen)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        sizes = [observations.shape[1], 256, 256]
        layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], len(low)))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Return actions of shape (..., A) for observations of shape (..., O)."""
        action = self.layers(self.seen * (observation - self.mean) / self.spread)
        return torch.minimum(torch.maximum(action, self.low), self.high)


def write(network: Network, env: gym.Env, folder: Path) -> None:
    """Write model.onnx and model.json. Shapes are those of one step, without a batch axis."""
    folder.mkdir(parents=True, exist_ok=True)
    example = torch.zeros(env.observation_space.shape)
    names = {"input_names": ["observation"], "output_names": ["action"]}
    torch.onnx.export(network.eval(), (example,), str(folder / "model.onnx"), dynamo=False, **names)
    observation, action = (
        {"name": name, "shape": list(space.shape), "dtype": space.dtype.name, "role": name}
        for name, space in (("observation", env.observation_space), ("action", env.action_space))
    )
    description = {"dict_observations": False, "inputs": [observation], "outputs": [action]}
    (folder / "model.json").write_text(json.dumps(description, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamReach-v0")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--updates", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1050), help="episodes: first seed, and end")
    parser.add_argument("--out", type=Path, default=Path("runs/onnx"))
    options = parser.parse_args()

    dataset = demos.collect(options.env_id, episodes=options.episodes, seed=0)
    episodes = list(dataset.iterate_episodes())
    observations = torch.from_numpy(np.concatenate([each.observations[:-1] for each in episodes]))
    actions = torch.from_numpy(np.concatenate([each.actions for each in episodes]))

    torch.manual_seed(options.seed)
    env = gym.make(options.env_id)
    seen = torch.ones(observations.shape[1])
    for name, feature in env.unwrapped.layout.items():
        seen[feature.slice] = float(name not in HIDDEN)
    network = Network(observations, seen, *map(torch.from_numpy, (env.action_space.low, env.action_space.high)))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(options.updates):
        rows = torch.randint(len(actions), (256,))
        loss = nn.functional.mse_loss(network(observations[rows]), actions[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    write(network, env, options.out)
    result = agents.evaluate(agents.make(str(options.out), env), env, seeds=range(*options.seeds))
    print(f"success rate: {result.success_rate:.0%}")

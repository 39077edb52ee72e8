"""Ray RLlib: train its PPO by the id of an environment, and evaluate it like an agent of lam-envs.

Usage: python rllib_ppo.py --env-id LamReach-v0 --steps 120000
"""

import argparse
import os

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # otherwise Ray starts its workers with uv if there is a uv.lock

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

import agents
import lam_envs  # noqa: F401  (registers the ids)


class RLlibAgent:
    """Adapter: an RLModule gives the distribution of actions for a batch, lam-envs asks for one action."""

    def __init__(self, module):
        self.module = module

    @torch.no_grad()
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        out = self.module.forward_inference({Columns.OBS: torch.as_tensor(observation)[None]})
        distribution = self.module.get_inference_action_dist_cls().from_logits(out[Columns.ACTION_DIST_INPUTS])
        action = (distribution.to_deterministic() if deterministic else distribution).sample()
        return action[0].clamp(-1.0, 1.0).numpy(), state


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamReach-v0")
    parser.add_argument("--steps", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1050), help="episodes: first seed, and end")
    options = parser.parse_args()

    config = (
        PPOConfig()
        .environment(options.env_id)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=8)
        .training(lr=3e-4, gamma=0.97, lambda_=0.95, train_batch_size=1_920, minibatch_size=240, num_epochs=10)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[256, 256], free_log_std=True))
        .debugging(seed=options.seed, log_level="ERROR")
    )
    algorithm = config.build_algo()
    steps = 0
    while steps < options.steps:
        result = algorithm.train()["env_runners"]
        steps = int(result["num_env_steps_sampled_lifetime"])
        print(f"{steps} steps, mean return {result['episode_return_mean']:.2f}", flush=True)

    result = agents.evaluate(RLlibAgent(algorithm.get_module()), options.env_id, seeds=range(*options.seeds))
    algorithm.stop()
    ray.shutdown()
    print(f"success rate: {result.success_rate:.0%}")

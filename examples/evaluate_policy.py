"""Evaluate the policy of train_bc.py beside the expert and random actions, on the same unseen seeds."""

import gymnasium as gym

import agents
import benchmarks
import lam_envs  # noqa: F401  (registers the ids)

ENV_ID = "LamReach-v0"
SEEDS = range(1000, 1010)

env = gym.make(ENV_ID)
policies = {
    "expert": agents.make("expert", env),
    "bc": agents.load("runs/bc-reach", env),
    "random": agents.make("random", env),
}
for name, policy in policies.items():
    result = benchmarks.evaluate(policy, ENV_ID, seeds=SEEDS)
    low, high = result.interval
    print(f"{name:6} success rate {result.success_rate:.0%} (95% interval {low:.0%} to {high:.0%})")
env.close()

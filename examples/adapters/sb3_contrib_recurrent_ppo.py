"""Stable-Baselines3 and sb3-contrib: train a recurrent PPO, save its archive, evaluate it like an agent of lam-envs.

No adapter is needed: models have the method predict, and archives load by agents.training.saving.archive. Usage:

    python sb3_contrib_recurrent_ppo.py --env-id LamReach-v0 --steps 100000 --out runs/recurrent.zip
    python -m agents evaluate runs/recurrent.zip --env LamReach-v0 --allow-pickle
"""

import argparse

import gymnasium as gym
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.env_util import make_vec_env

import agents
import lam_envs  # noqa: F401  (registers the ids)
from agents.training.saving import archive

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamReach-v0")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--out", default="runs/recurrent.zip")
    options = parser.parse_args()

    envs = make_vec_env(options.env_id, n_envs=4, seed=0)
    model = RecurrentPPO("MlpLstmPolicy", envs, n_steps=128, batch_size=128, seed=0)
    model.learn(options.steps)
    model.save(options.out)

    env = gym.make(options.env_id)
    seeds = range(1000, 1020)
    trained = agents.evaluate(model, env, seeds=seeds)
    loaded = agents.evaluate(archive.load(options.out, env, vecnormalize=False), env, seeds=seeds)
    if trained != loaded:
        raise RuntimeError("the archive does not hold the policy that was trained")
    print(f"success rate: {loaded.success_rate:.0%}")

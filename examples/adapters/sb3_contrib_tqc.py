"""sb3-contrib: train TQC (Kuznetsov et al. 2020), save its archive, evaluate it like an agent of lam-envs.

No adapter is needed: models have the method predict, and archives load by agents.training.saving.archive. Usage:

    python sb3_contrib_tqc.py --env-id LamReach-v0 --steps 20000 --out runs/tqc.zip
    python -m agents evaluate runs/tqc.zip --env LamReach-v0 --allow-pickle
"""

import argparse

import gymnasium as gym
from sb3_contrib import TQC
from stable_baselines3.common.env_util import make_vec_env

import agents
import lam_envs  # noqa: F401  (registers the ids)
from agents.training.saving import archive

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-id", default="LamReach-v0")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1050), help="episodes: first seed, and end")
    parser.add_argument("--out", default="runs/tqc.zip")
    options = parser.parse_args()

    model = TQC(
        "MlpPolicy",
        make_vec_env(options.env_id, n_envs=4, seed=options.seed),
        learning_rate=1e-3,
        gamma=0.95,
        tau=0.05,
        learning_starts=1_000,
        train_freq=4,
        gradient_steps=4,
        policy_kwargs={"net_arch": [64, 64], "n_critics": 1},
        seed=options.seed,
    )
    model.learn(options.steps, progress_bar=True)
    model.save(options.out)

    env = gym.make(options.env_id)
    seeds = range(*options.seeds)
    trained = agents.evaluate(model, env, seeds=seeds)
    loaded = agents.evaluate(archive.load(options.out, env, vecnormalize=False), env, seeds=seeds)
    if trained != loaded:
        raise RuntimeError("the archive does not hold the policy that was trained")
    print(f"success rate: {loaded.success_rate:.0%}")

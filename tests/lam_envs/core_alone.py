"""Script that checks an install of the core, a wheel with its dependencies and without pytest."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings

import gymnasium as gym
from gymnasium.utils.env_checker import check_env

import lam_envs

AN_EPISODE_BEGINS = """
observation, info = env.reset(seed=0)
assert observation in env.observation_space
env.close()
"""
REGISTERED_BY_IMPORT = 'import gymnasium as gym, lam_envs\nenv = gym.make("LamGrasp-v0")' + AN_EPISODE_BEGINS
REGISTERED_BY_PREFIX = 'import gymnasium as gym\nenv = gym.make("lam_envs:LamGrasp-v0")' + AN_EPISODE_BEGINS
LIGHT_IMPORT = """
import sys, lam_envs
heavy = {"torch", "minari", "stable_baselines3", "imitation", "pybullet"} & set(sys.modules)
assert not heavy, heavy
"""
VECTOR = """
from lam_envs.vector import make_vec
envs = make_vec("LamDrawer-v0", 2, num_workers=2, instruct=True)
assert envs.reset(seed=0)[0] in envs.observation_space
envs.step(envs.action_space.sample())
envs.close()
"""
PLUGIN = """
import gymnasium
registered = "LamGrasp-v0" in gymnasium.registry
assert registered == gymnasium.__version__.startswith("0."), registered
"""
"""Gymnasium 0.29 loads the entry point; 1.0 and newer load nothing, and run no code of this package at import."""
COMPLETE = """
from importlib.metadata import files
names = {str(file) for file in files("lam-envs")}
kinds = {
    "lam_envs/assets/": ".urdf",
    "agents/training/configs/": ".yaml",
    "benchmarks/suites/": ".yaml",
    "benchmarks/reports/templates/": ".jinja",
    "demos/report/templates/": ".jinja",
}
for folder, ending in kinds.items():
    assert any(name.startswith(folder) and name.endswith(ending) for name in names), folder
for package in ("lam_envs", "demos", "agents", "benchmarks"):
    assert f"{package}/py.typed" in names, package
top = {name.split("/")[0] for name in names if not name.startswith("..")}
others = {name for name in top if not name.startswith("lam_envs-")} - {"lam_envs", "demos", "agents", "benchmarks"}
assert not others, others
"""


def main() -> None:
    for code in (REGISTERED_BY_IMPORT, REGISTERED_BY_PREFIX, LIGHT_IMPORT, VECTOR, PLUGIN, COMPLETE):
        # In an empty folder: test the installed package, not the checkout.
        with tempfile.TemporaryDirectory() as elsewhere:
            subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=elsewhere)
    for env_id in lam_envs.ENV_IDS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for render_mode in ("rgb_array", None):
                env = gym.make(env_id, render_mode=render_mode)
                check_env(env.unwrapped, skip_render_check=True)
                env.close()
    print(f"gymnasium {gym.__version__}, core alone: {len(lam_envs.ENV_IDS)} ids checked")  # noqa: T201


if __name__ == "__main__":
    main()

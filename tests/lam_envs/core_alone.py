"""Checks an install of the core alone with the newest Gymnasium. A script: there is no pytest in that environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings

CODE_WITHOUT_IMPORT = """
import gymnasium as gym
env = gym.make("LamGrasp-v0")
observation, info = env.reset(seed=0)
assert observation in env.observation_space
env.close()
"""
CODE_LIGHT_IMPORT = """
import sys
import lam_envs
heavy = {"torch", "minari", "stable_baselines3", "imitation", "pybullet"} & set(sys.modules)
assert not heavy, heavy
"""


def main() -> None:
    for code in (CODE_WITHOUT_IMPORT, CODE_LIGHT_IMPORT):
        # In a folder of its own: what is installed is to be tested, not the checkout.
        with tempfile.TemporaryDirectory() as elsewhere:
            subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=elsewhere)
    lookup = "import importlib.util; assert importlib.util.find_spec('gymnasium');" + CODE_WITHOUT_IMPORT
    subprocess.run([sys.executable, "-P", "-c", lookup], check=True)
    off = "import gymnasium; assert 'LamGrasp-v0' not in gymnasium.registry"
    subprocess.run([sys.executable, "-P", "-c", off], check=True, env={**os.environ, "LAM_ENVS_AUTOLOAD": "0"})
    import gymnasium as gym
    from gymnasium.utils.env_checker import check_env

    import lam_envs

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

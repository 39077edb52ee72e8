"""Checks an install of the core alone with the newest Gymnasium. A script: there is no pytest in that environment."""

from __future__ import annotations

import subprocess
import sys
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
        subprocess.run([sys.executable, "-c", code], check=True)
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

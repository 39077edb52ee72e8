"""Script that runs readers and checks of other libraries on environments and datasets.

``other_libraries.py DATASETS ID`` prints as JSON what each library read. TorchRL and d3rlpy are not in our install.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

import numpy as np
import torch

import lam_envs  # noqa: F401  (registers the ids)

STEPS = 5


def torchrl_environment(env_id: str) -> dict[str, str]:
    """Make an environment by ``GymEnv``, which tries ``frameskip``, with all infos."""
    from torchrl.envs import GymEnv, check_env_specs

    env = GymEnv(env_id, frame_skip=2).auto_register_info_dict()
    check_env_specs(env)
    rollout = env.rollout(STEPS)
    env.close()
    return {name: str(rollout["next", name].dtype) for name in ("is_success", "terminated", "reward")}


def torchrl_named_info() -> list[int]:
    """Read one of several infos, and return its shape."""
    from torchrl.envs import GymEnv, default_info_dict_reader

    env = GymEnv("LamReach-v0", randomize="full", terminate_on_success=True)
    env.set_info_dict_reader(default_info_dict_reader(["is_success"]))
    success = env.rollout(STEPS)["next", "is_success"]
    env.close()
    return list(success.shape)


def torchrl_vector() -> list[int]:
    """Read an info of two environments in processes of their own, and return its shape."""
    from torchrl.data import Unbounded
    from torchrl.envs import GymEnv, default_info_dict_reader

    env = GymEnv("LamReach-v0", num_envs=2)
    env.set_info_dict_reader(default_info_dict_reader(["is_success"], spec=[Unbounded((2,), dtype=torch.bool)]))
    success = env.rollout(STEPS)["next", "is_success"]
    env.close()
    return list(success.shape)


def rllib_samples() -> dict[str, Any]:
    """Make environments by RLlib's runner, with its checks, and sample episodes."""
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    config = PPOConfig().environment("LamReach-v0").env_runners(num_envs_per_env_runner=2, num_env_runners=0)
    runner = SingleAgentEnvRunner(config=config)
    episodes = runner.sample(num_episodes=2, random_actions=True)
    runner.stop()
    infos = [info for episode in episodes for info in episode.get_infos()]
    return {
        "steps": [len(episode) for episode in episodes],
        "flags": sorted({str(info["is_success"].dtype) for info in infos}),
    }


def d3rlpy_learns(dataset_id: str) -> dict[str, Any]:
    """Read a dataset of ``demos.collect``, train on it, and act in its environment."""
    import d3rlpy
    import minari

    found = minari.load_dataset(dataset_id)
    episodes = [
        d3rlpy.dataset.Episode(
            np.asarray(one.observations[:-1]), one.actions, one.rewards[:, None], bool(one.terminations[-1])
        )
        for one in found.iterate_episodes()
    ]
    buffer = d3rlpy.dataset.create_infinite_replay_buffer(episodes)
    learner = d3rlpy.algos.BCConfig(batch_size=32).create(device=False)
    adapter = d3rlpy.logging.NoopAdapterFactory()
    learner.fit(buffer, n_steps=20, n_steps_per_epoch=20, show_progress=False, logger_adapter=adapter)
    env = found.recover_environment()
    value = d3rlpy.metrics.evaluate_qlearning_with_environment(learner, env, n_trials=1)
    env.close()
    assert np.isfinite(value)
    return {"episodes": len(buffer.episodes), "observations": list(buffer.episodes[0].observations.shape)}


def stable_baselines3_counts() -> dict[str, int]:
    """Count successes as Stable-Baselines3 does, and write them by its Monitor."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env("LamReach-v0", n_envs=2, monitor_kwargs={"info_keywords": ("is_success",)})
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=64, n_epochs=1)
    model.learn(128)
    assert model.ep_info_buffer is not None
    assert model.ep_success_buffer is not None
    return {"episodes": len(model.ep_info_buffer), "successes": len(model.ep_success_buffer)}


def main() -> None:
    """Print what the libraries read."""
    folder, dataset_id = sys.argv[1:]
    torch.set_num_threads(1)
    os.environ["MINARI_DATASETS_PATH"] = str(Path(folder).resolve())
    names = ("gymnasium", "torch", "torchrl", "tensordict", "ray", "d3rlpy", "minari", "stable_baselines3", "numpy")
    ids = ("LamReach-v0", "LamReachDiscrete-v0", "LamReachGoal-v0")
    seen: dict[str, Any] = {"versions": {name: version(name) for name in names}}
    seen["torchrl"] = {env_id: torchrl_environment(env_id) for env_id in ids}
    seen["torchrl_named"] = torchrl_named_info()
    seen["torchrl_vector"] = torchrl_vector()
    seen["stable_baselines3"] = stable_baselines3_counts()
    seen["d3rlpy"] = d3rlpy_learns(dataset_id)
    seen["rllib"] = rllib_samples()
    print("SEEN", json.dumps(seen, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()

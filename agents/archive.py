"""A stranger's model in an archive of Stable-Baselines3 (.zip): it can hold code, which runs when it is loaded."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym

SIGNS = {
    "SAC": ("target_entropy", "ent_coef"),
    "DQN": ("exploration_initial_eps",),
    "PPO": ("clip_range",),
    "TD3": ("target_policy_noise", "policy_delay"),
    "A2C": ("gae_lambda", "normalize_advantage"),
}
"""What an archive holds that only this algorithm has; the first that fits counts. It does not name it itself."""


def algorithm_of(path: str | Path) -> str:
    """Tells which of Stable-Baselines3's algorithms an archive is of; nothing in it is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such archive, or of another algorithm.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}: expected an archive that a model of Stable-Baselines3 saved")
    try:
        with zipfile.ZipFile(path) as archive:
            held = set(json.loads(archive.read("data")))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is no archive of a model of Stable-Baselines3: {error}") from error
    for name, signs in SIGNS.items():
        if held.issuperset(signs):
            return name
    raise ValueError(f"{path} is of an unknown algorithm; expected one of {', '.join(SIGNS)}")


def load(path: str | Path, env: gym.Env[Any, Any]) -> Any:
    """Loads a model; code that the archive holds is run, so trust where it is from.

    Args:
        path: Of the archive.
        env: Whose spaces it is to have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such archive, of an unknown algorithm, or for other spaces.
    """
    import stable_baselines3  # late: it brings PyTorch, and to tell what an archive is takes none

    model = getattr(stable_baselines3, algorithm_of(path)).load(path, device="cpu")
    for what in ("observation_space", "action_space"):
        own, wanted = getattr(model, what), getattr(env, what)
        if own != wanted:
            raise ValueError(f"the model in {path} has the {what} {own}, the environment {wanted}")
    return model

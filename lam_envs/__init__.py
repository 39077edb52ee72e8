"""Robot-manipulation environments for learning from demonstrations.

``import lam_envs`` registers the ids with Gymnasium; so does installing the package, by an entry point, so that
``gym.make("LamGrasp-v0")`` needs no import.
"""

from __future__ import annotations

import gymnasium as gym

from lam_envs.control import ToolCommand
from lam_envs.env import ManipulationEnv
from lam_envs.tasks import TASKS

__version__ = "0.1.0"

VARIANTS: dict[str, dict[str, str]] = {
    "": {},
    "Discrete": {"control": "discrete"},
    "Goal": {"obs": "goal", "reward": "sparse"},
}
"""Suffix of an id and what it sets; every keyword can still be given to ``gym.make``."""


def env_id(task: str, variant: str = "") -> str:
    """Returns the id of a task's variant, such as ``LamGraspDiscrete-v0``."""
    return f"Lam{task.title().replace('_', '')}{variant}-v0"


ENV_IDS = tuple(env_id(task, variant) for task in TASKS for variant in VARIANTS)


def register_envs() -> None:
    """Registers every id of :data:`ENV_IDS`; a second call changes nothing."""
    for task, task_class in TASKS.items():
        for variant, keywords in VARIANTS.items():
            if env_id(task, variant) not in gym.registry:
                gym.register(
                    env_id(task, variant),
                    entry_point="lam_envs.env:ManipulationEnv",
                    max_episode_steps=task_class.horizon,
                    kwargs={"task": task, **keywords},
                )


register_envs()

__all__ = ["ENV_IDS", "ManipulationEnv", "ToolCommand", "env_id", "register_envs"]

"""The ids of the environments.

``import lam_envs`` must be cheap, and Gymnasium 0.29 does it during its own import, for everyone who has the package
installed. So nothing here imports Bullet, a task or a robot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gymnasium.envs.registration import register, registry


class TaskEntry(NamedTuple):
    """Where a task is defined and how long its episodes are."""

    entry_point: str
    """``module:Class``."""
    max_episode_steps: int
    """Control steps, 20 a second: about three times what the expert needs."""


TASKS: dict[str, TaskEntry] = {
    "reach": TaskEntry("lam_envs.tasks.reach:Reach", 40),
    "push": TaskEntry("lam_envs.tasks.push:Push", 120),
    "grasp": TaskEntry("lam_envs.tasks.grasp:Grasp", 60),
    "pick_place": TaskEntry("lam_envs.tasks.pick_place:PickPlace", 80),
    "stack": TaskEntry("lam_envs.tasks.stack:Stack", 100),
    "insert": TaskEntry("lam_envs.tasks.insert:Insert", 100),
}
"""The table of tasks: a new task is one file in ``lam_envs/tasks``, one in ``demos/experts`` and one line here."""

VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "Discrete": {"control": "discrete"},
    "Goal": {"obs": "goal", "reward": "sparse"},
    "Pixels": {"obs": "pixels"},
}
"""Suffix of an id and what it sets; every keyword can still be given to ``gym.make``."""


def env_id(task: str, variant: str = "") -> str:
    """Return the id of a task's variant, such as ``LamGraspDiscrete-v0``."""
    return f"Lam{task.title().replace('_', '')}{variant}-v0"


ENTRY_POINT = "lam_envs.env:ManipulationEnv"

ENV_IDS = tuple(env_id(task, variant) for task in TASKS for variant in VARIANTS)


def register_envs() -> None:
    """Register every id of :data:`ENV_IDS`; a second call changes nothing."""
    for task, entry in TASKS.items():
        for variant, keywords in VARIANTS.items():
            if env_id(task, variant) not in registry:
                register(
                    env_id(task, variant),
                    entry_point=ENTRY_POINT,
                    max_episode_steps=entry.max_episode_steps,
                    # What the checker looks for the environment checks itself, and its tests do: 1% of a step.
                    disable_env_checker=True,
                    kwargs={"task": task, **keywords},
                )


def is_ours(given: object) -> bool:
    """Whether an id is registered for an environment of this package, by us or for somebody's own task.

    Ids that name a module to import are not: they are not in the registry.
    """
    return isinstance(given, str) and given in registry and registry[given].entry_point == ENTRY_POINT

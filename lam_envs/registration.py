"""Registration of the environment ids with Gymnasium.

This module does not import Bullet, tasks or robots: Gymnasium 0.29 loads it during its own import, in every program
where the package is installed.
"""

from __future__ import annotations

from typing import NamedTuple

from gymnasium.envs.registration import register, registry

from lam_envs.validation import check_steps


class TaskEntry(NamedTuple):
    """Class of a task, and length of its episodes."""

    entry_point: str
    """``module:Class``."""
    max_episode_steps: int
    """Control steps, 20 per second: at least about three times the steps of the expert."""
    has_chains: bool = False
    """True if the keyword ``chain`` asks for several successive commands: episodes are then longer by this factor.
    The keyword ``steps_per_command`` sets their length in place of ``max_episode_steps``."""


TASKS: dict[str, TaskEntry] = {
    "reach": TaskEntry("lam_envs.tasks.reach:Reach", 40),
    "push": TaskEntry("lam_envs.tasks.push:Push", 120),
    "grasp": TaskEntry("lam_envs.tasks.grasp:Grasp", 60),
    "pick_place": TaskEntry("lam_envs.tasks.pick_place:PickPlace", 80),
    "stack": TaskEntry("lam_envs.tasks.stack:Stack", 100),
    "insert": TaskEntry("lam_envs.tasks.insert:Insert", 100),
    "drawer": TaskEntry("lam_envs.tasks.drawer:Drawer", 80),
    "conveyor": TaskEntry("lam_envs.tasks.conveyor:Conveyor", 80),
    "clutter": TaskEntry("lam_envs.tasks.clutter.task:Clutter", 150),
    "table": TaskEntry("lam_envs.tasks.table.task:Table", 200, has_chains=True),
}
"""Tasks by name. A new task is a file in ``lam_envs/tasks``, a file in ``demos/experts``, and an entry here."""

VARIANTS: dict[str, dict[str, str]] = {
    "": {},
    "Discrete": {"control": "discrete"},
    "Goal": {"obs": "goal", "reward": "sparse"},
    "Pixels": {"obs": "pixels"},
}
"""Keywords of each variant of a task, by the suffix of its id. Keywords of ``gym.make`` override them."""


def env_id(task: str, variant: str = "") -> str:
    """Return the id of a variant of a task, such as ``LamGraspDiscrete-v0``."""
    return f"Lam{task.title().replace('_', '')}{variant}-v0"


ENTRY_POINT = "lam_envs.env:ManipulationEnv"
CHAIN_ENTRY_POINT = "lam_envs.env:make_chained_env"
"""Function that makes the environment with a time limit that depends on its keywords, which a registration cannot."""

ENV_IDS = tuple(env_id(task, variant) for task in TASKS for variant in VARIANTS)


def register_envs() -> None:
    """Register all ids of :data:`ENV_IDS`. A second call does nothing."""
    for task, entry in TASKS.items():
        for variant, keywords in VARIANTS.items():
            if env_id(task, variant) not in registry:
                register(
                    env_id(task, variant),
                    entry_point=CHAIN_ENTRY_POINT if entry.has_chains else ENTRY_POINT,
                    vector_entry_point=f"lam_envs.vector:{env_id(task, variant)}",
                    max_episode_steps=None if entry.has_chains else entry.max_episode_steps,
                    # The environment and its tests check the same; the checker costs 1% of a step.
                    disable_env_checker=True,
                    kwargs={"task": task, **keywords},
                )


def has_chains(env_id: str) -> bool:
    """Return True if an id has the keyword ``steps_per_command``, because its episodes can have successive commands.

    Args:
        env_id: Registered id.
    """
    return env_id in registry and _entry_point(env_id) == CHAIN_ENTRY_POINT


def chain_steps(task: str, chain: int, steps_per_command: int | None = None) -> int:
    """Return the time limit of episodes with successive commands, control steps.

    Args:
        task: Name of the task.
        chain: Number of commands.
        steps_per_command: Time limit for each command, control steps; by default that of :data:`TASKS`.

    Raises:
        ValueError: ``steps_per_command`` is not a positive whole number, or is missing for a task of your own.
    """
    if steps_per_command is None:
        if task not in TASKS:
            raise ValueError(
                f"task {task!r} has no time limit for each command; set it with steps_per_command, in control steps"
            )
        return TASKS[task].max_episode_steps * chain
    return check_steps("steps_per_command", steps_per_command) * chain


def is_lam_env(env_id: object) -> bool:
    """Return True if an id is registered for an environment of this package, including your own tasks.

    Ids with the name of a module, such as ``lam_envs:LamGrasp-v0``, are not in the registry: the result is False.
    """
    if not isinstance(env_id, str) or env_id not in registry:
        return False
    return _entry_point(env_id) in (ENTRY_POINT, CHAIN_ENTRY_POINT)


def _entry_point(env_id: str) -> str | None:
    """Return the entry point of a registered id as ``module:name``, also if it is registered as an object."""
    entry_point = registry[env_id].entry_point
    if callable(entry_point):
        return f"{getattr(entry_point, '__module__', '')}:{getattr(entry_point, '__qualname__', '')}"
    return entry_point

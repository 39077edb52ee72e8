"""Positions of the tool, the objects and the goal in recorded episodes."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import minari
import numpy as np
import numpy.typing as npt

from demos.datasets.environment import make_env
from demos.datasets.episode import STATE, Episode
from demos.datasets.metadata import plan_of
from demos.datasets.tree import tree_map
from demos.preprocess.schema import vector_key_of
from demos.runtime.types import Env
from lam_envs.env import ManipulationEnv
from lam_envs.observation import ROBOT_KEY
from lam_envs.registration import is_lam_env
from lam_envs.tasks import TASKS, make_task

Points = npt.NDArray[np.float64]

SUFFIX = "/position"
TOOL = f"tool{SUFFIX}"
NOT_POSITIONS = ("joint",)
"""Parts of the scene whose positions are angles."""
AREAS = {
    "tool": "initial positions of the tool",
    "spawn": "initial positions of objects",
    "goal_spawn": "goal positions",
}
"""Descriptions of the ranges of a task: its attributes ``tool_low`` and ``tool_high`` and so on."""


class Area(NamedTuple):
    """Rectangle on the table, from above."""

    description: str
    low: tuple[float, float]
    """Smallest x and y, meters."""
    high: tuple[float, float]


def own_env(dataset: minari.MinariDataset, **kwargs: Any) -> Env:
    """Make the environment that a dataset was collected in, if it is one of lam_envs.

    Args:
        dataset: Minari dataset.
        kwargs: Additional keywords.

    Raises:
        ValueError: It is not one of lam_envs, or cannot be made.
    """
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError:
        raise ValueError("the dataset names no environment of lam_envs") from None
    if not is_lam_env(env_id):
        raise ValueError(f"{env_id} is not an environment of lam_envs")
    try:
        return make_env(dataset, **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{env_id} cannot be made: {error}") from None


class Positions:
    """Reader of positions in the episodes of a dataset.

    Args:
        dataset: Dataset of :func:`demos.collect`.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or has other observations.
    """

    def __init__(self, dataset: minari.MinariDataset) -> None:
        env, state_env = own_env(dataset), own_env(dataset, obs="state")
        if env.observation_space != dataset.observation_space:
            raise ValueError(f"the observations are not those of {plan_of(dataset)['env_id']}")
        self._env = cast(ManipulationEnv, env.unwrapped)
        self._state_env = cast(ManipulationEnv, state_env.unwrapped)

    def close(self) -> None:
        """Close the environments."""
        self._env.close()
        self._state_env.close()

    @property
    def descriptions(self) -> dict[str, str]:
        """Descriptions of the positions by name of the feature."""
        return {
            feature.name: f"{feature.name.removesuffix(SUFFIX)}: {feature.description}"
            for feature in self._state_env.layout.features
            if _is_position(feature.name)
        }

    @property
    def areas(self) -> list[Area]:
        """Spawn ranges of the task, as far as its class defines them."""
        if self._state_env.task_name not in TASKS:
            return []
        task = make_task(self._state_env.task_name)
        limits = [
            (text, getattr(task, f"{name}_low", None), getattr(task, f"{name}_high", None))
            for name, text in AREAS.items()
        ]
        return [Area(text, low[:2], high[:2]) for text, low, high in limits if low is not None and high is not None]

    def start(self, episode: Episode) -> dict[str, Points]:
        """Return the initial positions by name of the feature, each of shape (3,).

        For image observations, they come from the recorded state, if there is one.
        """
        if ROBOT_KEY not in episode.observations:
            features = self._env.features(tree_map(lambda values: values[0], episode.observations))
        elif STATE in episode.infos:
            self._state_env.set_state(episode.infos[STATE][0])
            features = self._state_env.features()
        else:
            return {TOOL: self.path(episode)[0]}
        return {name: value for name, value in features.items() if _is_position(name)}

    def path(self, episode: Episode) -> Points:
        """Return the position of the tool at each step, shape (steps + 1, 3)."""
        key = vector_key_of(self._env.observation_space)
        vectors = episode.observations if key is None else episode.observations[key]
        part = self._env.layout[TOOL]
        path: Points = np.asarray(vectors[:, part.slice], dtype=np.float64) * part.scale + part.center
        return path


def _is_position(name: str) -> bool:
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in NOT_POSITIONS

"""Where the tool, the objects and the goal are in recorded episodes, in meters and by name."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt

from demos.datasets.environment import make_env
from demos.datasets.episode import STATE, Episode
from demos.datasets.metadata import plan_of
from lam_envs.observation import ROBOT_KEY
from lam_envs.registration import is_lam_env
from lam_envs.tasks import TASKS, make_task

Points = npt.NDArray[np.float64]

SUFFIX = "/position"
TOOL = f"tool{SUFFIX}"
NOT_PLACES = ("joint",)
"""Parts whose positions are angles."""
AREAS = {
    "tool": "the tool starts here",
    "spawn": "objects start here",
    "goal_spawn": "goals are here",
}
"""What the limits of a task are of: its attributes ``tool_low`` and ``tool_high`` and so on."""


class Area(NamedTuple):
    """A rectangle on the table, seen from above."""

    description: str
    low: tuple[float, float]
    """Least x and y, meters."""
    high: tuple[float, float]


def own_env(dataset: minari.MinariDataset, **kwargs: Any) -> gym.Env[Any, Any]:
    """Make the environment that a dataset was collected in, if it is one of lam_envs.

    Args:
        dataset: Any dataset of Minari.
        kwargs: What to set besides.

    Raises:
        ValueError: It is none, or it cannot be made; says why in a few words.
    """
    try:
        env_id = plan_of(dataset)["env_id"]
    except ValueError:
        raise ValueError("the dataset names no environment of lam_envs") from None
    if not is_lam_env(env_id):
        raise ValueError(f"{env_id} is no environment of lam_envs")
    try:
        return make_env(dataset, **kwargs)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{env_id} cannot be made: {error}") from None


class Positions:
    """Reads positions out of the episodes of one dataset.

    Args:
        dataset: A dataset of :func:`demos.collect`.

    Raises:
        ValueError: The dataset names no environment of lam_envs, or its observations are not those of it.
    """

    def __init__(self, dataset: minari.MinariDataset) -> None:
        seen, whole = own_env(dataset), own_env(dataset, obs="state")
        if seen.observation_space != dataset.observation_space:
            raise ValueError(f"the observations are not those of {plan_of(dataset)['env_id']}")
        self._seen: Any = seen.unwrapped
        self._whole: Any = whole.unwrapped

    def close(self) -> None:
        """Free the simulations."""
        self._seen.close()
        self._whole.close()

    @property
    def descriptions(self) -> dict[str, str]:
        """What the positions are of, by the name of the feature."""
        return {
            feature.name: f"{feature.name.removesuffix(SUFFIX)}: {feature.description}"
            for feature in self._whole.layout.features
            if _is_place(feature.name)
        }

    @property
    def areas(self) -> list[Area]:
        """Where the task puts things, as far as its class tells."""
        if self._whole.task_name not in TASKS:
            return []
        task = make_task(self._whole.task_name)
        limits = [
            (text, getattr(task, f"{name}_low", None), getattr(task, f"{name}_high", None))
            for name, text in AREAS.items()
        ]
        return [Area(text, low[:2], high[:2]) for text, low, high in limits if low is not None and high is not None]

    def start(self, episode: Episode) -> dict[str, Points]:
        """Return where everything is at the beginning, by the name of the feature, each of shape (3,).

        Pictures do not tell: there the recorded state does, if there is one.
        """
        if ROBOT_KEY not in episode.observations:
            features = self._seen.features(_first(episode.observations))
        elif STATE in episode.infos:
            self._whole.set_state(episode.infos[STATE][0])
            features = self._whole.features()
        else:
            return {TOOL: self.path(episode)[0]}
        return {name: value for name, value in features.items() if _is_place(name)}

    def path(self, episode: Episode) -> Points:
        """Return where the tool is at each moment, shape (steps + 1, 3)."""
        vectors = episode.observations
        if isinstance(vectors, dict):
            vectors = vectors[ROBOT_KEY if ROBOT_KEY in vectors else "observation"]
        part = self._seen.layout[TOOL]
        path: Points = np.asarray(vectors[:, part.slice], dtype=np.float64) * part.scale + part.center
        return path


def _first(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {name: values[0] for name, values in observations.items()}
    return observations[0]


def _is_place(name: str) -> bool:
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in NOT_PLACES

"""Schema of a dataset: its spaces, features, action dimensions and rate, as far as they are known.

Features are parts of one vector: the whole observation, the entry ``observation`` of goal observations, the entry
``robot`` of image observations, or the entry ``state`` beside an instruction.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import Any, cast

import minari
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from demos.datasets.environment import make_env
from demos.datasets.episode import Episode
from demos.datasets.metadata import PLAN, SCHEMA, plan_of, rate_of, validate_rate
from demos.datasets.reading import episodes_of
from demos.datasets.tree import tree_leaves, tree_map
from demos.runtime.types import Array, Env, JsonObject, Metadata, Space
from lam_envs.bullet.simulation import CONTROL_HZ
from lam_envs.control import CONTROLS
from lam_envs.env import ManipulationEnv
from lam_envs.observation import ROBOT_KEY
from lam_envs.observation.instructions import STATE_KEY
from lam_envs.registration import is_lam_env

VECTOR_KEYS = ("observation", ROBOT_KEY, STATE_KEY)
ABSOLUTE_PARTS = 1
"""Number of trailing action dimensions that are not displacements: the opening of the gripper."""


@dataclass(frozen=True)
class Column:
    """Columns of a feature in the vector. Physical value = number * scale + center."""

    start: int
    size: int
    scale: float = 1.0
    center: tuple[float, ...] = (0.0,)


@dataclass(frozen=True)
class DatasetSchema:
    """Schema of the episodes of a dataset.

    Attributes:
        observation_space: Observation space of the episodes.
        action_space: Action space of the episodes.
        plan: Plan of the collection; None if unknown.
        rate: Steps per second; None if unknown.
        columns: Features of the vector by name; None if unknown.
        displacements: Number of leading action dimensions that are displacements; None if unknown.
        info_sizes: Number of values of each info at a step, by path, such as ``randomization/mass``.
        env_spec: Specification of an environment with these spaces; None if unknown.
    """

    observation_space: Space
    action_space: Space
    plan: JsonObject | None
    rate: float | None
    columns: dict[str, Column] | None
    displacements: int | None
    info_sizes: dict[str, int] = field(default_factory=dict)
    env_spec: EnvSpec | None = None

    @property
    def vector_key(self) -> str | None:
        """Key of the vector in the observation; None if the observation is the vector.

        Raises:
            ValueError: The observation has no vector.
        """
        return vector_key_of(self.observation_space)

    @property
    def vector_space(self) -> spaces.Box:
        """Space of the vector.

        Raises:
            ValueError: The observation has no vector of the type Box.
        """
        key, space = self.vector_key, self.observation_space
        vector = space[key] if key is not None and isinstance(space, spaces.Dict) else space
        if not isinstance(vector, spaces.Box):
            raise ValueError(
                f"the observation {key!r} is in {vector}; expected a Box of shape (n,): use a dataset with such "
                "observations"
            )
        return vector

    def with_vector_space(self, vector: spaces.Box) -> DatasetSchema:
        """Return the schema with another space of the vector."""
        key, space = self.vector_key, self.observation_space
        new_space = spaces.Dict({**space.spaces, key: vector}) if key and isinstance(space, spaces.Dict) else vector
        return replace(
            self, observation_space=new_space, env_spec=self.env_spec if vector == self.vector_space else None
        )

    def with_action_space(self, actions: Space) -> DatasetSchema:
        """Return the schema with another action space."""
        return replace(self, action_space=actions, env_spec=self.env_spec if actions == self.action_space else None)

    def vectors(self, episode: Episode) -> Array:
        """Return the vectors of an episode, shape (T + 1, size)."""
        key = self.vector_key
        vectors: Array = episode.observations if key is None else episode.observations[key]
        return vectors

    def with_vectors(self, episode: Episode, vectors: Array) -> Episode:
        """Return an episode with other vectors."""
        key = self.vector_key
        return replace(episode, observations=vectors if key is None else {**episode.observations, key: vectors})

    def column(self, name: str) -> Column:
        """Return the columns of a feature.

        Raises:
            ValueError: There is no such feature.
        """
        if not self.columns or name not in self.columns:
            raise ValueError(f"unknown feature {name!r}; expected one of {', '.join(self.columns or ()) or 'none'}")
        return self.columns[name]

    def dimension_names(self) -> dict[str, dict[int, str]]:
        """Return names of the vector's dimensions: ``{"observation": {0: "tool/position x"}}``; empty if unknown."""
        if not self.columns:
            return {}
        key = self.vector_key
        names = {
            column.start + number: name if column.size == 1 else f"{name} {_axis(number, column.size)}"
            for name, column in self.columns.items()
            for number in range(column.size)
        }
        return {"observation" if key is None else f"observation/{key}": names}

    def physical(self, episode: Episode, name: str) -> npt.NDArray[np.float64]:
        """Return the physical values of a feature at each step, shape (T + 1, size)."""
        column = self.column(name)
        part = self.vectors(episode)[:, column.start : column.start + column.size]
        values: npt.NDArray[np.float64] = part.astype(np.float64) * column.scale + np.array(column.center)
        return values

    def metadata(self) -> Metadata:
        """Return the metadata that store the schema beside the spaces."""
        columns = {
            name: {"start": column.start, "size": column.size, "scale": column.scale, "center": list(column.center)}
            for name, column in (self.columns or {}).items()
        }
        schema = {"rate": self.rate, "columns": columns or None, "displacements": self.displacements}
        return {SCHEMA: schema, **({} if self.plan is None else {PLAN: self.plan})}


def schema_of(dataset: minari.MinariDataset) -> DatasetSchema:
    """Return the schema of a dataset.

    Raises:
        ValueError: The stored schema is damaged.
    """
    metadata = dataset.storage.read_raw_metadata(dataset.storage.data_path)
    plan: JsonObject | None = None
    with contextlib.suppress(ValueError):
        plan = plan_of(dataset)
    infos = next(episodes_of(dataset, dataset.episode_indices[:1])).infos
    sizes = {name: int(np.prod(values.shape[1:])) for name, values in tree_leaves(infos)}
    observations, actions = dataset.observation_space, dataset.action_space
    schema = DatasetSchema(observations, actions, plan, rate_of(dataset), None, None, sizes, dataset.env_spec)
    if SCHEMA in metadata:
        return _read(schema, metadata[SCHEMA])
    if plan is None or not is_lam_env(plan.get("env_id")):
        return schema
    env = make_env(dataset)
    try:
        own = schema_of_env(env, plan)
    finally:
        env.close()
    # Observations of a wrapper or of another version of the environment differ: their features are unknown.
    return replace(
        schema,
        columns=own.columns if own.observation_space == observations else None,
        displacements=own.displacements if own.action_space == actions else None,
    )


def schema_of_env(env: Env, plan: JsonObject) -> DatasetSchema:
    """Return the schema of episodes of an environment of lam_envs.

    Args:
        env: Environment of lam_envs.
        plan: Plan of the collection.
    """
    inner = cast(ManipulationEnv, env.unwrapped)
    columns = {
        name: Column(part.slice.start, part.slice.stop - part.slice.start, part.scale, tuple(part.center))
        for name, part in inner.layout.items()
    }
    rate = float(CONTROL_HZ)
    schema = DatasetSchema(env.observation_space, env.action_space, plan, rate, columns, None, env_spec=env.spec)
    return replace(schema, displacements=_displacements(schema))


def vector_key_of(space: Space) -> str | None:
    """Return the key of the vector in the observations of a space; None if the observation is the vector.

    Raises:
        ValueError: The observation has no vector.
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return None
    for key in VECTOR_KEYS:
        if isinstance(space, spaces.Dict) and key in space.spaces and len(space[key].shape or ()) == 1:
            return key
    *keys, last = VECTOR_KEYS
    raise ValueError(
        f"the observation space is {space}; expected a Box of shape (n,), or a Dict with one under {', '.join(keys)} "
        f"or {last}: use a dataset with such observations"
    )


def _axis(number: int, size: int) -> str:
    return "xyz"[number] if size == 3 else str(number)


def _displacements(schema: DatasetSchema) -> int | None:
    """Return the number of leading action dimensions that are displacements in an environment of lam_envs."""
    control = ((schema.plan or {}).get("env_kwargs") or {}).get("control", "ee")
    if control not in CONTROLS or not isinstance(schema.action_space, spaces.Box):
        return None
    return int(np.prod(schema.action_space.shape)) - ABSOLUTE_PARTS


def _read(schema: DatasetSchema, saved: Any) -> DatasetSchema:
    try:
        columns = {
            str(name): Column(
                int(column["start"]), int(column["size"]), float(column["scale"]), tuple(map(float, column["center"]))
            )
            for name, column in (saved["columns"] or {}).items()
        }
        rate, displacements = validate_rate(saved["rate"]), saved["displacements"]
        return replace(
            schema,
            rate=rate,
            columns=columns or None,
            displacements=None if displacements is None else int(displacements),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the metadata of the dataset are damaged: {SCHEMA} is {saved!r}") from error


def slice_episode(episode: Episode, first: int, last: int) -> Episode:
    """Return the steps ``first`` to ``last`` of an episode, including both observations; its end is a truncation.

    Args:
        episode: Episode of T steps.
        first: First observation, from 0.
        last: Last observation, at most T and after the first.
    """

    def rows(values: Array) -> Array:
        return values[first : last + 1]

    truncations = episode.truncations[first:last].copy()
    truncations[-1] |= not episode.terminations[last - 1]
    return replace(
        episode,
        observations=tree_map(rows, episode.observations),
        actions=episode.actions[first:last],
        rewards=episode.rewards[first:last],
        terminations=episode.terminations[first:last],
        truncations=truncations,
        infos=tree_map(rows, episode.infos),
    )

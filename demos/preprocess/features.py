"""Drop features of the observation, or add features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from typing_extensions import override

from demos.datasets.episode import Episode
from demos.datasets.tree import tree_leaves
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import Column, DatasetSchema
from demos.runtime.types import Array

INFO = "info/"
"""Prefix of features that are infos."""


def _time(schema: DatasetSchema, episode: Episode) -> Array:
    if schema.rate is None:
        raise ValueError("the dataset does not record its steps per second, which the feature 'time' needs")
    return np.arange(len(episode) + 1)[:, None] / schema.rate


def _previous_action(schema: DatasetSchema, episode: Episode) -> Array:
    flat = episode.actions.reshape(len(episode), -1)
    return np.concatenate([np.zeros((1, flat.shape[1])), flat])


ADDED: dict[str, Callable[[DatasetSchema, Episode], Array]] = {
    "time": _time,
    "previous_action": _previous_action,
}
"""Features to add: ``time`` since the reset in seconds; ``previous_action``, zeros at the reset."""


@dataclass(frozen=True)
class Features(Preprocessor):
    """Drop features of the observation vector, then append others.

    Attributes:
        drop: Names of features, such as ``object/velocity``; a name that ends in ``/`` selects all with this prefix.
        add: Names in ``ADDED``, or ``info/NAME`` for a recorded info.
    """

    name = "features"
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A feature to add is unknown, or both settings are empty.
        """
        if not self.drop and not self.add:
            raise ValueError("drop and add are empty; expected names of features")
        for name in self.add:
            if name not in ADDED and not name.startswith(INFO):
                raise ValueError(f"unknown feature {name!r} to add; expected {', '.join(ADDED)} or {INFO}NAME")

    @override
    def make_transform(self, schema: DatasetSchema) -> EpisodeTransform:
        columns = schema.columns or {}
        dropped = {name for pattern in self.drop for name in _matching(schema, pattern)}
        for name in self.add:
            if name in columns and name not in dropped:
                raise ValueError(f"the feature {name!r} exists; expected another one to add")
        space = schema.vector_space
        keep = np.ones(space.shape[0], dtype=bool)
        for name in dropped:
            column = columns[name]
            keep[column.start : column.start + column.size] = False
        new_starts = np.cumsum(keep) - 1
        new_columns = {
            name: replace(column, start=int(new_starts[column.start]))
            for name, column in columns.items()
            if name not in dropped
        }
        sizes = {name: _size(schema, name) for name in self.add}
        if not keep.any() and not sum(sizes.values()):
            raise ValueError(
                f"drop={list(self.drop)} removes every feature; expected at least one to remain: drop fewer "
                "features, or add some"
            )
        start = int(keep.sum())
        for name, size in sizes.items():
            new_columns[name] = Column(start, size, 1.0, (0.0,) * size)
            start += size
        more = np.full(sum(sizes.values()), np.inf, dtype=space.dtype)
        low, high = np.concatenate([space.low[keep], -more]), np.concatenate([space.high[keep], more])
        new = spaces.Box(low, high, dtype=low.dtype.type)
        new_schema = replace(schema.with_vector_space(new), columns=new_columns or None)
        return _FeatureTransform(new_schema, schema, np.flatnonzero(keep), sizes)


class _FeatureTransform(EpisodeTransform):
    """Select columns ``keep`` of episodes with the schema ``source``, and append features of the given ``sizes``."""

    def __init__(self, schema: DatasetSchema, source: DatasetSchema, keep: Array, sizes: dict[str, int]) -> None:
        super().__init__(schema)
        self._source, self._keep, self._sizes = source, keep, sizes

    @override
    def apply(self, episode: Episode) -> Episode | None:
        schema = self._source
        vectors = schema.vectors(episode)
        parts = [vectors[:, self._keep]]
        for name, size in self._sizes.items():
            values = _added(schema, episode, name)
            if values.shape != (len(vectors), size):
                raise ValueError(
                    f"the feature {name!r} has the shape {values.shape}; expected {(len(vectors), size)}"
                )
            parts.append(values.astype(vectors.dtype))
        return schema.with_vectors(episode, np.concatenate(parts, axis=1))


def _matching(schema: DatasetSchema, pattern: str) -> list[str]:
    names = [
        name for name in schema.columns or {} if name == pattern or (pattern[-1:] == "/" and name.startswith(pattern))
    ]
    if not names:
        schema.column(pattern)
    return names


def _size(schema: DatasetSchema, name: str) -> int:
    if name == "previous_action":
        return int(np.prod(schema.action_space.shape or (1,)))
    if name.startswith(INFO):
        info = name[len(INFO) :]
        if info not in schema.info_sizes:
            raise ValueError(f"unknown info {info!r}; expected one of {', '.join(schema.info_sizes) or 'none'}")
        return schema.info_sizes[info]
    return 1


def _added(schema: DatasetSchema, episode: Episode, name: str) -> Array:
    if name in ADDED:
        return ADDED[name](schema, episode)
    infos = dict(tree_leaves(episode.infos))
    if name[len(INFO) :] not in infos:
        raise ValueError(f"an episode has no info {name[len(INFO) :]!r}; it has {', '.join(infos)}")
    return np.asarray(infos[name[len(INFO) :]]).reshape(len(episode) + 1, -1)

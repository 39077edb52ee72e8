"""Leave out features of the observation, or add some."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from typing_extensions import override

from demos.datasets.episode import Episode
from demos.datasets.tree import tree_leaves
from demos.preprocess.preprocessor import EpisodeTransform, Preprocessor
from demos.preprocess.schema import Column, DatasetSchema

INFO = "info/"
"""A feature of that prefix is the info of the rest of its name."""


def _time(schema: DatasetSchema, episode: Episode) -> npt.NDArray[Any]:
    if schema.rate is None:
        raise ValueError("the dataset does not say how many moments it has a second: the feature 'time' needs it")
    return np.arange(len(episode) + 1)[:, None] / schema.rate


def _previous_action(schema: DatasetSchema, episode: Episode) -> npt.NDArray[Any]:
    flat = episode.actions.reshape(len(episode), -1)
    return np.concatenate([np.zeros((1, flat.shape[1])), flat])


ADDED: dict[str, Callable[[DatasetSchema, Episode], npt.NDArray[Any]]] = {
    "time": _time,
    "previous_action": _previous_action,
}
"""Features that can be added: ``time`` since the start, seconds; ``previous_action``, zeros at the start."""


@dataclass(frozen=True)
class Features(Preprocessor):
    """Drops features of the observed vector, then adds others at its end.

    Attributes:
        drop: Names of features, such as ``object/velocity``; a name that ends in ``/`` stands for all that begin so.
        add: Names of ``ADDED``, or ``info/NAME`` for a recorded info.
    """

    name = "features"
    drop: tuple[str, ...] = ()
    add: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: An unknown feature is to be added, or nothing is to be done.
        """
        if not self.drop and not self.add:
            raise ValueError("no feature is named to drop or to add")
        for name in self.add:
            if name not in ADDED and not name.startswith(INFO):
                raise ValueError(f"unknown feature {name!r} to add; expected {', '.join(ADDED)} or {INFO}NAME")

    @override
    def begin(self, schema: DatasetSchema) -> EpisodeTransform:
        columns = schema.columns or {}
        dropped = {name for wanted in self.drop for name in _matching(schema, wanted)}
        for name in self.add:
            if name in columns and name not in dropped:
                raise ValueError(f"the feature {name!r} is there already")
        space = schema.vector_space
        keep = np.ones(space.shape[0], dtype=bool)
        for name in dropped:
            column = columns[name]
            keep[column.start : column.start + column.size] = False
        places = np.cumsum(keep) - 1
        left = {
            name: replace(column, start=int(places[column.start]))
            for name, column in columns.items()
            if name not in dropped
        }
        sizes = {name: _size(schema, name) for name in self.add}
        start = int(keep.sum())
        for name, size in sizes.items():
            left[name] = Column(start, size, 1.0, (0.0,) * size)
            start += size
        more = np.full(sum(sizes.values()), np.inf, dtype=space.dtype)
        low, high = np.concatenate([space.low[keep], -more]), np.concatenate([space.high[keep], more])
        new = spaces.Box(low, high, dtype=low.dtype.type)
        made = replace(schema.with_vector_space(new), columns=left or None)
        return _Choosing(made, schema, np.flatnonzero(keep), sizes)


class _Choosing(EpisodeTransform):
    """What the episodes are like that are ``given``, the places that are ``kept``, and ``sizes`` of what is added."""

    def __init__(
        self, schema: DatasetSchema, given: DatasetSchema, kept: npt.NDArray[Any], sizes: dict[str, int]
    ) -> None:
        super().__init__(schema)
        self._given, self._kept, self._sizes = given, kept, sizes

    @override
    def apply(self, episode: Episode) -> Episode | None:
        schema = self._given
        vectors = schema.vectors(episode)
        parts = [vectors[:, self._kept]]
        for name, size in self._sizes.items():
            values = _added(schema, episode, name)
            if values.shape != (len(vectors), size):
                raise ValueError(
                    f"the feature {name!r} has the shape {values.shape}; expected {(len(vectors), size)}"
                )
            parts.append(values.astype(vectors.dtype))
        return schema.with_vectors(episode, np.concatenate(parts, axis=1))


def _matching(schema: DatasetSchema, wanted: str) -> list[str]:
    names = [
        name for name in schema.columns or {} if name == wanted or (wanted[-1:] == "/" and name.startswith(wanted))
    ]
    if not names:
        schema.column(wanted)
    return names


def _size(schema: DatasetSchema, name: str) -> int:
    if name == "previous_action":
        return int(np.prod(schema.action_space.shape or (1,)))
    if name.startswith(INFO):
        info = name[len(INFO) :]
        if info not in schema.info_sizes:
            raise ValueError(f"there is no info {info!r}; known: {', '.join(schema.info_sizes) or 'none'}")
        return schema.info_sizes[info]
    return 1


def _added(schema: DatasetSchema, episode: Episode, name: str) -> npt.NDArray[Any]:
    if name in ADDED:
        return ADDED[name](schema, episode)
    infos = dict(tree_leaves(episode.infos))
    if name[len(INFO) :] not in infos:
        raise ValueError(f"an episode has no info {name[len(INFO) :]!r}; it has {', '.join(infos)}")
    return np.asarray(infos[name[len(INFO) :]]).reshape(len(episode) + 1, -1)

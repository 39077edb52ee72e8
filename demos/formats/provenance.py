"""What an export writes beside the episodes, so that an import gives the same dataset again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, registry
from minari.dataset.minari_storage import is_image_space
from minari.serialization import deserialize_space, serialize_space

from demos.datasets.metadata import HISTORY
from demos.formats.source import Column, Source
from demos.formats.spaces import leaf_spaces

VERSION = 1
"""Of what is written here."""
TEXTS = ("algorithm_name", "description", "code_permalink")
"""Minari's metadata that are texts."""
SETS = ("author", "author_email")
"""Minari's metadata that are sets of texts."""
LARGEST_ARRAY = 2**31
"""Numbers of one moment that are believed."""


@dataclass(frozen=True)
class Provenance:
    """Where exported episodes come from.

    Attributes:
        dataset_id: What the dataset was called.
        observation_space: Of the episodes.
        action_space: Of the episodes.
        env_spec: The environment, if the dataset told and no other code than the registered would run.
        metadata: The plan, the history and Minari's own.
        columns: What every array was; see :class:`demos.formats.source.Source`.
    """

    dataset_id: str
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    env_spec: EnvSpec | None
    metadata: dict[str, Any]
    columns: dict[str, Column]


def provenance_text(source: Source) -> str:
    """Return the provenance of a dataset as JSON."""
    storage = source.dataset.storage
    raw = storage.read_raw_metadata(storage.data_path)
    return json.dumps(
        {
            "version": VERSION,
            "dataset_id": source.dataset.id,
            "observation_space": _space_json(source.dataset.observation_space),
            "action_space": _space_json(source.dataset.action_space),
            "env_spec": raw.get("env_spec"),
            "metadata": {name: value for name, value in raw.items() if _is_kept(name)},
            "columns": {name: [column.dtype, list(column.shape)] for name, column in source.columns.items()},
        }
    )


def parse_provenance(text: str | bytes) -> Provenance:
    """Read what :func:`provenance_text` gives.

    Raises:
        ValueError: It is something else.
    """
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}; this package reads {VERSION}")
        columns = {str(name): _column(*value) for name, value in content["columns"].items()}
        observation_space = _space(content["observation_space"])
        action_space = _space(content["action_space"])
        return Provenance(
            str(content["dataset_id"]),
            observation_space,
            action_space,
            _registered_spec(content["env_spec"]),
            _metadata(content["metadata"]),
            columns,
        )
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        AssertionError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ValueError(f"the lam_envs provenance is damaged ({error!r}); remove it to import without") from error


def _is_kept(name: str) -> bool:
    ours = name.startswith("lam_envs_") and name != "lam_envs_seal"
    return ours or name in (*TEXTS, *SETS, "requirements")


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if name in SETS:
            kept[name] = set(map(str, value))
        elif name in TEXTS:
            kept[name] = str(value)
        elif _is_kept(name):
            kept[name] = value
    if not isinstance(kept.get(HISTORY, []), list):
        raise ValueError(f"{HISTORY} is no list")
    return kept


def _column(dtype: str, shape: list[int]) -> Column:
    sizes = tuple(int(size) for size in shape)
    column = Column(np.dtype(str(dtype)).str, sizes)
    if (
        np.dtype(column.dtype).kind not in "biuf"
        or min(sizes, default=1) < 1
        or np.prod(sizes, dtype=float) > LARGEST_ARRAY
    ):
        raise ValueError(f"a column of {dtype!r} and shape {shape}")
    return column


def _space_json(space: gym.Space[Any]) -> Any:
    """A space for JSON; pictures without a number for the bounds of each pixel."""
    if isinstance(space, gym.spaces.Dict):
        return {"type": "Dict", "subspaces": {name: _space_json(inner) for name, inner in space.spaces.items()}}
    if is_image_space(space):
        return {"type": "picture", "shape": list(space.shape or ())}
    return json.loads(serialize_space(space))


def _space(given: dict[str, Any]) -> gym.Space[Any]:
    space = _any_space(given)
    for leaf in leaf_spaces(space).values():
        if np.dtype(leaf.dtype).kind not in "biuf" or np.prod(leaf.shape, dtype=float) > LARGEST_ARRAY:
            raise ValueError(f"the space {leaf}")
    return space


def _any_space(given: dict[str, Any]) -> gym.Space[Any]:
    if given["type"] == "Dict":
        return gym.spaces.Dict({str(name): _any_space(inner) for name, inner in given["subspaces"].items()})
    if given["type"] == "picture":
        shape = tuple(int(size) for size in given["shape"])
        if np.prod(shape, dtype=float) > LARGEST_ARRAY:
            raise ValueError(f"pictures of shape {shape}")
        return gym.spaces.Box(0, 255, shape, np.uint8)
    space: gym.Space[Any] = deserialize_space(json.dumps(given))
    return space


def _registered_spec(text: str | None) -> EnvSpec | None:
    """The environment, if what it names to import is what is registered under its id: a file names no code to run."""
    if text is None:
        return None
    spec = EnvSpec.from_json(text)
    known = registry.get(spec.id)
    named = (spec.entry_point, spec.vector_entry_point, tuple(spec.additional_wrappers))
    if known is None or named != (known.entry_point, known.vector_entry_point, ()):
        return None
    return spec

"""Provenance of exported episodes, from which an import restores the same dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, registry
from minari.dataset.minari_storage import is_image_space
from minari.serialization import deserialize_space, serialize_space

from demos.datasets.metadata import HISTORY
from demos.formats.source import Column, Source
from demos.formats.spaces import leaf_spaces
from demos.runtime.types import JsonObject, Metadata, Space

VERSION = 1
"""Version of the provenance format."""
TEXTS = ("algorithm_name", "description", "code_permalink")
"""Minari metadata that are texts."""
SETS = ("author", "author_email")
"""Minari metadata that are sets of texts."""
LARGEST_ARRAY = 2**31
"""Largest number of values in one step."""


@dataclass(frozen=True)
class Provenance:
    """Provenance of exported episodes.

    Attributes:
        dataset_id: Id of the exported dataset.
        observation_space: Observation space of the episodes.
        action_space: Action space of the episodes.
        env_spec: Specification of the environment; None if unknown, or if it differs from the registered one.
        metadata: Plan, history and Minari's metadata.
        columns: Type and shape of each array; see :class:`demos.formats.source.Source`.
        instructions: Instruction of each episode; empty if the export did not record them.
    """

    dataset_id: str
    observation_space: Space
    action_space: Space
    env_spec: EnvSpec | None
    metadata: Metadata
    columns: dict[str, Column]
    instructions: tuple[str | None, ...] = ()


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
            "metadata": {name: value for name, value in raw.items() if _is_exported(name)},
            "columns": {name: [column.dtype, list(column.shape)] for name, column in source.columns.items()},
            "instructions": source.instructions,
        }
    )


def parse_provenance(text: str | bytes) -> Provenance:
    """Return the provenance from its JSON text.

    Raises:
        ValueError: The text is damaged.
    """
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r}; expected {VERSION}")
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
            tuple(None if text is None else str(text) for text in content.get("instructions", [])),
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
        raise ValueError(f"the lam_envs provenance is damaged ({error!r}); remove it to import without it") from error


def _is_exported(name: str) -> bool:
    ours = name.startswith("lam_envs_") and name != "lam_envs_seal"
    return ours or name in (*TEXTS, *SETS, "requirements")


def _metadata(stored: JsonObject) -> Metadata:
    result: Metadata = {}
    for name, value in stored.items():
        if name in SETS:
            result[name] = set(map(str, value))
        elif name in TEXTS:
            result[name] = str(value)
        elif _is_exported(name):
            result[name] = value
    if not isinstance(result.get(HISTORY, []), list):
        raise ValueError(f"{HISTORY} is not a list")
    return result


def _column(dtype: str, shape: list[int]) -> Column:
    sizes = tuple(int(size) for size in shape)
    column = Column(np.dtype(str(dtype)).str, sizes)
    if (
        np.dtype(column.dtype).kind not in "biuf"
        or min(sizes, default=1) < 1
        or np.prod(sizes, dtype=float) > LARGEST_ARRAY
    ):
        raise ValueError(f"invalid column of type {dtype!r} and shape {shape}")
    return column


def _space_json(space: Space) -> object:
    """Return a space as JSON, and images only by their shape, because Minari would write bounds for each pixel."""
    if isinstance(space, gym.spaces.Dict):
        return {"type": "Dict", "subspaces": {name: _space_json(inner) for name, inner in space.spaces.items()}}
    if is_image_space(space):
        return {"type": "image", "shape": list(space.shape or ())}
    return json.loads(serialize_space(space))


def _space(stored: JsonObject) -> Space:
    space = _any_space(stored)
    for leaf in leaf_spaces(space).values():
        if np.dtype(leaf.dtype).kind not in "biuf" or np.prod(leaf.shape or (), dtype=float) > LARGEST_ARRAY:
            raise ValueError(f"invalid space {leaf}")
    return space


def _any_space(stored: JsonObject) -> Space:
    if stored["type"] == "Dict":
        return gym.spaces.Dict({str(name): _any_space(inner) for name, inner in stored["subspaces"].items()})
    if "low" not in stored and set(stored) == {"type", "shape"}:
        shape = tuple(int(size) for size in stored["shape"])
        if np.prod(shape, dtype=float) > LARGEST_ARRAY:
            raise ValueError(f"invalid images of shape {shape}")
        return gym.spaces.Box(0, 255, shape, np.uint8)
    space: Space = deserialize_space(json.dumps(stored))
    return space


def _registered_spec(text: str | None) -> EnvSpec | None:
    """Return the specification if its code is the registered one, because a file must not name code to run."""
    if text is None:
        return None
    spec = EnvSpec.from_json(text)
    known = registry.get(spec.id)
    if known is None or spec.entry_point != known.entry_point or spec.additional_wrappers:
        return None
    # Files that were written before environments had a vector entry point name none.
    return spec if spec.vector_entry_point in (None, known.vector_entry_point) else None

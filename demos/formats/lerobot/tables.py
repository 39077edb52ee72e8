"""Tables and descriptions of features in LeRobot files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from gymnasium.envs.registration import registry

from demos.datasets.episode import Episode
from demos.datasets.tree import tree_leaves
from demos.formats.arrow import (
    HuggingFaceFeature,
    import_pyarrow,
    list_feature,
    nested_rows,
    value_feature,
    with_features,
)
from demos.formats.lerobot.layout import DEFAULTS, STEPWISE, Layout
from demos.formats.source import Column, SeedAndDigest, Source
from demos.runtime.types import Array, Arrays
from lam_envs.registration import TASKS, is_lam_env

if TYPE_CHECKING:
    import pyarrow as pa


class Feature(TypedDict, total=False):
    """Description of a column or video in ``meta/info.json``."""

    dtype: str
    shape: list[int]
    names: list[str] | None
    info: dict[str, object]


def features_of(source: Source, layout: Layout) -> dict[str, Feature]:
    """Return the descriptions of columns and videos in ``meta/info.json``."""
    columns = source.columns
    features: dict[str, Feature] = {}
    for entry, name in layout.observations.items():
        features[name] = feature_of(columns[f"observations/{entry}".rstrip("/")])
        if entry in layout.videos:
            features[name] |= {"dtype": "video", "names": ["height", "width", "channels"]}
    features["action"] = feature_of(columns["actions"])
    features |= {name: feature_of(columns[part]) for name, part in STEPWISE.items()}
    features["next.done"] = feature_of(columns["terminations"])
    if "is_success" in layout.infos:
        features["next.success"] = feature_of(columns["infos/is_success"])
    features |= {name: feature_of(columns[f"infos/{entry}"]) for entry, name in layout.infos.items()}
    return {**features, **{name: feature_of(Column(dtype, ())) for name, dtype in DEFAULTS.items()}}


def feature_of(column: Column) -> Feature:
    """Return the description of a column in ``meta/info.json``."""
    return {"dtype": np.dtype(column.dtype).name, "shape": list(column.shape or (1,)), "names": None}


def hugging_face_feature(feature: Feature) -> HuggingFaceFeature:
    """Return the description of a column for Hugging Face ``datasets``."""
    shape, dtype = feature["shape"], feature["dtype"]
    if shape == [1]:
        return value_feature(dtype)
    if len(shape) == 1:
        return list_feature(value_feature(dtype), shape[0])
    return {"shape": shape, "dtype": dtype, "_type": f"Array{len(shape)}D"}


def frame_table(columns: Arrays, features: dict[str, Feature]) -> pa.Table:
    """Return the Arrow table of an episode's frames.

    Args:
        columns: Columns by name, each of shape (steps, ...).
        features: Their descriptions, as :func:`features_of` returns them.
    """
    pa = import_pyarrow()
    described = {name: feature for name, feature in features.items() if name in columns}
    arrays = []
    for name, feature in described.items():
        scalar = feature["shape"] == [1]
        values = columns[name].reshape(-1) if scalar else columns[name]
        arrays.append(nested_rows(values, fixed=len(feature["shape"]) == 1))
    schema = pa.schema([(name, array.type) for name, array in zip(described, arrays, strict=True)])
    hf_features = {name: hugging_face_feature(feature) for name, feature in described.items()}
    return pa.Table.from_arrays(arrays, schema=with_features(schema, hf_features))


def extras_table(episode: Episode, identity: SeedAndDigest) -> pa.Table:
    """Return the table row of an episode with what frames cannot hold."""
    pa = import_pyarrow()
    row = {
        "seed": pa.array([identity.seed], pa.uint64()),
        "sha256": pa.array([identity.sha256], pa.string()),
    }
    for part in ("observations", "infos"):
        for entry, values in tree_leaves(getattr(episode, part), part):
            row[entry] = nested_rows(np.ascontiguousarray(values[-1:]).reshape(1, -1))
    return pa.table(row)


def plain_statistics(value: Array) -> object:
    """Return a statistic as plain numbers for JSON and Parquet, which cannot mix uint64 with other types."""
    return (value.astype(np.float64) if value.dtype == np.uint64 else value).tolist()


def task_description(source: Source) -> str:
    """Return a sentence that describes the task, or at least the id of the environment."""
    env_id = source.env_id
    if env_id is not None and is_lam_env(env_id) and registry[env_id].kwargs.get("task") in TASKS:
        module = importlib.import_module(TASKS[registry[env_id].kwargs["task"]].entry_point.partition(":")[0])
        sentence = (module.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")
        if sentence:
            return sentence
    return env_id or source.dataset.id


def task_table(tasks: Sequence[str]) -> pa.Table:
    """Return the table of tasks as pandas writes it, with the tasks as index."""
    pa = import_pyarrow()
    index = "__index_level_0__"
    kinds = {"task_index": ("int64", "int64"), index: ("unicode", "object")}
    pandas = {
        "index_columns": [index],
        "column_indexes": [
            {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
        ],
        "columns": [
            {
                "name": None if name == index else name,
                "field_name": name,
                "pandas_type": pandas_type,
                "numpy_type": numpy_type,
                "metadata": None,
            }
            for name, (pandas_type, numpy_type) in kinds.items()
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), index: pa.array(list(tasks), pa.string())}
    )
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})

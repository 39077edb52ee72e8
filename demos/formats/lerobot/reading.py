"""Read LeRobot datasets of this package and of third parties."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from demos.datasets.episode import Episode
from demos.datasets.metadata import HIGHEST_RATE
from demos.datasets.tree import tree_leaves, tree_nest
from demos.formats.arrow import column_to_numpy, import_pyarrow
from demos.formats.format import ImportedDataset, ImportedEpisode, end_flags, import_optional, with_last
from demos.formats.lerobot.layout import (
    DEFAULTS,
    END_FLAGS,
    EXTRAS,
    IMAGES,
    INFO,
    MAX_AXES,
    PROVENANCE,
    STEPWISE,
    VERSION,
    VIDEO_PATH,
    layout_of,
)
from demos.formats.lerobot.videos import read_frames
from demos.formats.provenance import Provenance, parse_provenance
from demos.formats.spaces import infer_action_space, infer_space
from demos.runtime.types import Arrays, JsonObject, Space

if TYPE_CHECKING:
    import pyarrow as pa

Features: TypeAlias = "dict[str, tuple[int, ...] | str]"
"""Shapes of columns by name, and ``video`` or ``image`` for images."""


@contextmanager
def read_dataset(path: Path) -> Iterator[ImportedDataset]:
    """Open a folder. See :class:`demos.formats.format.Format`."""
    info = json.loads((path / INFO).read_text())
    if info["codebase_version"] != VERSION:
        raise ValueError(
            f"{INFO} has the version {info['codebase_version']!r}; expected {VERSION}: convert it with LeRobot's "
            "convert_dataset_v21_to_v30"
        )
    features, fps = _checked_features(info["features"]), float(info["fps"])
    if not 0 < fps <= HIGHEST_RATE:
        raise ValueError(f"{INFO} has {fps} frames per second; expected a number above 0, at most {HIGHEST_RATE:g}")
    total = int(info["total_episodes"])
    if (path / PROVENANCE).exists():
        provenance = parse_provenance((path / PROVENANCE).read_text())
        episodes = _exported_episodes(path, provenance, fps)
        yield ImportedDataset(provenance.observation_space, provenance.action_space, provenance, total, episodes)
        return
    first = next(_third_party_episodes(path, features, fps), None)
    if first is None:
        raise ValueError("it holds no episode; expected at least one")
    obs = first.episode.observations
    observations: dict[str, Space] = {name: infer_space(values) for name, values in tree_leaves(obs)}
    shape = features["action"]
    if isinstance(shape, str):
        raise ValueError(f"{INFO} has actions of the type {shape}; expected numbers")
    actions = infer_action_space(
        column_to_numpy(table["action"], "action", shape) for _, table in _frames(path, ["action"])
    )
    yield ImportedDataset(
        spaces.Dict(observations) if isinstance(obs, dict) else observations[""],
        actions,
        None,
        total,
        _third_party_episodes(path, features, fps),
        {"last_observation": "the one before it", **({} if "next.reward" in features else {"rewards": "zeros"})},
        fps,
    )


def _checked_features(stored: JsonObject) -> Features:
    """Return the shapes of the columns, and ``video`` or ``image`` for images; texts are left out.

    Raises:
        ValueError: A name could be a path, or a shape is invalid.
    """
    features: Features = {}
    for name, feature in stored.items():
        if not re.fullmatch(r"\w[\w -]*(\.[\w -]+)*", name):
            raise ValueError(f"{INFO} has the feature {name!r}; expected letters, digits, '_', '-' and single dots")
        dtype, shape = feature["dtype"], tuple(int(size) for size in feature["shape"])
        if len(shape) > MAX_AXES or min(shape, default=1) < 1 or np.prod(shape, dtype=float) > 2**28:
            raise ValueError(f"{INFO} claims the shape {shape} of {name}; expected one that fits into memory")
        if dtype in ("video", "image"):
            features[name] = dtype
        elif dtype != "string":
            features[name] = shape
    missing = {"action", "episode_index"} - set(features)
    if missing or not any(name.startswith("observation.") for name in features):
        raise ValueError(f"{INFO} lacks the features {sorted(missing) or 'observation.*'}")
    return features


def _episode_rows(path: Path) -> Iterator[JsonObject]:
    """Yield the metadata of each episode, without statistics."""
    parquet = import_pyarrow("pyarrow.parquet")
    files = sorted((path / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise ValueError("meta/episodes holds no file; expected Parquet files")
    for file in files:
        with parquet.ParquetFile(file) as content:
            names = [name for name in content.schema_arrow.names if not name.startswith("stats/")]
            for batch in content.iter_batches(batch_size=100, columns=names):
                yield from batch.select([name for name in batch.schema.names if name in names]).to_pylist()


def _frames(path: Path, names: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Yield the frames of each episode, with its number."""
    pa, parquet = import_pyarrow(), import_pyarrow("pyarrow.parquet")
    pieces: list[Any] = []
    current = -1
    for file in sorted((path / "data").glob("*/*.parquet")):
        with parquet.ParquetFile(file) as content:
            missing = set(names) - set(content.schema_arrow.names)
            if missing:
                raise ValueError(f"{file.name} lacks the columns {sorted(missing)}")
            for batch in content.iter_batches(batch_size=256, columns=[*names, "episode_index"]):
                table = pa.Table.from_batches([batch])
                index = column_to_numpy(table["episode_index"], "episode_index", ())
                edges = [0, *(np.flatnonzero(np.diff(index)) + 1).tolist(), len(index)]
                for begin, end in pairwise(edges):
                    if pieces and index[begin] != current:
                        yield current, pa.concat_tables(pieces)
                        pieces = []
                    current = int(index[begin])
                    pieces.append(table.slice(begin, end - begin))
    if pieces:
        yield current, pa.concat_tables(pieces)


def _episodes_with_metadata(path: Path, names: list[str]) -> Iterator[tuple[JsonObject, pa.Table]]:
    """Yield metadata and frames of each episode."""
    rows = _episode_rows(path)
    count = 0
    for number, table in _frames(path, names):
        row = next(rows, None)
        if row is None or (row["episode_index"], row["length"]) != (number, len(table)) or number != count:
            raise ValueError(f"meta/episodes has no episode {number} with {len(table)} frames")
        count += 1
        yield row, table
    if next(rows, None) is not None:
        raise ValueError(f"meta/episodes has more than the {count} episodes in data")


def _video(path: Path, name: str, row: JsonObject, fps: float) -> npt.NDArray[np.uint8]:
    """Return the frames of a camera in an episode."""
    indices = [int(row[f"videos/{name}/{key}"]) for key in ("chunk_index", "file_index")]
    if min(indices) < 0:
        raise ValueError(f"meta/episodes names the file {indices} of {name}; expected numbers from 0")
    file = path / VIDEO_PATH.format(video_key=name, chunk_index=indices[0], file_index=indices[1])
    return read_frames(file, float(row[f"videos/{name}/from_timestamp"]), int(row["length"]), fps)


def _exported_episodes(path: Path, provenance: Provenance, fps: float) -> Iterator[ImportedEpisode]:
    """Yield episodes that our export wrote."""
    columns = provenance.columns
    infos = [name.removeprefix("infos/") for name in columns if name.startswith("infos/")]
    layout = layout_of(provenance.observation_space, infos)
    parts_by_name = {name: f"observations/{entry}".rstrip("/") for entry, name in layout.observations.items()}
    parts_by_name |= {
        "action": "actions",
        **STEPWISE,
        **{name: f"infos/{entry}" for entry, name in layout.infos.items()},
    }
    videos = {layout.observations[entry] for entry in layout.videos}
    extras = chain(_extra_rows(path), repeat(None))
    for row, table in _episodes_with_metadata(path, [name for name in parts_by_name if name not in videos]):
        last = next(extras)
        if last is None:
            raise ValueError(
                f"{EXTRAS} has fewer rows than there are episodes; remove meta/lam_envs to import without it"
            )
        parts: Arrays = {}
        for name, part in parts_by_name.items():
            column = columns[part]
            values = (
                _video(path, name, row, fps) if name in videos else column_to_numpy(table[name], name, column.shape)
            )
            parts[part] = values.astype(column.dtype, copy=False)
            if part.partition("/")[0] in ("observations", "infos"):
                end = column_to_numpy(last[part], part, column.shape).astype(column.dtype, copy=False)
                parts[part] = np.concatenate([parts[part], end])
        nested = tree_nest(parts)
        yield ImportedEpisode(
            Episode(
                seed=last["seed"][0].as_py(),
                observations=nested["observations"],
                actions=nested["actions"],
                rewards=nested["rewards"],
                terminations=nested["terminations"],
                truncations=nested["truncations"],
                infos=nested.get("infos", {}),
            ),
            last["sha256"][0].as_py(),
        )


def _extra_rows(path: Path) -> Iterator[pa.RecordBatch]:
    parquet = import_pyarrow("pyarrow.parquet")
    with parquet.ParquetFile(path / EXTRAS) as content:
        yield from content.iter_batches(batch_size=1)


def _third_party_episodes(path: Path, features: Features, fps: float) -> Iterator[ImportedEpisode]:
    """Yield third-party episodes."""
    names = [name for name, feature in features.items() if feature != "video"]
    for row, table in _episodes_with_metadata(path, names):
        columns = {
            name: _image_column(table[name], name)
            if isinstance(shape, str)
            else column_to_numpy(table[name], name, shape)
            for name, shape in features.items()
            if shape != "video"
        }
        videos = {name: _video(path, name, row, fps) for name, feature in features.items() if feature == "video"}
        tasks = row.get("tasks")
        # Of several tasks, none holds for the whole episode.
        task = tasks[0] if isinstance(tasks, list) and len(tasks) == 1 and isinstance(tasks[0], str) else None
        yield ImportedEpisode(replace(_episode({**columns, **videos}), instruction=task), None)


def _image_column(rows: pa.ChunkedArray, name: str) -> npt.NDArray[np.uint8]:
    """Return the images that a column holds as files."""
    pil_image = import_optional("PIL.Image", "Pillow")
    images = []
    for cell in rows.to_pylist():
        content = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(content, bytes):
            raise ValueError(f"{name} holds no images; expected PNG or JPEG data in every row")
        try:
            with pil_image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                images.append(np.asarray(image.convert("RGB")))
        except (pil_image.DecompressionBombError, SyntaxError) as error:
            raise ValueError(f"{name} holds an image that is damaged or too large: {error}") from error
    return np.stack(images)


def _episode(columns: Arrays) -> Episode:
    """Return an episode from its columns and videos."""
    observations: Arrays = {}
    infos: Arrays = {}
    for name, values in columns.items():
        if name.startswith("observation."):
            key = name.removeprefix(f"{IMAGES}.").removeprefix("observation.")
            if key in observations:
                raise ValueError(f"two observations would be named {key!r}; rename one of the features")
            observations[key] = with_last(values)
        elif name not in (*DEFAULTS, *END_FLAGS, "action", "next.reward", "next.success"):
            flat = values[:, 0] if values.shape[1:] == (1,) else values
            infos[name.removeprefix("info.")] = with_last(flat)
    steps = len(columns["action"])
    if "next.success" in columns:
        success = columns["next.success"].reshape(steps).astype(bool)
        infos["is_success"] = np.concatenate([[False], success])
    flags = {flag: columns[name] for name, flag in END_FLAGS.items() if name in columns}
    terminations, truncations = end_flags(flags, steps)
    rewards = columns["next.reward"].reshape(steps) if "next.reward" in columns else np.zeros(steps)
    return Episode(
        seed=None,
        observations=observations["state"] if set(observations) == {"state"} else observations,
        actions=columns["action"],
        rewards=rewards.astype(np.float64),
        terminations=terminations,
        truncations=truncations,
        infos=infos,
    )

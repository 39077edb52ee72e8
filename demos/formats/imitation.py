"""Folders of trajectories of imitation, as ``imitation.data.serialize.load`` reads them (imitation 1.0.1).

A folder of Hugging Face ``datasets`` has one row for each trajectory: ``obs``, ``acts``, ``infos`` (a JSON text
for each step, which imitation decodes by jsonpickle), ``terminal`` and ``rews``. The additional file
``lam_envs.jsonl`` holds the provenance in its first line, and then what trajectories cannot hold.

imitation stores no dict observations. Dicts of vectors of one type are written as one vector, in the order of
``gymnasium.wrappers.FlattenObservation``; other dicts are an error.

Third-party infos that are not numbers at every step are left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from demos.datasets.episode import Episode
from demos.datasets.tree import tree_leaves, tree_map, tree_nest
from demos.formats.arrow import (
    HuggingFaceFeature,
    column_to_numpy,
    import_pyarrow,
    nested_rows,
    value_feature,
    with_features,
)
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, split_done
from demos.formats.provenance import Provenance, parse_provenance, provenance_text
from demos.formats.source import Column, SeedAndDigest, Source
from demos.formats.spaces import infer_action_space, infer_space, leaf_spaces
from demos.runtime.types import Array, Info, JsonObject, Observation, Space

if TYPE_CHECKING:
    import pyarrow as pa

DATA = "data-00000-of-00001.arrow"
STATE, INFO = "state.json", "dataset_info.json"
SIDECAR = "lam_envs.jsonl"
PICKLED = "py/"
"""Prefix of keys by which jsonpickle creates objects."""


def _write(source: Source, path: Path) -> list[str]:
    pa = import_pyarrow()
    order = _vector_order(source)
    path.mkdir()
    with (path / SIDECAR).open("w") as sidecar, (path / DATA).open("wb") as file:
        sidecar.write(provenance_text(source) + "\n")
        writer: Any = None
        for episode, identity in zip(source.episodes(), source.seeds_and_digests, strict=True):
            columns = _trajectory(episode, order)
            if writer is None:
                features = {name: _feature(column.type) for name, column in columns.items()}
                schema = with_features(pa.schema([(name, column.type) for name, column in columns.items()]), features)
                writer = pa.ipc.new_stream(file, schema)
                _write_descriptions(path, features, source)
            writer.write_batch(pa.record_batch(list(columns.values()), schema=schema))
            sidecar.write(json.dumps(_sidecar_row(episode, identity)) + "\n")
        writer.close()
    note = f"(saved in {SIDECAR} for an import)"
    losses = [f"the difference between termination and truncation {note}"]
    if source.rate is not None:
        losses.append(f"the rate, {source.rate:g} steps per second {note}")
    if source.part_columns("infos"):
        losses.append(f"the infos of the reset {note}")
        losses.append(f"the types of infos, which become JSON numbers {note}")
    if order is not None:
        losses.append(f"the keys of dict observations, which become one vector, as by FlattenObservation {note}")
    return losses


def _vector_order(source: Source) -> list[str] | None:
    """Return the paths of dict observations in the order of the vector; None if observations are no dict.

    Raises:
        ValueError: The entries are not vectors of one type.
    """
    space = source.dataset.observation_space
    if not isinstance(space, spaces.Dict):
        return None
    columns = source.part_columns("observations")
    if {len(column.shape) for column in columns.values()} != {1} or len(
        {column.dtype for column in columns.values()}
    ) > 1:
        raise ValueError(
            f"imitation stores no dict observations, and {space} cannot be written as one vector; "
            "expected vectors of one type. Collect with other observations, such as obs='state'."
        )
    return list(leaf_spaces(space))


def _trajectory(episode: Episode, order: list[str] | None) -> dict[str, pa.Array]:
    """Return the columns of the row of an episode."""
    pa = import_pyarrow()
    observations = episode.observations
    if order is not None:
        parts = dict(tree_leaves(observations))
        observations = np.concatenate([parts[name] for name in order], axis=1)
    rewards = np.asarray(episode.rewards)
    texts = [json.dumps(info) for info in _json_infos(episode.infos, 1, len(episode) + 1)]
    return {
        "obs": _one_row(nested_rows(observations)),
        "acts": _one_row(nested_rows(episode.actions)),
        "infos": _one_row(pa.array(texts, pa.string())),
        "terminal": pa.array([bool(episode.terminations[-1] or episode.truncations[-1])]),
        "rews": _one_row(nested_rows(rewards if rewards.dtype.kind == "f" else rewards.astype(np.float64))),
    }


def _one_row(values: pa.Array) -> pa.ListArray:
    pa = import_pyarrow()
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def _json_infos(infos: Info, first: int, end: int) -> list[JsonObject]:
    """Return the infos of each step as JSON data."""
    return [tree_map(lambda values, step=step: values[step].tolist(), infos) for step in range(first, end)]


def _sidecar_row(episode: Episode, identity: SeedAndDigest) -> dict[str, object]:
    """Return what a trajectory cannot hold."""
    return {
        "seed": identity.seed,
        "sha256": identity.sha256,
        "terminations": np.flatnonzero(episode.terminations).tolist(),
        "truncations": np.flatnonzero(episode.truncations).tolist(),
        "reset_info": _json_infos(episode.infos, 0, 1)[0],
    }


def _feature(kind: pa.DataType) -> HuggingFaceFeature:
    """Return the description of a column for ``datasets``."""
    if import_pyarrow("pyarrow.types").is_list(kind):
        # Older versions than datasets 4 cannot read List.
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    names = {"float": "float32", "double": "float64", "halffloat": "float16"}
    return value_feature(names.get(str(kind), str(kind)))


def _write_descriptions(path: Path, features: dict[str, HuggingFaceFeature], source: Source) -> None:
    """Write the files by which ``datasets`` finds the data."""
    # ``datasets`` caches results by fingerprint: other rows need another one.
    content = "".join(identity.sha256 for identity in source.seeds_and_digests)
    state: dict[str, object] = {
        "_data_files": [{"filename": DATA}],
        "_fingerprint": hashlib.sha256(content.encode()).hexdigest()[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    (path / STATE).write_text(json.dumps(state, indent=2))
    (path / INFO).write_text(json.dumps(info, indent=2))


@contextmanager
def _read(path: Path) -> Iterator[ImportedDataset]:
    files = _data_files(path)
    sidecar = path / SIDECAR
    if not sidecar.exists():
        observations, actions, total = _infer_spaces(files)
        episodes = (ImportedEpisode(_third_party_episode(row), None) for row in _rows(files))
        yield ImportedDataset(observations, actions, None, total, episodes, {"reset_info": "that of the first step"})
        return
    with sidecar.open() as lines:
        provenance = parse_provenance(lines.readline())
        total = sum(batch.num_rows for batch in _batches(files))
        sidecar_rows = chain((json.loads(line) for line in lines), repeat(None))
        episodes = (_exported_episode(row, next(sidecar_rows), provenance) for row in _rows(files))
        yield ImportedDataset(provenance.observation_space, provenance.action_space, provenance, total, episodes)


def _data_files(path: Path) -> list[Path]:
    """Return the data files in their order.

    Raises:
        ValueError: A name is not that of a file in this folder.
    """
    names = [entry["filename"] for entry in json.loads((path / STATE).read_text())["_data_files"]]
    wrong = [name for name in names if not isinstance(name, str) or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name)]
    if wrong or not names:
        raise ValueError(f"{STATE} names the files {wrong or names}; expected file names in this folder")
    return [path / name for name in names]


def _batches(files: list[Path]) -> Iterator[pa.RecordBatch]:
    pa = import_pyarrow()
    for file in files:
        with pa.OSFile(str(file)) as content, pa.ipc.open_stream(content) as reader:
            missing = {"obs", "acts", "infos", "terminal"} - set(reader.schema.names)
            if missing:
                raise ValueError(f"{file.name} lacks the columns {sorted(missing)}")
            for batch in reader:
                batch.validate(full=True)
                yield batch


def _rows(files: list[Path]) -> Iterator[dict[str, Any]]:
    """Yield each trajectory as Arrow arrays and plain values."""
    for batch in _batches(files):
        for number in range(batch.num_rows):
            row = {name: batch.column(name)[number] for name in batch.schema.names}
            yield {name: value.values if hasattr(value, "values") else value.as_py() for name, value in row.items()}


def _infer_spaces(files: list[Path]) -> tuple[Space, Space, int]:
    """Return the spaces inferred from third-party trajectories, and the number of trajectories."""
    actions, observations = [], None
    for row in _rows(files):
        chunk = column_to_numpy(row["acts"], "acts")
        actions.append(np.stack([chunk.min(axis=0), chunk.max(axis=0)]))
        observations = infer_space(column_to_numpy(row["obs"], "obs")) if observations is None else observations
    if observations is None:
        raise ValueError("it holds no trajectory; expected at least one")
    return observations, infer_action_space(actions), len(actions)


def _third_party_episode(row: dict[str, Any]) -> Episode:
    """Return the episode of a third-party trajectory."""
    actions = column_to_numpy(row["acts"], "acts")
    infos = [_checked(json.loads(text)) for text in row["infos"].to_pylist()]
    if len(infos) != len(actions):
        raise ValueError(f"a trajectory has {len(actions)} actions and {len(infos)} infos; expected equal numbers")
    terminations, truncations = split_done(bool(row["terminal"]), len(actions))
    return Episode(
        seed=None,
        observations=column_to_numpy(row["obs"], "obs"),
        actions=actions,
        rewards=column_to_numpy(row["rews"], "rews") if "rews" in row else np.zeros(len(actions)),
        terminations=terminations,
        truncations=truncations,
        infos=_stacked([infos[0], *infos]),
    )


def _checked(info: object) -> Any:
    """Return an info if it is plain JSON data.

    Raises:
        ValueError: It would become an object, or holds other data than numbers, lists and dicts.
    """
    if isinstance(info, dict):
        pickled = [key for key in info if key.startswith(PICKLED)]
        if pickled:
            raise ValueError(
                f"an info has the key {pickled[0]!r}: it would become an object, which may run code; "
                "expected plain numbers. Save the trajectories without such infos."
            )
        return {key: _checked(value) for key, value in info.items()}
    if isinstance(info, list):
        return [_checked(value) for value in info]
    if not isinstance(info, (bool, int, float)):
        raise ValueError(f"an info holds {info!r}; expected numbers, lists and dicts")
    return info


def _stacked(steps: list[Any]) -> Info:
    """Return the stacked infos that are numbers of one shape at every step."""
    if not all(isinstance(step, dict) for step in steps):
        raise ValueError("an info is not a dict; expected dicts")
    stacked: Info = {}
    for name in steps[0]:
        if not name or "/" in name or name in (".", "..") or not all(name in step for step in steps):
            continue
        values = [step[name] for step in steps]
        if all(isinstance(value, dict) for value in values):
            stacked[name] = _stacked(values)
        elif not any(isinstance(value, dict) for value in values):
            array = _array(values)
            if array is not None:
                stacked[name] = array
    return stacked


def _array(values: list[object]) -> Array | None:
    """Return the values as an array of numbers; None if that is impossible."""
    try:
        array = np.array(values)
    except ValueError:
        return None
    return array if array.dtype.kind in "biuf" else None


def _exported_episode(row: dict[str, Any], sidecar_row: JsonObject | None, provenance: Provenance) -> ImportedEpisode:
    """Return an episode that our export wrote."""
    columns = provenance.columns
    actions = column_to_numpy(row["acts"], "acts", provenance.action_space.shape).astype(
        columns["actions"].dtype, copy=False
    )
    steps = len(actions)
    if sidecar_row is None:
        raise ValueError(f"{SIDECAR} has fewer lines than there are trajectories; remove it to import without it")
    texts = row["infos"].to_pylist()
    step_infos = [_checked(info) for info in (sidecar_row["reset_info"], *map(json.loads, texts))]
    flat = [dict(tree_leaves(info)) for info in step_infos]
    infos = {
        name.removeprefix("infos/"): _as_column([step[name.removeprefix("infos/")] for step in flat], column)
        for name, column in columns.items()
        if name.startswith("infos/")
    }
    episode = Episode(
        seed=sidecar_row["seed"],
        observations=_observations(row["obs"], provenance),
        actions=actions,
        rewards=column_to_numpy(row["rews"], "rews", ()).astype(columns["rewards"].dtype, copy=False),
        terminations=_flags(sidecar_row["terminations"], steps),
        truncations=_flags(sidecar_row["truncations"], steps),
        infos=tree_nest(infos),
    )
    return ImportedEpisode(episode, sidecar_row["sha256"])


def _observations(rows: pa.Array, provenance: Provenance) -> Observation:
    shapes = {name: space.shape or () for name, space in leaf_spaces(provenance.observation_space).items()}
    if "" in shapes:
        return column_to_numpy(rows, "obs", shapes[""])
    ends_at = np.cumsum([shape[0] for shape in shapes.values()])
    vectors = column_to_numpy(rows, "obs", (int(ends_at[-1]),))
    return tree_nest(dict(zip(shapes, np.split(vectors, ends_at[:-1], axis=1), strict=True)))


def _as_column(values: list[object], column: Column) -> Array:
    array = np.array(values, dtype=column.dtype)
    if array.shape[1:] != column.shape:
        raise ValueError(f"an info has the shape {array.shape[1:]}; expected {column.shape}")
    return array


def _flags(steps: list[int], length: int) -> npt.NDArray[np.bool_]:
    flags = np.zeros(length, dtype=bool)
    flags[np.array(steps, dtype=np.int64)] = True
    return flags


FORMAT = Format("a folder of trajectories of imitation 1.0 (state.json, dataset_info.json)", _write, _read, STATE)

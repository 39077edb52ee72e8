"""LeRobot's dataset folders (v3.0): what ``LeRobotDataset`` reads.

https://huggingface.co/docs/lerobot/lerobot-dataset-v3

One frame for each step: the observation before it (``observation.state``, ``observation.images.<camera>`` as film),
``action``, ``next.reward``, ``next.done``, ``next.success``, and the infos of the moment before it (``info.<name>``).
Of dict observations, the entry named ``observation`` or ``state``, or the only one that is no picture, is
``observation.state``; others keep their names. A dot joins the names of nested entries.

What frames have no place for is in ``meta/lam_envs``, which LeRobot does not look at: the provenance, and of every
episode the seed, a checksum, and the last observation and infos.

LeRobot needs a whole number of frames per second: a dataset of another rate is refused.
"""

from __future__ import annotations

import importlib
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.registration import registry

from demos.datasets.dataset import HIGHEST_RATE
from demos.datasets.episode import Episode, nested, tree_leaves
from demos.formats.arrow import list_feature, nested_rows, numbers, pyarrow, value_feature, with_features
from demos.formats.format import Format, ImportedDataset, ImportedEpisode, ends, optional, with_last
from demos.formats.parquet import ParquetFiles
from demos.formats.provenance import Provenance, parsed_provenance, provenance_text
from demos.formats.source import UNKNOWN_FPS, Column, Signature, Source
from demos.formats.spaces import flat_names, implied_action_space, implied_space, is_image, leaf_spaces
from demos.formats.statistics import Statistics, merged, number_statistics, picture_statistics
from demos.formats.videos import FILES_A_CHUNK, FilmWriter, pyav, read_frames
from lam_envs.registration import TASKS, is_ours

VERSION = "v3.0"
INFO, STATS, TASKS_FILE = "meta/info.json", "meta/stats.json", "meta/tasks.parquet"
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
PROVENANCE, REST = "meta/lam_envs/provenance.json", "meta/lam_envs/episodes.parquet"
LARGEST_MB = {"data_files_size_in_mb": 100, "video_files_size_in_mb": 200}
"""Size of a file after which another begins."""
TOGETHER = 50
"""Episodes whose descriptions are written at once."""
SMALLEST_FILM = 16
"""Pixels; smaller pictures are arrays."""
STATE, IMAGES = "observation.state", "observation.images"
WHOLE = ("observation", "state")
"""Entries of dict observations that are LeRobot's state."""
DEFAULT_ROBOT = "panda"
MOST_AXES = 5
"""Of an array in LeRobot."""
DEFAULTS = {"timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64",
            "task_index": "int64"}  # fmt: skip
"""Columns that every dataset has."""
STEPWISE = {"next.reward": "rewards", "next.terminated": "terminations", "next.truncated": "truncations"}
"""Columns of parts of an episode."""


@dataclass(frozen=True)
class _Layout:
    """Which column or film holds which array.

    Attributes:
        observations: Names in LeRobot by the way within an observation.
        films: Those of them that are films.
        infos: The same of infos.
    """

    observations: dict[str, str]
    films: tuple[str, ...]
    infos: dict[str, str]


def _layout(observation_space: Any, infos: Any) -> _Layout:
    parts = leaf_spaces(observation_space)
    films = [way for way, space in parts.items() if is_image(space) and min(space.shape[:2]) >= SMALLEST_FILM]
    others = [way for way in parts if way not in films]
    state = next((way for way in (*WHOLE, "") if way in others), others[0] if len(others) == 1 else None)
    flat = flat_names(parts, ".")
    names = {
        way: f"{IMAGES}.{flat[way] or 'camera'}" if way in films else f"observation.{flat[way]}" for way in parts
    }
    names.update({} if state is None else {state: STATE})
    if len(set(names.values())) != len(names):
        raise ValueError(f"two entries of the observations would have the same name in LeRobot: {names}")
    told = {way: f"info.{name}" for way, name in flat_names(infos, ".").items()}
    return _Layout(names, tuple(films), told)


def _write(source: Source, path: Path) -> list[str]:
    pyarrow("pyarrow.parquet")
    layout = _layout(source.dataset.observation_space, source.named("infos"))
    if layout.films:
        pyav()
    _fps(source)
    wide = [name for name, column in source.columns.items() if len(column.shape) > MOST_AXES]
    if wide:
        raise ValueError(f"{', '.join(wide)} have more than {MOST_AXES} axes; expected no more")
    with _Writing(source, path, layout) as writer:
        for episode, signature in zip(source.episodes(), source.signatures, strict=True):
            writer.add(episode, signature)
    writer.finish()
    kept = f"(saved in {Path(PROVENANCE).parent} for an import)"
    losses = [f"the last observation and infos of each episode: a frame is what was there before an action {kept}"]
    if layout.films:
        cameras = ", ".join(layout.observations[way] for way in layout.films)
        losses.append(f"the exact pixels of {cameras}: films are compressed with loss")
    if source.rate is None:
        losses.append(f"the time: nothing tells the steps a second, and {UNKNOWN_FPS} are written")
    return losses


def _fps(source: Source) -> int:
    """Return the frames per second of a dataset.

    Raises:
        ValueError: The rate is not a whole number.
    """
    if source.rate is None:
        return UNKNOWN_FPS
    if not source.rate.is_integer():
        raise ValueError(
            f"{source.dataset.id} has {source.rate:g} steps per second; LeRobot expects a whole number. Resample it "
            f"first, such as by: python -m demos preprocess --step resample:rate={max(round(source.rate), 1)}"
        )
    return int(source.rate)


class _Writing:
    """A folder that is being written, an episode at a time."""

    def __init__(self, source: Source, path: Path, layout: _Layout) -> None:
        self._source, self._path, self._layout = source, path, layout
        self._fps = _fps(source)
        self._features = _features(source, layout)
        self._stats: dict[str, Statistics] = {}
        self._frames = self._episodes = 0
        self._data = ParquetFiles(path, DATA_PATH, LARGEST_MB["data_files_size_in_mb"])
        self._meta = ParquetFiles(path, EPISODES_PATH, LARGEST_MB["data_files_size_in_mb"], TOGETHER)
        self._rest = ParquetFiles(path, REST, None, TOGETHER)
        self._films = {way: self._film(way) for way in layout.films}
        self._task = _task(source)

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *error: Any) -> None:
        for film in self._films.values():
            film.close()
        for tables in (self._data, self._meta, self._rest):
            tables.close()

    def add(self, episode: Episode, signature: Signature) -> None:
        """Appends an episode."""
        steps = len(episode)
        seen = dict(tree_leaves(episode.observations))
        columns = self._columns(episode, seen)
        stats = {name: number_statistics(values) for name, values in columns.items()}
        row: dict[str, Any] = {"episode_index": self._episodes, "tasks": [self._task], "length": steps}
        chunk, file = self._data.add(_frame_table(columns, self._features))
        row |= {"data/chunk_index": chunk, "data/file_index": file}
        row |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + steps}
        for way, film in self._films.items():
            name = self._layout.observations[way]
            row |= {f"videos/{name}/{key}": value for key, value in film.add(seen[way][:-1]).items()}
            stats[name] = picture_statistics(seen[way][:-1])
        for name in self._features:
            row |= {f"stats/{name}/{key}": _plain(value) for key, value in stats[name].items()}
            self._stats[name] = merged(self._stats[name], stats[name]) if name in self._stats else stats[name]
        chunk, file = self._meta.place()
        row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        self._meta.add(pyarrow().Table.from_pylist([row]))
        self._rest.add(_rest_table(episode, signature))
        self._frames += steps
        self._episodes += 1

    def finish(self) -> None:
        """Writes what is known at the end."""
        info = {
            "codebase_version": VERSION,
            "robot_type": self._robot(),
            "total_episodes": self._episodes,
            "total_frames": self._frames,
            "total_tasks": 1,
            "chunks_size": FILES_A_CHUNK,
            **LARGEST_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{self._episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._films else None,
            "features": self._features,
        }
        stats = {name: {key: _plain(value) for key, value in told.items()} for name, told in self._stats.items()}
        for name, content in ((INFO, info), (STATS, stats)):
            (self._path / name).write_text(json.dumps(content, indent=4))
        (self._path / PROVENANCE).write_text(provenance_text(self._source))
        pyarrow("pyarrow.parquet").write_table(_task_table(self._task), self._path / TASKS_FILE)

    def _columns(self, episode: Episode, seen: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The columns of the frames, films aside."""
        layout, steps = self._layout, len(episode)
        columns = {name: seen[way][:-1] for way, name in layout.observations.items() if way not in layout.films}
        columns["action"] = episode.actions
        columns |= {name: getattr(episode, part) for name, part in STEPWISE.items()}
        columns["next.done"] = episode.terminations | episode.truncations
        infos = dict(tree_leaves(episode.infos))
        if "is_success" in layout.infos:
            columns["next.success"] = infos["is_success"][1:]
        columns |= {name: infos[way][:-1] for way, name in layout.infos.items()}
        frames = np.arange(steps)
        columns["timestamp"] = (frames / self._fps).astype(np.float32)
        columns["frame_index"], columns["index"] = frames, frames + self._frames
        columns["episode_index"], columns["task_index"] = (
            np.full(steps, self._episodes),
            np.zeros(steps, dtype=np.int64),
        )
        return columns

    def _film(self, way: str) -> FilmWriter:
        name = self._layout.observations[way]

        def path(chunk: int, file: int) -> Path:
            return self._path / VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)

        film = FilmWriter(path, self._fps, leaf_spaces(self._source.dataset.observation_space)[way].shape)
        self._features[name]["info"] = film.information
        return film

    def _robot(self) -> str | None:
        env_id = self._source.env_id
        if env_id is None or not is_ours(env_id):
            return None
        robot = {"robot": DEFAULT_ROBOT, **registry[env_id].kwargs, **self._source.env_kwargs}["robot"]
        return str(getattr(robot, "name", robot))


def _features(source: Source, layout: _Layout) -> dict[str, Any]:
    """What ``meta/info.json`` says of the columns and films."""
    columns = source.columns
    features: dict[str, Any] = {}
    for way, name in layout.observations.items():
        features[name] = _feature(columns[f"observations/{way}".rstrip("/")])
        if way in layout.films:
            features[name] |= {"dtype": "video", "names": ["height", "width", "channels"]}
    features["action"] = _feature(columns["actions"])
    features |= {name: _feature(columns[part]) for name, part in STEPWISE.items()}
    features["next.done"] = _feature(columns["terminations"])
    if "is_success" in layout.infos:
        features["next.success"] = _feature(columns["infos/is_success"])
    features |= {name: _feature(columns[f"infos/{way}"]) for way, name in layout.infos.items()}
    return {**features, **{name: _feature(Column(dtype, ())) for name, dtype in DEFAULTS.items()}}


def _feature(column: Column) -> dict[str, Any]:
    return {"dtype": np.dtype(column.dtype).name, "shape": list(column.shape or (1,)), "names": None}


def _hugging_face(feature: dict[str, Any]) -> dict[str, Any]:
    """How ``datasets`` describes a column."""
    shape, dtype = feature["shape"], feature["dtype"]
    if shape == [1]:
        return value_feature(dtype)
    if len(shape) == 1:
        return list_feature(value_feature(dtype), shape[0])
    return {"shape": shape, "dtype": dtype, "_type": f"Array{len(shape)}D"}


def _frame_table(columns: dict[str, npt.NDArray[Any]], features: dict[str, Any]) -> Any:
    pa = pyarrow()
    told = {name: feature for name, feature in features.items() if name in columns}
    arrays = []
    for name, feature in told.items():
        scalar = feature["shape"] == [1]
        values = columns[name].reshape(-1) if scalar else columns[name]
        arrays.append(nested_rows(values, fixed=len(feature["shape"]) == 1))
    schema = pa.schema([(name, array.type) for name, array in zip(told, arrays, strict=True)])
    described = {name: _hugging_face(feature) for name, feature in told.items()}
    return pa.Table.from_arrays(arrays, schema=with_features(schema, described))


def _rest_table(episode: Episode, signature: Signature) -> Any:
    """What frames have no place for."""
    pa = pyarrow()
    row: dict[str, Any] = {
        "seed": pa.array([signature.seed], pa.uint64()),
        "sha256": pa.array([signature.sha256], pa.string()),
    }
    for part in ("observations", "infos"):
        for way, values in tree_leaves(getattr(episode, part), part):
            row[way] = nested_rows(np.ascontiguousarray(values[-1:]).reshape(1, -1))
    return pa.table(row)


def _plain(value: npt.NDArray[Any]) -> Any:
    """Statistics for JSON and Parquet, which has no whole numbers of 64 bits without a sign in lists of others."""
    return (value.astype(np.float64) if value.dtype == np.uint64 else value).tolist()


def _task(source: Source) -> str:
    """The task in a sentence, for policies that read; or at least its environment."""
    env_id = source.env_id
    if env_id is not None and is_ours(env_id) and registry[env_id].kwargs.get("task") in TASKS:
        module = importlib.import_module(TASKS[registry[env_id].kwargs["task"]].location.partition(":")[0])
        sentence = (module.__doc__ or "").partition("\n")[0].partition(": ")[2].rstrip(".")
        if sentence:
            return sentence
    return env_id or source.dataset.id


def _task_table(task: str) -> Any:
    """What pandas writes of a table with the tasks as its index."""
    pa = pyarrow()
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
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([task], pa.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


@contextmanager
def _read(path: Path) -> Iterator[ImportedDataset]:
    info = json.loads((path / INFO).read_text())
    if info["codebase_version"] != VERSION:
        raise ValueError(
            f"{INFO} says version {info['codebase_version']!r}; expected {VERSION}: convert it with LeRobot's "
            "convert_dataset_v21_to_v30"
        )
    features, fps = _checked_features(info["features"]), float(info["fps"])
    if not 0 < fps <= HIGHEST_RATE:
        raise ValueError(f"{INFO} has {fps} frames a second; expected a number above 0, at most {HIGHEST_RATE:g}")
    total = int(info["total_episodes"])
    if (path / PROVENANCE).exists():
        provenance = parsed_provenance((path / PROVENANCE).read_text())
        arrivals = _own_episodes(path, provenance, fps)
        yield ImportedDataset(provenance.observation_space, provenance.action_space, provenance, total, arrivals)
        return
    first = next(_others_episodes(path, features, fps), None)
    if first is None:
        raise ValueError("it holds no episode")
    seen = first.episode.observations
    observations: dict[str, Any] = {name: implied_space(values) for name, values in tree_leaves(seen)}
    actions = implied_action_space(
        numbers(table["action"], "action", features["action"]) for _, table in _frames(path, ["action"])
    )
    yield ImportedDataset(
        spaces.Dict(observations) if isinstance(seen, dict) else observations[""],
        actions,
        None,
        total,
        _others_episodes(path, features, fps),
        {"last_observation": "the one before it", **({} if "next.reward" in features else {"rewards": "zeros"})},
        fps,
    )


def _checked_features(given: dict[str, Any]) -> dict[str, Any]:
    """The shapes of the columns, and ``video`` or ``image`` of pictures; texts are left out.

    Raises:
        ValueError: A name that is, or could be, a path, or a shape that is none.
    """
    features: dict[str, Any] = {}
    for name, feature in given.items():
        if not re.fullmatch(r"\w[\w -]*(\.[\w -]+)*", name):
            raise ValueError(f"{INFO} has the feature {name!r}; expected letters, digits, '_', '-' and single dots")
        dtype, shape = feature["dtype"], tuple(int(size) for size in feature["shape"])
        if len(shape) > MOST_AXES or min(shape, default=1) < 1 or np.prod(shape, dtype=float) > 2**28:
            raise ValueError(f"{INFO} claims the shape {shape} of {name}; expected one that fits into memory")
        if dtype in ("video", "image"):
            features[name] = dtype
        elif dtype != "string":
            features[name] = shape
    missing = {"action", "episode_index"} - set(features)
    if missing or not any(name.startswith("observation.") for name in features):
        raise ValueError(f"{INFO} lacks the features {sorted(missing) or 'observation.*'}")
    return features


def _episode_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yields what LeRobot keeps of each episode, statistics aside."""
    parquet = pyarrow("pyarrow.parquet")
    files = sorted((path / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise ValueError("meta/episodes holds no file")
    for file in files:
        with parquet.ParquetFile(file) as content:
            names = [name for name in content.schema_arrow.names if not name.startswith("stats/")]
            for batch in content.iter_batches(batch_size=100, columns=names):
                yield from batch.select([name for name in batch.schema.names if name in names]).to_pylist()


def _frames(path: Path, names: list[str]) -> Iterator[tuple[int, Any]]:
    """Yields the frames of each episode, with its number."""
    pa, parquet = pyarrow(), pyarrow("pyarrow.parquet")
    pieces: list[Any] = []
    current = -1
    for file in sorted((path / "data").glob("*/*.parquet")):
        with parquet.ParquetFile(file) as content:
            missing = set(names) - set(content.schema_arrow.names)
            if missing:
                raise ValueError(f"{file.name} lacks the columns {sorted(missing)}")
            for batch in content.iter_batches(batch_size=256, columns=[*names, "episode_index"]):
                table = pa.Table.from_batches([batch])
                index = numbers(table["episode_index"], "episode_index", ())
                edges = [0, *(np.flatnonzero(np.diff(index)) + 1).tolist(), len(index)]
                for begin, end in pairwise(edges):
                    if pieces and index[begin] != current:
                        yield current, pa.concat_tables(pieces)
                        pieces = []
                    current = int(index[begin])
                    pieces.append(table.slice(begin, end - begin))
    if pieces:
        yield current, pa.concat_tables(pieces)


def _paired(path: Path, names: list[str]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yields of each episode what LeRobot keeps of it, and its frames."""
    rows = _episode_rows(path)
    count = 0
    for number, table in _frames(path, names):
        row = next(rows, None)
        if row is None or (row["episode_index"], row["length"]) != (number, len(table)) or number != count:
            raise ValueError(f"meta/episodes does not tell of episode {number} with {len(table)} frames")
        count += 1
        yield row, table
    if next(rows, None) is not None:
        raise ValueError(f"meta/episodes tells of more than the {count} episodes there are")


def _film(path: Path, name: str, row: dict[str, Any], fps: float) -> npt.NDArray[np.uint8]:
    """An episode's frames of a camera."""
    place = [int(row[f"videos/{name}/{key}"]) for key in ("chunk_index", "file_index")]
    if min(place) < 0:
        raise ValueError(f"meta/episodes names the file {place} of {name}; expected numbers from 0")
    file = path / VIDEO_PATH.format(video_key=name, chunk_index=place[0], file_index=place[1])
    return read_frames(file, float(row[f"videos/{name}/from_timestamp"]), int(row["length"]), fps)


def _own_episodes(path: Path, provenance: Provenance, fps: float) -> Iterator[ImportedEpisode]:
    """The episodes that our export wrote."""
    columns = provenance.columns
    infos = [name.removeprefix("infos/") for name in columns if name.startswith("infos/")]
    layout = _layout(provenance.observation_space, infos)
    wanted = {name: f"observations/{way}".rstrip("/") for way, name in layout.observations.items()}
    wanted |= {"action": "actions", **STEPWISE, **{name: f"infos/{way}" for way, name in layout.infos.items()}}
    films = {layout.observations[way] for way in layout.films}
    rest = chain(_rest_rows(path), repeat(None))
    for row, table in _paired(path, [name for name in wanted if name not in films]):
        last = next(rest)
        if last is None:
            raise ValueError(f"{REST} has fewer rows than there are episodes; remove meta/lam_envs to import without")
        parts: dict[str, Any] = {}
        for name, part in wanted.items():
            column = columns[part]
            values = _film(path, name, row, fps) if name in films else numbers(table[name], name, column.shape)
            parts[part] = values.astype(column.dtype, copy=False)
            if part.partition("/")[0] in ("observations", "infos"):
                end = numbers(last[part], part, column.shape).astype(column.dtype, copy=False)
                parts[part] = np.concatenate([parts[part], end])
        whole = nested(parts)
        yield ImportedEpisode(
            Episode(
                seed=last["seed"][0].as_py(),
                observations=whole["observations"],
                actions=whole["actions"],
                rewards=whole["rewards"],
                terminations=whole["terminations"],
                truncations=whole["truncations"],
                infos=whole.get("infos", {}),
            ),
            last["sha256"][0].as_py(),
        )


def _rest_rows(path: Path) -> Iterator[Any]:
    parquet = pyarrow("pyarrow.parquet")
    with parquet.ParquetFile(path / REST) as content:
        yield from content.iter_batches(batch_size=1)


def _others_episodes(path: Path, features: dict[str, Any], fps: float) -> Iterator[ImportedEpisode]:
    """The episodes of somebody else."""
    names = [name for name, told in features.items() if told != "video"]
    for row, table in _paired(path, names):
        columns = {
            name: _picture_column(table[name], name) if features[name] == "image" else
            numbers(table[name], name, features[name])
            for name in names
        }  # fmt: skip
        films = {name: _film(path, name, row, fps) for name, told in features.items() if told == "video"}
        yield ImportedEpisode(_episode({**columns, **films}), None)


def _picture_column(rows: Any, name: str) -> npt.NDArray[np.uint8]:
    """The pictures that a column holds as files."""
    image = optional("PIL.Image", "Pillow")
    pictures = []
    for cell in rows.to_pylist():
        content = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(content, bytes):
            raise ValueError(f"{name} holds no pictures in itself; expected PNG or JPEG in every row")
        with image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    return np.stack(pictures)


def _episode(columns: dict[str, npt.NDArray[Any]]) -> Episode:
    """An episode of its columns and films."""
    observations: dict[str, npt.NDArray[Any]] = {}
    infos: dict[str, npt.NDArray[Any]] = {}
    for name, values in columns.items():
        if name.startswith("observation."):
            key = name.removeprefix(f"{IMAGES}.").removeprefix("observation.")
            if key in observations:
                raise ValueError(f"two observations would be named {key!r}; rename one of the features")
            observations[key] = with_last(values)
        elif name not in (*DEFAULTS, "action", "next.reward", "next.done", "next.success"):
            flat = values[:, 0] if values.shape[1:] == (1,) else values
            infos[name.removeprefix("info.")] = with_last(flat)
    steps = len(columns["action"])
    if "next.success" in columns:
        success = columns["next.success"].reshape(steps).astype(bool)
        infos["is_success"] = np.concatenate([[False], success])
    done = bool(columns["next.done"].reshape(steps)[-1]) if "next.done" in columns else False
    terminations, truncations = ends(done, steps)
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


FORMAT = Format("a folder of LeRobot v3.0 (meta/info.json, meta/episodes, data, videos)", _write, _read, INFO)

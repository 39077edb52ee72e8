"""Write LeRobot datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import registry

from demos.datasets.episode import Episode
from demos.datasets.tree import tree_leaves
from demos.formats.arrow import pyarrow
from demos.formats.lerobot.layout import (
    DATA_PATH,
    EPISODES_PATH,
    INFO,
    LARGEST_MB,
    MOST_AXES,
    PROVENANCE,
    REST,
    STATS,
    STEPWISE,
    TASKS_FILE,
    VERSION,
    VIDEO_PATH,
    Layout,
    layout_of,
)
from demos.formats.lerobot.parquet import ParquetFiles
from demos.formats.lerobot.statistics import Statistics, image_statistics, merged, number_statistics
from demos.formats.lerobot.tables import (
    features_of,
    frame_table,
    plain_statistics,
    rest_table,
    task_description,
    task_table,
)
from demos.formats.lerobot.videos import FILES_A_CHUNK, VideoWriter, pyav
from demos.formats.provenance import provenance_text
from demos.formats.source import UNKNOWN_FPS, Signature, Source
from demos.formats.spaces import leaf_spaces
from lam_envs.registration import is_lam_env

TOGETHER = 50
"""Episodes whose descriptions are written at once."""
DEFAULT_ROBOT = "panda"


def write_dataset(source: Source, path: Path) -> list[str]:
    """Write a folder. See :class:`demos.formats.format.Format`."""
    pyarrow("pyarrow.parquet")
    layout = layout_of(source.dataset.observation_space, source.named("infos"))
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
        cameras = ", ".join(layout.observations[entry] for entry in layout.films)
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

    def __init__(self, source: Source, path: Path, layout: Layout) -> None:
        self._source, self._path, self.layout_of = source, path, layout
        self._fps = _fps(source)
        self._features = features_of(source, layout)
        self._stats: dict[str, Statistics] = {}
        self._frames = self._episodes = 0
        self._data = ParquetFiles(path, DATA_PATH, LARGEST_MB["data_files_size_in_mb"])
        self._meta = ParquetFiles(path, EPISODES_PATH, LARGEST_MB["data_files_size_in_mb"], TOGETHER)
        self._rest = ParquetFiles(path, REST, None, TOGETHER)
        self._films = {entry: self._film(entry) for entry in layout.films}
        self._task = task_description(source)

    def __enter__(self) -> _Writing:
        return self

    def __exit__(self, *error: Any) -> None:
        for film in self._films.values():
            film.close()
        for tables in (self._data, self._meta, self._rest):
            tables.close()

    def add(self, episode: Episode, signature: Signature) -> None:
        """Append an episode."""
        steps = len(episode)
        seen = dict(tree_leaves(episode.observations))
        columns = self._columns(episode, seen)
        stats = {name: number_statistics(values) for name, values in columns.items()}
        row: dict[str, Any] = {"episode_index": self._episodes, "tasks": [self._task], "length": steps}
        chunk, file = self._data.add(frame_table(columns, self._features))
        row |= {"data/chunk_index": chunk, "data/file_index": file}
        row |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + steps}
        for entry, film in self._films.items():
            name = self.layout_of.observations[entry]
            row |= {f"videos/{name}/{key}": value for key, value in film.add(seen[entry][:-1]).items()}
            stats[name] = image_statistics(seen[entry][:-1])
        for name in self._features:
            row |= {f"stats/{name}/{key}": plain_statistics(value) for key, value in stats[name].items()}
            self._stats[name] = merged(self._stats[name], stats[name]) if name in self._stats else stats[name]
        chunk, file = self._meta.place()
        row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        self._meta.add(pyarrow().Table.from_pylist([row]))
        self._rest.add(rest_table(episode, signature))
        self._frames += steps
        self._episodes += 1

    def finish(self) -> None:
        """Write what is known at the end."""
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
        stats = {
            name: {key: plain_statistics(value) for key, value in told.items()} for name, told in self._stats.items()
        }
        for name, content in ((INFO, info), (STATS, stats)):
            (self._path / name).write_text(json.dumps(content, indent=4))
        (self._path / PROVENANCE).write_text(provenance_text(self._source))
        pyarrow("pyarrow.parquet").write_table(task_table(self._task), self._path / TASKS_FILE)

    def _columns(self, episode: Episode, seen: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The columns of the frames, films aside."""
        layout, steps = self.layout_of, len(episode)
        columns = {name: seen[entry][:-1] for entry, name in layout.observations.items() if entry not in layout.films}
        columns["action"] = episode.actions
        columns |= {name: getattr(episode, part) for name, part in STEPWISE.items()}
        columns["next.done"] = episode.terminations | episode.truncations
        infos = dict(tree_leaves(episode.infos))
        if "is_success" in layout.infos:
            columns["next.success"] = infos["is_success"][1:]
        columns |= {name: infos[entry][:-1] for entry, name in layout.infos.items()}
        frames = np.arange(steps)
        columns["timestamp"] = (frames / self._fps).astype(np.float32)
        columns["frame_index"], columns["index"] = frames, frames + self._frames
        columns["episode_index"], columns["task_index"] = (
            np.full(steps, self._episodes),
            np.zeros(steps, dtype=np.int64),
        )
        return columns

    def _film(self, entry: str) -> VideoWriter:
        name = self.layout_of.observations[entry]

        def path(chunk: int, file: int) -> Path:
            return self._path / VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)

        film = VideoWriter(path, self._fps, leaf_spaces(self._source.dataset.observation_space)[entry].shape)
        self._features[name]["info"] = film.information
        return film

    def _robot(self) -> str | None:
        env_id = self._source.env_id
        if env_id is None or not is_lam_env(env_id):
            return None
        robot = {"robot": DEFAULT_ROBOT, **registry[env_id].kwargs, **self._source.env_kwargs}["robot"]
        return str(getattr(robot, "name", robot))

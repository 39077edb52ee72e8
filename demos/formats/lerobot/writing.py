"""Write LeRobot datasets."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
from gymnasium.envs.registration import registry

from demos.datasets.episode import INSTRUCTION, Episode, instruction_in
from demos.datasets.tree import tree_leaves
from demos.formats.arrow import import_pyarrow
from demos.formats.lerobot.layout import (
    DATA_PATH,
    EPISODES_PATH,
    EXTRAS,
    INFO,
    MAX_AXES,
    MAX_FILE_MB,
    PROVENANCE,
    STATS,
    STEPWISE,
    TASKS_FILE,
    VERSION,
    VIDEO_PATH,
    Layout,
    layout_of,
)
from demos.formats.lerobot.parquet import ParquetFiles
from demos.formats.lerobot.statistics import Statistics, image_statistics, merge_statistics, number_statistics
from demos.formats.lerobot.tables import (
    extras_table,
    features_of,
    frame_table,
    plain_statistics,
    task_description,
    task_table,
)
from demos.formats.lerobot.videos import FILES_PER_CHUNK, VideoWriter, import_pyav
from demos.formats.provenance import provenance_text
from demos.formats.source import UNKNOWN_FPS, SeedAndDigest, Source
from demos.formats.spaces import leaf_spaces
from demos.runtime.types import Array, Arrays
from lam_envs.registration import is_lam_env

EPISODES_PER_WRITE = 50
"""Number of episodes whose descriptions are written at once."""
DEFAULT_ROBOT = "panda"


def write_dataset(source: Source, path: Path) -> list[str]:
    """Write a folder. See :class:`demos.formats.format.Format`."""
    import_pyarrow("pyarrow.parquet")
    layout = layout_of(source.dataset.observation_space, source.part_columns("infos"))
    if layout.videos:
        import_pyav()
    _fps(source)
    too_deep = [name for name, column in source.columns.items() if len(column.shape) > MAX_AXES]
    if too_deep:
        raise ValueError(f"{', '.join(too_deep)} have more than {MAX_AXES} axes; expected fewer")
    with _FolderWriter(source, path, layout) as writer:
        for episode, identity in zip(source.episodes(), source.seeds_and_digests, strict=True):
            writer.add(episode, identity)
    writer.finish()
    note = f"(saved in {Path(PROVENANCE).parent} for an import)"
    losses = [f"the last observation and infos of each episode: a frame holds those before an action {note}"]
    if layout.videos:
        cameras = ", ".join(layout.observations[entry] for entry in layout.videos)
        losses.append(f"the exact pixels of {cameras}: videos are compressed with loss")
    if source.rate is None:
        losses.append(f"the rate, which is unknown: {UNKNOWN_FPS} frames per second are written")
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


class _FolderWriter:
    """Writer of a folder, one episode at a time."""

    def __init__(self, source: Source, path: Path, layout: Layout) -> None:
        self._source, self._path, self._layout = source, path, layout
        self._fps = _fps(source)
        self._features = features_of(source, layout)
        self._stats: dict[str, Statistics] = {}
        self._frames = self._episodes = 0
        self._data = ParquetFiles(path, DATA_PATH, MAX_FILE_MB["data_files_size_in_mb"])
        self._meta = ParquetFiles(path, EPISODES_PATH, MAX_FILE_MB["data_files_size_in_mb"], EPISODES_PER_WRITE)
        self._extras = ParquetFiles(path, EXTRAS, None, EPISODES_PER_WRITE)
        self._videos = {entry: self._video(entry) for entry in layout.videos}
        self._task = task_description(source)
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> _FolderWriter:
        return self

    def __exit__(self, error: type[BaseException] | None, *details: object) -> None:
        files: list[VideoWriter | ParquetFiles] = [*self._videos.values(), self._data, self._meta, self._extras]
        for file in files:
            # After an error, a file that cannot be completed must not hide it.
            with nullcontext() if error is None else suppress(Exception):
                file.close()

    def add(self, episode: Episode, identity: SeedAndDigest) -> None:
        """Append an episode."""
        steps = len(episode)
        observations = dict(tree_leaves(episode.observations))
        columns = self._columns(episode, observations)
        tasks = [text for text, number in self._tasks.items() if number in columns["task_index"]]
        stats = {name: number_statistics(values) for name, values in columns.items()}
        row: dict[str, object] = {"episode_index": self._episodes, "tasks": tasks, "length": steps}
        chunk, file = self._data.add(frame_table(columns, self._features))
        row |= {"data/chunk_index": chunk, "data/file_index": file}
        row |= {"dataset_from_index": self._frames, "dataset_to_index": self._frames + steps}
        for entry, video in self._videos.items():
            name = self._layout.observations[entry]
            row |= {f"videos/{name}/{key}": value for key, value in video.add(observations[entry][:-1]).items()}
            stats[name] = image_statistics(observations[entry][:-1])
        for name in self._features:
            row |= {f"stats/{name}/{key}": plain_statistics(value) for key, value in stats[name].items()}
            self._stats[name] = (
                merge_statistics(self._stats[name], stats[name]) if name in self._stats else stats[name]
            )
        chunk, file = self._meta.position()
        row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
        self._meta.add(import_pyarrow().Table.from_pylist([row]))
        self._extras.add(extras_table(episode, identity))
        self._frames += steps
        self._episodes += 1

    def finish(self) -> None:
        """Write the metadata of the whole dataset."""
        info = {
            "codebase_version": VERSION,
            "robot_type": self._robot(),
            "total_episodes": self._episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_PER_CHUNK,
            **MAX_FILE_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{self._episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self._videos else None,
            "features": self._features,
        }
        stats = {
            name: {key: plain_statistics(value) for key, value in statistic.items()}
            for name, statistic in self._stats.items()
        }
        for name, content in ((INFO, info), (STATS, stats)):
            (self._path / name).write_text(json.dumps(content, indent=4))
        (self._path / PROVENANCE).write_text(provenance_text(self._source))
        import_pyarrow("pyarrow.parquet").write_table(task_table(list(self._tasks)), self._path / TASKS_FILE)

    def _columns(self, episode: Episode, observations: Arrays) -> Arrays:
        """Return the columns of the frames, without videos."""
        layout, steps = self._layout, len(episode)
        columns = {
            name: observations[entry][:-1]
            for entry, name in layout.observations.items()
            if entry not in layout.videos
        }
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
        columns["episode_index"] = np.full(steps, self._episodes)
        columns["task_index"] = self._task_indices(episode)
        return columns

    def _task_indices(self, episode: Episode) -> Array:
        """Return the number of each frame's task, shape (T,): an instruction, or the task of the environment."""
        encoded = episode.infos.get(INSTRUCTION)
        texts = [episode.instruction] * len(episode)
        if isinstance(encoded, np.ndarray):
            texts = [instruction_in({INSTRUCTION: row}) for row in encoded[:-1]]
        numbers = [self._tasks.setdefault(text or self._task, len(self._tasks)) for text in texts]
        return np.array(numbers, dtype=np.int64)

    def _video(self, entry: str) -> VideoWriter:
        name = self._layout.observations[entry]

        def path(chunk: int, file: int) -> Path:
            return self._path / VIDEO_PATH.format(video_key=name, chunk_index=chunk, file_index=file)

        video = VideoWriter(path, self._fps, leaf_spaces(self._source.dataset.observation_space)[entry].shape or ())
        self._features[name]["info"] = video.information
        return video

    def _robot(self) -> str | None:
        env_id = self._source.env_id
        if env_id is None or not is_lam_env(env_id):
            return None
        robot = {"robot": DEFAULT_ROBOT, **registry[env_id].kwargs, **self._source.env_kwargs}["robot"]
        return str(getattr(robot, "name", robot))
